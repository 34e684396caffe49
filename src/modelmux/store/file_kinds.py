"""The kinds of SQLite files that a gateway keeps, and how one is told from others. Needs no SQLite."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Bytes at the begin of a file that tell what it is.
HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class FileKind:
    """
    :param application_id: marks a file as ours.
    :param contents: what is in it, for people.
    :param version: of its format; None if migrations tell it.
    """

    application_id: int
    contents: str
    version: int | None = None

    def problem(self, path: Path, application: int, version: int) -> str | None:
        """Why a database cannot be used; None if it can."""
        if application != self.application_id:
            return f"{path}: not a file of {self.contents}"
        if self.version is not None and version != self.version:
            return f"{path}: made by another version of modelmux (its format is {version})"
        return None

    def header_problem(self, path: Path, header: bytes) -> str | None:
        """Why a file cannot be used, by its first 100 bytes (https://www.sqlite.org/fileformat2.html); None if it
        can."""
        if not header.startswith(_MAGIC):
            return f"{path}: file is not a database"
        version, application = int.from_bytes(header[60:64], "big"), int.from_bytes(header[68:72], "big")
        return self.problem(path, application, version)


#: "MMXR".
RESPONSES: Final = FileKind(0x4D4D5852, "stored responses", version=1)
#: "MMXT".
TRACES: Final = FileKind(0x4D4D5854, "traces of requests", version=1)
#: "MMXC".
CAPTURES: Final = FileKind(0x4D4D5843, "captured bodies", version=1)
#: "MMXA".
ACCOUNTS: Final = FileKind(0x4D4D5841, "modelmux accounts")


#: Of the captured bodies, in the state directory.
CAPTURES_FILE: Final = "captures.db"


def has_sqlite() -> bool:
    """Whether this Python was built with SQLite."""
    try:
        import sqlite3  # noqa: F401
    except ImportError:
        return False
    return True
