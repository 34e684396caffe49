"""Rows of the ledger as commands read and correct them: of this machine, or over the admin API of a gateway.

Both show rows as the admin API does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol, TypeVar

import click
from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import Entry
from modelmux.accounts.fields import FieldError
from modelmux.accounts.periods import Period, format_instant
from modelmux.accounts.request_views import request_view
from modelmux.accounts.resolve import resolve
from modelmux.accounts.uuid7 import parse_id
from modelmux.accounts.views import plain
from modelmux.admin.requests import request_detail
from modelmux.catalog.prices import usd
from modelmux.cli.accounts.access import user_name
from modelmux.cli.accounts.api.client import AdminClient, path_of
from modelmux.cli.accounts.api.open_api import chosen_url, with_api
from modelmux.cli.accounts.directory import exit_with_field_error
from modelmux.cli.options import read_config
from modelmux.cli.output import exit_with_error, warn
from modelmux.cli.usage.end_users import with_end_users
from modelmux.cli.usage.from_api import where_params, zone_name
from modelmux.cli.usage.options import Sources, Where, with_ledger
from modelmux.config import Config
from modelmux.store.directory.base import Author
from modelmux.store.ledger.base import MOST_RETURNED, EntryQuery, Ledger
from modelmux.store.ledger.in_doubt import rows_in_doubt

T = TypeVar("T")
_MICRO: Final = 1_000_000


class RowQuery(Struct, frozen=True, kw_only=True):
    """Which rows, the newest first. :param in_doubt: only those nothing was decided for."""

    period: Period
    where: Where
    in_doubt: bool
    limit: int


class Rows(Protocol):
    """All return what the admin API shows."""

    async def zone(self) -> str:
        """``accounts.zone``."""
        ...

    async def listed(self, query: RowQuery) -> list[dict[str, Any]]: ...

    async def show(self, id: str) -> dict[str, Any]:
        """A row, with its corrections."""
        ...

    async def resolve(self, id: str, cost: int | None, reason: str) -> dict[str, Any]:
        """Correct a row in doubt. :param cost: nano-USD; None if nothing was used."""
        ...


@dataclass(frozen=True)
class LocalRows:
    """Those of this machine. :param now: microseconds in UTC."""

    ledger: Ledger
    config: Config
    directory: Directory
    now: int

    async def zone(self) -> str:
        return self.config.accounts.zone

    async def listed(self, query: RowQuery) -> list[dict[str, Any]]:
        wanted = EntryQuery(
            start=query.period.start, end=query.period.end, where=with_end_users(query.where, self.config),
            newest_first=True, limit=min(query.limit, MOST_RETURNED),
        )  # fmt: skip
        rows: list[Entry] = []
        while True:
            page = await (rows_in_doubt(self.ledger, wanted) if query.in_doubt else self.ledger.entries(wanted))
            rows += page.entries
            if page.next is None or len(rows) >= query.limit:
                return [plain(request_view(self.directory, one)) for one in rows[: query.limit]]
            wanted = replace(wanted, after=page.next)

    async def show(self, id: str) -> dict[str, Any]:
        number = _id(id)
        rows = await self.ledger.by_id([number])
        if not rows:
            _exit_unknown(id)
        return self._detail(rows[0], await self.ledger.corrections([number]))

    async def resolve(self, id: str, cost: int | None, reason: str) -> dict[str, Any]:
        def decide(entry: Entry, corrections: Sequence[Entry]) -> Entry | None:
            return resolve(self.directory, entry, corrections, cost, reason)

        written = await self.ledger.correct(_id(id), decide, Author(user_name(), "cli"), self.now)
        if written is None:
            _exit_unknown(id)
        return self._detail(*written)

    def _detail(self, entry: Entry, corrections: list[Entry]) -> dict[str, Any]:
        detail: dict[str, Any] = plain(request_detail(self.directory, entry, corrections))
        return detail


@dataclass(frozen=True)
class RemoteRows:
    """Those of a gateway."""

    client: AdminClient

    async def zone(self) -> str:
        return await zone_name(self.client)

    async def listed(self, query: RowQuery) -> list[dict[str, Any]]:
        start, end = (format_instant(at, UTC) for at in (query.period.start, query.period.end))
        params = {"start": start, "end": end, **where_params(query.where)}
        if query.in_doubt:
            params["in_doubt"] = "true"
        return await self.client.pages("/requests", params, query.limit)

    async def show(self, id: str) -> dict[str, Any]:
        detail: dict[str, Any] = await self.client.call("GET", path_of("requests", id))
        return detail

    async def resolve(self, id: str, cost: int | None, reason: str) -> dict[str, Any]:
        amount: dict[str, Any] = {"void": True} if cost is None else {"cost": usd(cost)}
        detail: dict[str, Any] = await self.client.call(
            "POST", path_of("requests", id, "resolve"), {**amount, "reason": reason}
        )
        return detail


def with_rows(
    context: click.Context, config_path: Path | None, overrides: dict[str, Any], action: Callable[[Rows], Awaitable[T]]
) -> T:
    """Do something with the rows of the configuration, or with ``--url`` with those of a gateway; exits with what went
    wrong."""
    url = chosen_url()
    if url is not None:
        return with_api(url, config_path, overrides, lambda client: action(RemoteRows(client)))
    loaded, sources = read_config(config_path, overrides), Sources.of(context)
    warn(loaded.warnings)
    config = loaded.config

    async def run(ledger: Ledger) -> T:
        try:
            return await action(LocalRows(ledger, config, sources.load_directory(config), int(sources.now() * _MICRO)))
        except FieldError as error:
            exit_with_field_error(error)

    return with_ledger(context, config, run)


def _id(text: str) -> bytes:
    """:raises FieldError:"""
    try:
        return parse_id(text)
    except ValueError:
        expected = "expected one such as `modelmux ledger list` shows"
        raise FieldError("id", f"{text[:40]!r} is not the id of a row", expected) from None


def _exit_unknown(id: str) -> NoReturn:
    exit_with_error([f"there is no row {id} in the ledger"], "`modelmux ledger list` shows those that there are.")
