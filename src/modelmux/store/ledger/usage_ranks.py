"""Reports that show the groups that cost most, of very many, and the sum of the others: the same in every engine.

Keys and people may be many thousands. So their costs alone are added up first; what else a report has is read of the
groups that it shows, and of all together.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from msgspec.structs import replace

from modelmux.accounts.usage_query import Group, UsageQuery, UsageRow, difference
from modelmux.store.ledger.usage_groups import Series, matches, value_of

_MANY: Final = frozenset({"key", "person"})
_COLUMNS: Final = ("team", "model", "tags")

Numbered = TypeVar("Numbered")


class Ranking(NamedTuple):
    """:param groups: those that cost most in the whole period. :param others: how many more there are."""

    groups: Sequence[Group]
    others: int


NO_RANKING: Final = Ranking((), 0)


def is_ranked(query: UsageQuery, *, by_tags: bool = False) -> bool:
    """Whether costs are added up first: there may be very many groups.

    :param by_tags: also if tags are among what they are by.
    """
    by, of = frozenset(query.group_by), frozenset(name for name, _ in query.where)
    return bool(query.top and by & _MANY and (by_tags or by <= _MANY | {"team", "model"}) and not of & _MANY)


def wanted(query: UsageQuery, groups: Iterable[Series]) -> dict[str, list[str]] | None:
    """Column -> the values that count, of the columns that the question limits; None if there is nothing that counts.

    :param groups: all that there are, of teams, models and tags.
    """
    known, limits = list(groups), dict[str, list[str]]()
    for index, column in enumerate(_COLUMNS):
        where = [(name, values) for name, values in query.where if (name if name in _COLUMNS else "tags") == column]
        if where:
            values = {str(one[3 + index]) for one in known if all(matches(one, *condition) for condition in where)}
            limits[column] = sorted(values)
    return None if any(not values for values in limits.values()) else limits


def parts_of_groups(query: UsageQuery, groups: Sequence[Series]) -> tuple[int, list[int]]:
    """What else a question is by than keys and people: how many combinations of values there are that count, and by
    number of a group which of them it has; -1 if it does not count.

    :param groups: all that there are, of teams, models and tags.
    """
    names = [name for name in query.group_by if name not in _MANY]
    parts: dict[Group, int] = {}
    part_of = [0] + [-1] * max((group[0] for group in groups), default=0)  # no group has the number 0
    for group in groups:
        if all(matches(group, *condition) for condition in query.where):
            part_of[group[0]] = parts.setdefault(tuple(value_of(group, name) for name in names), len(parts))
    return len(parts), part_of


def at_least_as_expensive(costs: Mapping[Numbered, int], most: int) -> list[Numbered]:
    """The groups that cost most, and those that cost as much as the last of them. :param costs: some."""
    least = heapq.nlargest(most, costs.values())[-1]
    return [group for group, cost in costs.items() if cost >= least]


def of_groups(query: UsageQuery, groups: Sequence[Group]) -> UsageQuery:
    """The question about these groups, and others of the same keys or people. :param groups: at least one."""
    index, name = next((index, name) for index, name in enumerate(query.group_by) if name in _MANY)
    values = tuple(dict.fromkeys(group[index] or "" for group in groups))
    return replace(query, top=0, where=(*query.where, (name, values)))


def of_all(query: UsageQuery) -> UsageQuery:
    """The question about all groups together."""
    return replace(query, top=0, group_by=())


def with_others(ranking: Ranking, rows: Sequence[UsageRow], totals: Iterable[UsageRow]) -> list[UsageRow]:
    """The rows of the groups of a ranking, and in each bucket one more with what the others used.

    :param rows: of these groups, which answer ``of_groups``. :param totals: that answer ``of_all``.
    """
    by_start: dict[int, list[UsageRow]] = {}
    for row in rows:
        by_start.setdefault(row.start, []).append(row)
    rest = [replace(difference(total, by_start.get(total.start, ())), others=ranking.others) for total in totals]
    return [*rows, *(row for row in rest if row != UsageRow(start=row.start, others=ranking.others))]
