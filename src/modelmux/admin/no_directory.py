"""The directory of a gateway without accounts: it is empty, and nothing can be put into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.admin.errors import accounts_off
from modelmux.store.directory.base import USUAL_LIMITS, AuditLimits, AuditPage, Author
from modelmux.store.directory.receipts import Once
from modelmux.telemetry import names
from modelmux.telemetry.log import Log


class NoDirectory:
    """A ``DirectoryStore``. :param log: gets what the audit log would have: there is no other place to keep it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._directory = Directory()

    def load(self) -> Directory:
        return self._directory

    async def read(self, known: Directory) -> Directory:
        del known
        return self._directory

    async def change(
        self, decide: Callable[[Directory], Edit], author: Author, at: int, once: Once | None = None
    ) -> tuple[Directory, Edit]:
        """:raises AccountsOff: always."""
        del decide, author, at, once
        raise accounts_off("Every change of them")

    def change_now(self, decide: Callable[[Directory], Edit], author: Author, at: int) -> Directory:
        """:raises AccountsOff: always."""
        del decide, author, at
        raise accounts_off("Every change of them")

    async def note(self, author: Author, at: int, action: str, subject: str, after: Mapping[str, Any]) -> None:
        del at, after
        message = f"{author.name} ({author.origin}): {action} {subject}"
        self._log.info(names.EVENT_ACCOUNTS, message=message)

    async def audit(
        self, *, subject: str | None = None, before: int | None = None, limits: AuditLimits = USUAL_LIMITS
    ) -> AuditPage:
        del subject, before, limits
        return AuditPage([], has_more=False)

    async def aclose(self) -> None:
        pass
