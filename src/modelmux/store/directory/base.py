"""The protocol of the directory's store: records are only ever added or replaced, and each change is audited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

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
    :param is_cut: the row has records, which are too long for what was asked.
    """

    number: int
    at: int
    author: Author
    action: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]
    is_cut: bool = False


class Pace(NamedTuple):
    """How often one looks for changes, where it is not as often as usual.

    :param next_look: returns when it is time to look; it gets what sleeps.
    :param fresh_for: seconds after which a request waits for a look.
    """

    next_look: Callable[[Callable[[float], Awaitable[None]]], Awaitable[None]]
    fresh_for: float


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

    async def note(self, author: Author, at: int, action: str, subject: str, after: Mapping[str, Any]) -> None:
        """Write a row of the audit log of what changes no record.

        :param after: what it is about, by id, without secrets.
        :raises StoreFailed: it was not written.
        """
        ...

    async def audit(
        self, *, subject: str | None = None, before: int | None = None, limit: int = 100, longest: int | None = None
    ) -> list[AuditRow]:
        """Changes, the newest first.

        :param before: number of the last row of the page before.
        :param longest: characters of JSON; rows whose records have more come without them. None for all.
        :raises StoreFailed:
        """
        ...

    async def aclose(self) -> None: ...
