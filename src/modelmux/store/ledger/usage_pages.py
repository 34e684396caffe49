"""What a page of a report reads: some groups at a time, until it is full. The same in every engine.

Keys and people may be very many, so a page reads the series of some of them only, in the order of their names. What
else a report is by has few values, which are read at once. So many groups are chosen that their sums are not too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from modelmux.accounts.usage_pages import MANY, Position, UsagePage, is_after, page_order
from modelmux.accounts.usage_query import Group, UsageQuery, UsageRow, by_name, ranks_by_name
from modelmux.store.ledger.base import MOST_READ
from modelmux.store.ledger.usage_groups import Series, Source, matches, slots_of, value_of

#: Results of a page, at most, unless one group has more: each has one in every bucket.
PAGE_RESULTS: Final = 4_000


class Values(NamedTuple):
    """Which keys or people are wanted, in the order of their names.

    :param name: the dimension. :param first: where they begin; an empty text is that of none.
    :param is_included: whether ``first`` is one. :param most: so many.
    """

    name: str
    first: str
    is_included: bool
    most: int


class Chosen(NamedTuple):
    """What is read next.

    :param numbers: of groups. :param series: of each source, the number of each series, and that of its group.
    """

    numbers: dict[Group, int]
    series: list[list[tuple[int, int]]]


class PageReader:
    """A page while it is read: says which series are wanted, and chooses those whose sums are read next.

    :param sources: at least one. :param buckets: how many. :param after: where the page begins.
    :param limit: groups of the page at most.
    """

    def __init__(self, query: UsageQuery, sources: Sequence[Source], buckets: int, after: Position, limit: int) -> None:
        self._query = query
        self._names = page_order(query.group_by)
        self._indexes = [self._names.index(name) for name in query.group_by]
        self._slots = [slots_of(source) for source in sources]
        self._after = after
        self._buckets = buckets
        self._groups_left, self._results_left = limit, max(PAGE_RESULTS, buckets)
        self._sums = MOST_READ
        self._rows: list[UsageRow] = []
        self._values: list[str] = []
        #: Whether what is offered is all there is.
        self._is_rest = True
        self._is_begun = self._is_full = self._is_end = False

    @property
    def is_by_values(self) -> bool:
        """Whether the series of some keys or people are wanted at a time. Of those that are asked for, all are."""
        filters = dict(self._query.where)
        return bool(self._names) and self._names[0] in MANY and not any(name in filters for name in MANY)

    @property
    def is_over(self) -> bool:
        return self._is_end or self._is_full or self._room < 1

    @property
    def _room(self) -> int:
        """Groups that are read next at most: they may have a result in each bucket."""
        return min(self._groups_left, self._results_left // self._buckets)

    def values(self) -> Values:
        """The keys or people whose series are wanted: one more than there is room for, to see whether there is one."""
        first = self._after[0] if self._after else None
        return Values(self._names[0], first or "", len(self._after) != 1, self._room + 1)

    def choose_values(self, counts: Sequence[tuple[str, int]]) -> list[str]:
        """Those of which all series are to be offered; at least one, unless the page is over.

        :param counts: each of ``values``, with the number of its series that count.
        """
        chosen: list[str] = []
        sums = self._sums
        for value, count in counts[: self._room]:
            sums -= count * self._slots[0]
            if sums < 0 and (chosen or self._is_begun):
                break
            chosen.append(value)
        self._values, self._is_rest = chosen, len(chosen) == len(counts)
        self._is_end, self._is_full = not counts, not chosen
        return chosen

    def choose(self, offered: Sequence[Iterable[Series]]) -> Chosen:
        """What to read. :param offered: of each source, all series, or those of the values that were chosen."""
        groups = self._groups(offered)
        ordered = sorted(groups, key=by_name)
        positions = self._fitting([(position, groups[position]) for position in ordered[: self._room]])
        if len(positions) < len(ordered):
            self._after = positions[-1] if positions else self._after
            self._is_full = not positions
        else:
            self._after = (self._values[-1] or None,) if self._values else self._after
            self._is_end = self._is_rest
        numbers = {
            tuple(position[index] for index in self._indexes): number for number, position in enumerate(positions)
        }
        series: list[list[tuple[int, int]]] = [[] for _ in self._slots]
        for number, position in enumerate(positions):
            for source, one in groups[position]:
                series[source].append((one, number))
        return Chosen(numbers, series)

    def add(self, rows: Sequence[UsageRow]) -> None:
        """What was read."""
        self._rows += rows
        self._groups_left -= len({row.group for row in rows})
        self._results_left -= len(rows)

    def page(self) -> UsagePage:
        """In the order of reports: by bucket, then by group."""
        ranks = ranks_by_name(row.group for row in self._rows)
        rows = sorted(self._rows, key=lambda row: (row.start, ranks[row.group]))
        return UsagePage(rows, None if self._is_end else self._after)

    def _groups(self, offered: Sequence[Iterable[Series]]) -> dict[Group, list[tuple[int, int]]]:
        """Those that the pages before do not have, each with its series: number of the source, number of the series."""
        groups: dict[Group, list[tuple[int, int]]] = {}
        for source, candidates in enumerate(offered):
            for series in candidates:
                if all(matches(series, *condition) for condition in self._query.where):
                    position = tuple(value_of(series, name) for name in self._names)
                    if is_after(position, self._after):
                        groups.setdefault(position, []).append((source, series[0]))
        return groups

    def _fitting(self, groups: Sequence[tuple[Group, Sequence[tuple[int, int]]]]) -> list[Group]:
        """The first ones, whose sums are not too many; at least one of a page."""
        positions: list[Group] = []
        for position, series in groups:
            sums = sum(self._slots[source] for source, _ in series)
            if sums > self._sums and self._is_begun:
                break
            self._sums -= sums
            self._is_begun = True
            positions.append(position)
        return positions
