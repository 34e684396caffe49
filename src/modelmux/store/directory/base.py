"""The protocol of the directory's store: records are only ever added or replaced, and each change is audited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from msgspec import Raw, Struct

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
    :param before_json, after_json: records by id, without digests of secrets: as they are stored, since a change may
        have many thousands of them.
    :param is_cut: the row has records, which are too long for what was asked.
    """

    number: int
    at: int
    author: Author
    action: str
    subject: str
    before_json: Raw
    after_json: Raw
    is_cut: bool = False

    @property
    def before(self) -> dict[str, Any]:
        records: dict[str, Any] = msgspec.json.decode(self.before_json)
        return records

    @property
    def after(self) -> dict[str, Any]:
        records: dict[str, Any] = msgspec.json.decode(self.after_json)
        return records


class AuditPage(NamedTuple):
    """Changes, the newest first. :param has_more: there are older ones."""

    rows: list[AuditRow]
    has_more: bool


class AuditLimits(NamedTuple):
    """What a page of the audit log has.

    :param rows: at most.
    :param longest: bytes of JSON; rows whose records have more come without them. None for all.
    :param most: bytes of JSON of the records of all rows together; the first row comes whatever it has. None for all.
    """

    rows: int = 100
    longest: int | None = None
    most: int | None = None

    def choose(self, sizes: Iterable[tuple[int, int]]) -> tuple[dict[int, bool], bool]:
        """Of the rows that there are, those of the page. No more of them are asked for than are looked at.

        :param sizes: number of a row, and bytes of its records.
        :returns: number of a row -> whether it comes with its records; whether there are more rows.
        """
        chosen: dict[int, bool] = {}
        read = 0
        for number, size in sizes:
            with_records = self.longest is None or size <= self.longest
            read += size if with_records else 0
            if len(chosen) == self.rows or (chosen and self.most is not None and read > self.most):
                return chosen, True
            chosen[number] = with_records
        return chosen, False


USUAL_LIMITS: Final = AuditLimits()


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
        self, *, subject: str | None = None, before: int | None = None, limits: AuditLimits = USUAL_LIMITS
    ) -> AuditPage:
        """A page of changes.

        :param before: number of the last row of the page before.
        :raises StoreFailed:
        """
        ...

    async def aclose(self) -> None: ...
