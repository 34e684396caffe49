"""Rows of the ledger over the admin API of a gateway, a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any, Final

from msgspec import Struct

from modelmux.accounts.entry import Entry
from modelmux.accounts.entry_json import entry_of
from modelmux.accounts.periods import Period, format_instant
from modelmux.cli.accounts.api.client import AdminClient, ApiError
from modelmux.cli.usage.from_api import where_params, zone_name
from modelmux.cli.usage.options import Where, read_period, read_zone_of
from modelmux.store.ledger.base import MOST_RETURNED

#: Reads the names of teams, by id.
TeamNames = Callable[[], Awaitable[Mapping[str, str]]]
#: Writes all pages. The second argument: the names of the tags by which usage is added up.
Write = Callable[[AsyncIterator[list[Entry]], Sequence[str], TeamNames], Awaitable[None]]
_OTHER_VERSION: Final = "Use the version of the gateway, which `modelmux doctor` on its machine shows."


class Chosen(Struct, frozen=True):
    """Which rows, as options say. :param now: Unix seconds."""

    last: str | None
    period: str | None
    zone: str | None
    where: Where
    now: float

    def read(self, zone: tzinfo) -> Period | None:
        """:raises click.UsageError: see ``read_period``."""
        return read_period(self.last, self.period, zone, self.now)


async def rows_from_api(client: AdminClient, chosen: Chosen, write: Write) -> None:
    """Write the rows of a gateway. :raises ApiError:"""
    params = {"limit": str(MOST_RETURNED), **where_params(chosen.where)}
    if chosen.last is not None or chosen.period is not None:
        period = chosen.read(read_zone_of(chosen.zone or await zone_name(client))[1])
        assert period is not None
        params |= {"start": format_instant(period.start, UTC), "end": format_instant(period.end, UTC)}
    first = await client.call("GET", "/ledger", query=params)

    async def team_names() -> dict[str, str]:
        try:
            return {team["id"]: team["name"] for team in await client.pages("/teams")}
        except ApiError as error:
            if error.status != 403:
                raise
            return {}  # a member sees its rows, and no list of teams

    await write(_pages(client, params, first), first["tags"], team_names)


async def _pages(client: AdminClient, params: dict[str, str], page: Any) -> AsyncIterator[list[Entry]]:
    """:param page: the first one. :raises ApiError: also if a row is not one that this version knows."""
    while True:
        try:
            entries = [entry_of(row) for row in page["data"]]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ApiError(
                f"the admin API has a row that this version does not know: {error}", _OTHER_VERSION
            ) from None
        yield entries
        if page["next"] is None:
            return
        page = await client.call("GET", "/ledger", query={**params, "after": page["next"]})
