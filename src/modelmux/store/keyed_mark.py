"""A mark, beside the database or on a node that uses it, that there were keys in it.

A database that was lost, or replaced by an empty one, has no keys, and a gateway without keys on loopback asks for
none. The mark tells that keys are missing: the gateway does not start then.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from modelmux.store.base import StoreFailed
from modelmux.store.files import create_once

_TEXT: Final = "There are keys in the database beside this file. Remove it only to begin without keys.\n"


class KeyedMark:
    """
    :param database: its path; the mark is beside it, as the pepper is.
    :param name: of a database that is elsewhere, for people; the mark is where its file would be.
    """

    def __init__(self, database: Path, name: str | None = None) -> None:
        self._database = str(database) if name is None else name
        self.path = database.with_name(database.name + ".keyed")

    @property
    def is_set(self) -> bool:
        """Whether there were keys. Ask before the database is read: a first key sets it after it was written."""
        return self.path.exists()

    def set(self) -> None:
        """After keys were written. If the disk does not take it, the next change or start tries again."""
        with contextlib.suppress(OSError):
            create_once(self.path, _write)

    def lost(self) -> StoreFailed:
        """The error of a database without keys that had some."""
        return StoreFailed(
            f"{self._database} has no keys, but it had some: it was lost, or replaced; put back its backup, or remove "
            f"{self.path} to begin without keys"
        )


def _write(draft: Path) -> None:
    draft.write_text(_TEXT, "ascii")
