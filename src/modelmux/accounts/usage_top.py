"""The most expensive groups of an answer, and all others as one row in each bucket."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from modelmux.accounts.usage_query import Group, UsageRow, added, by_name


def in_order(costs: Mapping[Group, int]) -> list[Group]:
    """The most expensive first; those that cost the same by name, those without one before all."""
    return sorted(costs, key=lambda group: (-costs[group], by_name(group)))


def top_groups(rows: Sequence[UsageRow], most: int) -> list[UsageRow]:
    """The rows of the groups that cost most in the whole period; in each bucket, one more with the sums of the others.

    :param most: groups.
    """
    costs: defaultdict[Group, int] = defaultdict(int)
    for row in rows:
        costs[row.group] += row.cost.total
    if len(costs) <= most:
        return list(rows)
    top = set(in_order(costs)[:most])
    others: defaultdict[int, list[UsageRow]] = defaultdict(list)
    for row in rows:
        if row.group not in top:
            others[row.start].append(row)
    rest = (_rest(start, some, len(costs) - most) for start, some in others.items())
    return [*(row for row in rows if row.group in top), *rest]


def _rest(start: int, rows: Sequence[UsageRow], others: int) -> UsageRow:
    return replace(added(start, rows), others=others)
