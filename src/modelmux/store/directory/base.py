"""The protocol of the directory's store: records are only ever added or replaced, and each change is audited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.store.directory.receipts import Once


class Author(Struct, frozen=True):
    """Who changes something.

    :param name: a person, a token or a user of this machine.
    :param origin: ``cli``, ``config``, or the address of a client of the admin API.
    """

    name: str
    origin: str


class AuditRow(Struct, frozen=True, kw_only=True):
    """One change.

    :param at: microseconds in UTC.
    :param before, after: records by id, without digests of secrets.
    """

    number: int
    at: int
    author: Author
    action: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]


class DirectoryStore(Protocol):
    """Versions rise by one with each change. A reader asks for what has changed since the directory that it has."""

    def load(self) -> Directory:
        """The directory of now: at a start, before there is an event loop. :raises StoreFailed:"""
        ...

    async def read(self, known: Directory) -> Directory:
        """The directory of now; ``known`` itself if nothing has changed.

        :raises StoreFailed:
        """
        ...

    async def change(
        self, decide: Callable[[Directory], Edit], author: Author, at: int, once: Once | None = None
    ) -> tuple[Directory, Edit]:
        """Decide on a change from the directory of now, and write it. No other change comes between.

        :param decide: runs in a thread, while no other process changes the directory; it must not wait.
        :param at: microseconds in UTC.
        :param once: a request that may be repeated: its receipt is written with the change.
        :raises OtherRequest: its name was that of another one; nothing was written.
        :returns: the directory with the change, and the edit. An empty edit writes nothing.
        :raises FieldError: from ``decide``; nothing was written.
        :raises StoreFailed: nothing was written.
        """
        ...

    def change_now(self, decide: Callable[[Directory], Edit], author: Author, at: int) -> Directory:
        """As ``change``, in this thread: at a start, before there is an event loop, and at a reload."""
        ...

    async def audit(self, *, subject: str | None = None, before: int | None = None, limit: int = 100) -> list[AuditRow]:
        """Changes, the newest first.

        :param before: number of the last row of the page before.
        :raises StoreFailed:
        """
        ...

    async def aclose(self) -> None: ...
