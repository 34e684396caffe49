"""Usage as clients of the API and ``--json`` see it: figures of a group, and buckets of groups. Costs are exact."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Any

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.periods import format_instant
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.catalog.prices import usd

#: See ``usage_json``.
Label = Callable[[str, str | None], dict[str, Any]]


def money(nano: int) -> dict[str, str]:
    """An exact amount, in the form that all JSON has."""
    return {"amount": usd(nano), "currency": "USD"}


def figures_json(row: UsageRow) -> dict[str, Any]:
    """What one group has used."""
    counts = {name: getattr(row.counts, name) for name in row.counts.__struct_fields__}
    searches = counts.pop("web_searches")
    return {
        "requests": row.requests,
        "errors": row.errors,
        "unpriced": row.unpriced,
        "tokens": counts,
        "web_searches": searches,
        "cost": money(row.cost.total),
        "cost_components": {name: usd(getattr(row.cost, name)) for name in row.cost.__struct_fields__},
    }


def total(query: UsageQuery, rows: Sequence[UsageRow]) -> UsageRow:
    """All rows together."""
    counts, cost = TokenCounts(), Cost()
    for row in rows:
        counts += row.counts
        cost += row.cost
    return UsageRow(
        start=query.start,
        requests=sum(row.requests for row in rows),
        errors=sum(row.errors for row in rows),
        unpriced=sum(row.unpriced for row in rows),
        counts=counts,
        cost=cost,
    )


def by_time_and_cost(rows: Sequence[UsageRow]) -> list[UsageRow]:
    """By time, the most expensive first, in an order that does not depend on the ledger."""
    return sorted(rows, key=lambda row: (row.start, -row.cost.total, [value or "" for value in row.group]))


def usage_json(
    query: UsageQuery,
    bounds: Sequence[int],
    rows: Sequence[UsageRow],
    zone: tzinfo,
    *,
    own_prices: bool,
    label: Label = lambda name, value: {name: value},
) -> dict[str, Any]:
    """Buckets of time, those without any usage too, each with its groups: as OpenAI's ``organization/usage`` has them.

    :param bounds: when the buckets begin, and when the last one ends; microseconds in UTC.
    :param own_prices: the configuration has some.
    :param label: a dimension and its value -> what stands for them.
    """
    labels: dict[tuple[str, str | None], dict[str, Any]] = {}
    results: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in by_time_and_cost(rows):
        groups: dict[str, Any] = {}
        for pair in zip(query.group_by, row.group, strict=True):
            if pair not in labels:
                labels[pair] = label(*pair)
            groups |= labels[pair]
        results[row.start].append({**groups, **figures_json(row)})
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
            }
            for start, end in itertools.pairwise(bounds)
        ],
        "total": figures_json(total(query, rows)),
        "has_more": False,
        "next": None,
    }
