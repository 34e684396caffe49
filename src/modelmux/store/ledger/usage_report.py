"""Usage in buckets of time, for clients of the API: from rollups alone."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Collection
from datetime import tzinfo
from typing import Any, Final

from msgspec import Struct

from modelmux.accounts.fields import FieldError
from modelmux.accounts.usage_pages import Position, write_position
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.accounts.usage_views import Label, usage_json
from modelmux.store.ledger.base import Ledger, TooManyResults
from modelmux.store.ledger.slots import bucket_bounds

_TAG: Final = "tag:"
#: Rows of an answer that is made in the event loop at most.
_FEW: Final = 500


class Page(Struct, frozen=True):
    """:param after: where it begins. :param limit: groups at most."""

    limit: int
    after: Position = ()


async def usage_report(
    ledger: Ledger,
    query: UsageQuery,
    zone: tzinfo,
    *,
    own_prices: bool,
    reported_tags: Collection[str],
    most: int,
    page: Page | None = None,
    label: Label = lambda name, value: {name: value},
) -> dict[str, Any]:
    """
    :param zone: that of the query.
    :param own_prices: the configuration has some.
    :param reported_tags: by which usage is added up.
    :param most: groups of all buckets together, of a whole report.
    :param page: which part of the report; None for all of it.
    :param label: see ``usage_json``.
    :raises FieldError: there are more groups.
    :raises StoreFailed:
    """
    if page is None:
        rows, following = await _at_once(ledger, query, most), None
    else:
        part = await ledger.usage_page(query, page.after, page.limit)
        rows, following = part.rows, part.next
    bounds = bucket_bounds(query.start, query.end, query.bucket, zone)
    make = functools.partial(
        usage_json, query, bounds, rows, zone, own_prices=own_prices, has_others=query.top > 0, label=label,
        next=None if following is None else write_position(following),
    )  # fmt: skip
    answer = make() if len(rows) <= _FEW else await asyncio.to_thread(make)
    used = {name.removeprefix(_TAG) for name in (*query.group_by, *dict(query.where)) if name.startswith(_TAG)}
    answer["warnings"] = [
        f"usage is not added up by tag {name}: it would have to be in accounts.tags, for rows to come"
        for name in sorted(used.difference(reported_tags))
    ]
    return answer


async def _at_once(ledger: Ledger, query: UsageQuery, most: int) -> list[UsageRow]:
    """:raises FieldError: there are more results."""
    try:
        rows = await ledger.usage(query, most)
    except TooManyResults:
        raise _too_many(most) from None
    if len(rows) > most:
        raise _too_many(most)
    return rows


def _too_many(most: int) -> FieldError:
    expected = f"expected at most {most:,}: ask for a shorter period, longer buckets, fewer groups, or top=100"
    return FieldError("group_by", f"there would be more than {most:,} results", expected)
