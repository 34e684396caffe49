"""Usage in buckets of time, for clients of the API: from rollups alone."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Collection
from datetime import tzinfo
from typing import Any, Final

from modelmux.accounts.fields import FieldError
from modelmux.accounts.usage_query import UsageQuery
from modelmux.accounts.usage_views import Label, usage_json
from modelmux.store.ledger.base import Ledger
from modelmux.store.ledger.slots import bucket_bounds

_TAG: Final = "tag:"
#: Rows of an answer that is made in the event loop at most.
_FEW: Final = 500


async def usage_report(
    ledger: Ledger,
    query: UsageQuery,
    zone: tzinfo,
    *,
    own_prices: bool,
    reported_tags: Collection[str],
    most: int,
    label: Label = lambda name, value: {name: value},
) -> dict[str, Any]:
    """
    :param zone: that of the query.
    :param own_prices: the configuration has some.
    :param reported_tags: by which usage is added up.
    :param most: groups of all buckets together.
    :param label: see ``usage_json``.
    :raises FieldError: there are more groups.
    :raises StoreFailed:
    """
    rows = await ledger.usage(query)
    if len(rows) > most:
        expected = f"expected at most {most:,}: ask for a shorter period, longer buckets, fewer groups, or top=100"
        raise FieldError("group_by", f"there would be {len(rows):,} results", expected)
    bounds = bucket_bounds(query.start, query.end, query.bucket, zone)
    make = functools.partial(
        usage_json, query, bounds, rows, zone, own_prices=own_prices, has_others=query.top > 0, label=label
    )
    answer = make() if len(rows) <= _FEW else await asyncio.to_thread(make)
    used = {name.removeprefix(_TAG) for name in (*query.group_by, *dict(query.where)) if name.startswith(_TAG)}
    answer["warnings"] = [
        f"usage is not added up by tag {name}: it would have to be in accounts.tags, for rows to come"
        for name in sorted(used.difference(reported_tags))
    ]
    return answer
