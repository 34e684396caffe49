"""Questions about usage, and the answers: buckets of time by key, team, person, model or tag."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from modelmux.accounts.cost import Cost, TokenCounts

#: ``tag:NAME`` stands for the values of one tag.
Bucket = Literal["1h", "1d", "1mo", "all"]


class UsageQuery(Struct, frozen=True, kw_only=True):
    """A question that rollups answer.

    :param start, end: microseconds in UTC; ``start`` is included, ``end`` is not. Both are on a quarter of an hour,
        as the days and hours of every zone are.
    :param zone: IANA name, in which days and months begin.
    :param group_by: of ``key``, ``team``, ``person``, ``model`` and ``tag:NAME``.
    :param where: dimension -> the values that count; ``team`` means its subtree.
    """

    start: int
    end: int
    bucket: Bucket = "all"
    zone: str = "UTC"
    group_by: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()


class UsageRow(Struct, frozen=True, kw_only=True):
    """One bucket of one group.

    :param start: microseconds in UTC, at which the bucket begins, or the period if that is later.
    :param group: values in the order of ``group_by``; None where a request has none.
    :param requests: rows that correct no other.
    :param errors: requests that ended neither well nor because the client left.
    :param unpriced: requests whose price is unknown, also to all rows that correct them; ``cost`` lacks them.
    """

    start: int
    group: tuple[str | None, ...] = ()
    requests: int = 0
    errors: int = 0
    unpriced: int = 0
    counts: TokenCounts = TokenCounts()
    cost: Cost = Cost()
