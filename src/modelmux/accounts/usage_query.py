"""Questions about usage, and the answers: buckets of time by key, team, person, model or tag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from modelmux.accounts.cost import Cost, TokenCounts

#: Hours, days, weeks from Monday on, months, or the whole period.
Bucket = Literal["1h", "1d", "1w", "1mo", "all"]
Group = tuple[str | None, ...]


def by_name(group: Group) -> tuple[tuple[bool, str], ...]:
    """A key for sorting, in which no value comes before an empty one."""
    return tuple((value is not None, value or "") for value in group)


def ranks_by_name(groups: Iterable[Group]) -> dict[Group, int]:
    """Of each group, how many come before it: a report has few groups and many rows, which are sorted by this."""
    return {group: rank for rank, group in enumerate(sorted(set(groups), key=by_name))}


class UsageQuery(Struct, frozen=True, kw_only=True):
    """A question that rollups answer.

    :param start, end: microseconds in UTC; ``start`` is included, ``end`` is not. Both are on a quarter of an hour,
        as the days and hours of every zone are.
    :param zone: IANA name, in which days, weeks and months begin.
    :param group_by: of ``key``, ``team``, ``person``, ``model`` and ``tag:NAME``, the values of one tag.
    :param where: dimension -> the values that count; ``team`` means its subtree.
    :param top: only so many groups, those that cost most in the whole period; in each bucket, the others are one more
        row. 0 for all groups.
    """

    start: int
    end: int
    bucket: Bucket = "all"
    zone: str = "UTC"
    group_by: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    top: int = 0


class UsageRow(Struct, frozen=True, kw_only=True):
    """One bucket of one group.

    :param start: microseconds in UTC, at which the bucket begins, or the period if that is later.
    :param group: values in the order of ``group_by``; None where a request has none.
    :param requests: rows that correct no other.
    :param errors: requests that ended neither well nor because the client left.
    :param others: this adds up what so many groups of the period have in the bucket, whose names it lacks; 0 for one
        group.
    :param unpriced: requests whose price is unknown, also to all rows that correct them; ``cost`` lacks them.
    """

    start: int
    group: Group = ()
    requests: int = 0
    errors: int = 0
    unpriced: int = 0
    counts: TokenCounts = TokenCounts()
    cost: Cost = Cost()
    others: int = 0


def added(start: int, rows: Sequence[UsageRow]) -> UsageRow:
    """Rows of several groups as one of none. :param start: of the row, in microseconds of UTC."""
    counts, cost = TokenCounts(), Cost()
    for row in rows:
        counts += row.counts
        cost += row.cost
    return UsageRow(
        start=start,
        requests=sum(row.requests for row in rows),
        errors=sum(row.errors for row in rows),
        unpriced=sum(row.unpriced for row in rows),
        counts=counts,
        cost=cost,
    )


def difference(total: UsageRow, rows: Sequence[UsageRow]) -> UsageRow:
    """What is left of a sum, without some of the rows that it has."""
    some = added(total.start, rows)
    return UsageRow(
        start=total.start,
        requests=total.requests - some.requests,
        errors=total.errors - some.errors,
        unpriced=total.unpriced - some.unpriced,
        counts=TokenCounts(**_less(total.counts, some.counts)),
        cost=Cost(**_less(total.cost, some.cost)),
    )


def _less(total: TokenCounts | Cost, some: TokenCounts | Cost) -> dict[str, int]:
    return {name: getattr(total, name) - getattr(some, name) for name in total.__struct_fields__}
