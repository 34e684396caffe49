"""Reading records of requests, from another process than those that write them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from modelmux.store.base import StoreFailed
from modelmux.store.connection_thread import ConnectionThread
from modelmux.store.traces.previous_turn import previous_turn
from modelmux.store.traces.record import Trace, TracedRequest, record_number
from modelmux.store.traces.sqlite_traces import (
    FILE_NAME,
    LAST,
    TracesFile,
    TracesPage,
    earlier,
    find,
    latest,
    number_of,
    numbered,
    of_row,
    page,
)

_TIMEOUT: Final = 5.0


class FoundTraces(Struct, frozen=True):
    """Records, the latest first.

    :param previous: the turn before the first of them. :param previous_number: of its record, see ``record_id``.
    """

    traces: list[Trace]
    previous: Trace | None = None
    previous_number: int | None = None


def read_traces(directory: Path, id: str | None, count: int, now: int, *, is_row: bool = False) -> FoundTraces:
    """The records with an id, two at most; or the latest ones. None where there is no file yet. It blocks.

    An id as ``record_id`` makes them is that of one record alone, as long as there is that record.

    :param now: microseconds in UTC. :param is_row: the id is that of a row of the ledger, and no other.
    :raises StoreFailed: they cannot be read.
    """
    path = directory / FILE_NAME
    if not path.exists():
        return FoundTraces([])
    file = ConnectionThread("modelmux-traces", TracesFile(path, creates=False), _TIMEOUT)
    try:
        traces = file.call(lambda connection: _chosen(connection, id, count, now, is_row=is_row))
        if not traces:
            return FoundTraces([])
        before = file.call(lambda connection: previous_turn(traces[0], earlier(connection, traces[0])))
        number = None if before is None else file.call(lambda connection: number_of(connection, before.request))
        return FoundTraces(traces, before, number)
    except msgspec.DecodeError as error:
        raise StoreFailed(f"{path}: a record cannot be read: {error}") from None
    finally:
        file.disconnect()


def read_page(
    directory: Path, before: int | None, count: int, now: int, chosen: Callable[[TracedRequest], bool]
) -> TracesPage:
    """A page of the records, the newest first. It blocks.

    :param before: ``next`` of the page before; None for the first page. :param now: microseconds in UTC.
    :raises StoreFailed: they cannot be read.
    """
    path = directory / FILE_NAME
    if not path.exists():
        return TracesPage([], None, [])
    file = ConnectionThread("modelmux-traces", TracesFile(path, creates=False), _TIMEOUT)
    try:
        return file.call(lambda connection: page(connection, LAST if before is None else before, count, now, chosen))
    except msgspec.DecodeError as error:
        raise StoreFailed(f"{path}: a record cannot be read: {error}") from None
    finally:
        file.disconnect()


def _chosen(connection: sqlite3.Connection, id: str | None, count: int, now: int, *, is_row: bool) -> list[Trace]:
    if id is None:
        return latest(connection, count, now)
    if is_row:
        return of_row(connection, id, now)
    number = record_number(id)
    return (numbered(connection, number, now) if number is not None else []) or find(connection, id, now)
