"""Reading what was captured, from another process than those that write it."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

import msgspec

from modelmux.store.base import StoreFailed
from modelmux.store.captures.record import Capture
from modelmux.store.captures.sqlite_captures import CapturesFile, find, of_row
from modelmux.store.connection_thread import ConnectionThread
from modelmux.store.file_kinds import CAPTURES_FILE

_TIMEOUT: Final = 5.0


def read_capture(
    directory: Path, id: str, days: int, now: int, at: int | None = None, *, is_row: bool = False
) -> Capture | None:
    """What was captured of the latest request with an id; None for nothing. It blocks, so in an event loop it is for a
    thread.

    :param now: microseconds in UTC. :param at: when the request arrived, if that is known.
    :param is_row: the id is that of a row of the ledger, and no other.
    :raises StoreFailed: it cannot be read.
    """
    path = directory / CAPTURES_FILE
    if not path.exists():
        return None
    file = ConnectionThread("modelmux-captures", CapturesFile(path, creates=False), _TIMEOUT)
    try:
        return file.call(
            lambda connection: of_row(connection, id, days, now) if is_row else find(connection, id, days, now, at)
        )
    except (msgspec.DecodeError, zlib.error) as error:
        raise StoreFailed(f"{path}: what was captured cannot be read: {error}") from None
    finally:
        file.disconnect()
