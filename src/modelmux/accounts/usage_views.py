"""Usage as clients of the API and ``--json`` see it: figures of a group, and buckets of groups. Costs are exact."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Any, Final

from msgspec.structs import astuple

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.periods import format_instant
from modelmux.accounts.usage_query import UsageQuery, UsageRow, added, ranks_by_name
from modelmux.catalog.prices import usd

#: See ``usage_json``.
Label = Callable[[str, str | None], dict[str, Any]]
#: Names of tokens, without searches, which are the last of the counts; of parts of a cost.
_TOKENS: Final = TokenCounts.__struct_fields__[:-1]
_COMPONENTS: Final = Cost.__struct_fields__


def money(nano: int) -> dict[str, str]:
    """An exact amount, in the form that all JSON has."""
    return {"amount": usd(nano), "currency": "USD"}


def figures_json(row: UsageRow) -> dict[str, Any]:
    """What one group has used."""
    *counts, searches = astuple(row.counts)
    costs = astuple(row.cost)
    return {
        "requests": row.requests,
        "errors": row.errors,
        "unpriced": row.unpriced,
        "tokens": dict(zip(_TOKENS, counts, strict=True)),
        "web_searches": searches,
        "cost": money(sum(costs)),
        "cost_components": dict(zip(_COMPONENTS, map(usd, costs), strict=True)),
    }


def total(query: UsageQuery, rows: Sequence[UsageRow]) -> UsageRow:
    """All rows together."""
    return added(query.start, rows)


def by_time_and_cost(rows: Sequence[UsageRow]) -> list[UsageRow]:
    """By time, the most expensive first and what others have last, in an order that does not depend on the ledger."""
    ranks = ranks_by_name(row.group for row in rows)
    return sorted(rows, key=lambda row: (row.start, row.others > 0, -row.cost.total, ranks[row.group]))


def usage_json(
    query: UsageQuery,
    bounds: Sequence[int],
    rows: Sequence[UsageRow],
    zone: tzinfo,
    *,
    own_prices: bool,
    has_others: bool = False,
    label: Label = lambda name, value: {name: value},
    next: str | None = None,  # noqa: A002 - the name in replies
) -> dict[str, Any]:
    """Buckets of time, those without any usage too, each with its groups: as OpenAI's ``organization/usage`` has them.

    :param bounds: when the buckets begin, and when the last one ends; microseconds in UTC.
    :param own_prices: the configuration has some.
    :param has_others: each bucket has ``others``: what the groups that are left out have used, null if there are none.
    :param label: a dimension and its value -> what stands for them.
    :param next: where the next page begins; the rows are those of one page.
    """
    labels: dict[tuple[str, str | None], dict[str, Any]] = {}
    results: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    others: dict[int, dict[str, Any]] = {}
    for row in by_time_and_cost(rows):
        if row.others:
            others[row.start] = {"groups": row.others, **figures_json(row)}
            continue
        groups: dict[str, Any] = {}
        for pair in zip(query.group_by, row.group, strict=True):
            if pair not in labels:
                labels[pair] = label(*pair)
            groups |= labels[pair]
        groups |= figures_json(row)
        results[row.start].append(groups)
    return {
        "object": "list",
        "start": format_instant(query.start, zone),
        "end": format_instant(query.end, zone),
        "zone": query.zone,
        "bucket": query.bucket,
        "group_by": list(query.group_by),
        "prices": "list_and_own" if own_prices else "list",
        "data": [
            {
                "object": "bucket",
                "start": format_instant(start, zone),
                "end": format_instant(end, zone),
                "results": results.get(start, []),
                **({"others": others.get(start)} if has_others else {}),
            }
            for start, end in itertools.pairwise(bounds)
        ],
        "total": figures_json(total(query, rows)),
        "has_more": next is not None,
        "next": next,
    }
