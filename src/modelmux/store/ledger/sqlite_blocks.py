"""Costs of series by blocks of days, in SQLite (see ``cost_blocks``): made after a day is sealed, a block in a
transaction. What comes later is kept beside them, in the transaction of its rows, until its blocks are made anew."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from modelmux.accounts.usage_query import Group, UsageQuery
from modelmux.accounts.usage_top import in_order
from modelmux.store.ledger import cost_blocks, sqlite_series
from modelmux.store.ledger.base import Difference
from modelmux.store.ledger.cost_blocks import Addend, Block, Costs, Packed
from modelmux.store.ledger.most_expensive import OfSeries, most_expensive
from modelmux.store.ledger.owner_costs import costs_of_owners
from modelmux.store.ledger.owner_costs import most_expensive as most_expensive_owners
from modelmux.store.ledger.rollups import Rollup
from modelmux.store.ledger.slots import QUARTERS, first_day, month_of
from modelmux.store.ledger.sqlite_rows import COSTS
from modelmux.store.ledger.usage_groups import TABLES, Series, value_of
from modelmux.store.ledger.usage_ranks import NO_RANKING, Ranking, parts_of_groups

_BEFORE: Final = "SELECT before, blocks_before FROM ledger_sealed"
_SET_BEFORE: Final = "UPDATE ledger_sealed SET blocks_before = ?"
_NEXT: Final = "SELECT min(slot) FROM group_day WHERE slot >= ? AND slot < ?"
_COST: Final = " + ".join(COSTS)
#: Of a table of sums by series.
_COSTS: Final = {table: f"SELECT series, {_COST} FROM {table} WHERE slot >= ? AND slot < ?" for table in TABLES}
_KNOWN: Final = "SELECT first, days FROM cost_block WHERE first >= ? AND first < ?"
_ALL: Final = "SELECT first, days FROM cost_block"
_FIRST: Final = "SELECT min(first) FROM cost_block"
_READ: Final = "SELECT series, costs, present FROM cost_block WHERE first = ? AND days = ?"
_READ_PRESENT: Final = "SELECT present FROM cost_block WHERE first = ? AND days = ?"
_WRITE: Final = "INSERT OR REPLACE INTO cost_block (first, days, series, costs, present) VALUES (?, ?, ?, ?, ?)"
_DELETE: Final = "DELETE FROM cost_block WHERE first = ? AND days = ?"
_LATE: Final = "SELECT series, cost FROM cost_late WHERE day >= ? AND day < ?"
_ADD_LATE: Final = (
    "INSERT INTO cost_late VALUES (?, ?, ?) ON CONFLICT (day, series) DO UPDATE SET cost = cost + excluded.cost"
)
_LATE_DAY: Final = "SELECT min(day) FROM cost_late"
_FORGET_LATE: Final = "DELETE FROM cost_late WHERE day = ?"
_SERIES: Final = (
    "SELECT k.name, s.person, s.team, s.model, s.tags FROM ledger_series AS s CROSS JOIN ledger_key AS k "
    "ON k.number = s.key WHERE s.number = ?"
)
_LAST_KEY: Final = "SELECT coalesce(max(number), 0) FROM ledger_key"
#: Numbers of what has very many values -> its name.
_NAME_OF: Final = {
    "keys": "SELECT name FROM ledger_key WHERE number = ?",
    "people": "SELECT person FROM ledger_series WHERE number = ?",
}
#: A dimension that has very many values -> its numbers.
_COLUMN_OF: Final = {"key": "keys", "person": "people"}
_LABELS: Final = ("key", "person", "team", "model", "tags")
_DAMAGED: Final = "a block of costs is damaged: modelmux usage verify --repair makes it anew"
#: Days of the longest third of a month.
_THIRD: Final = 11
#: Days until 1970.
_EPOCH: Final = date(1970, 1, 1).toordinal()


def answers(connection: sqlite3.Connection) -> bool:
    """Whether there are blocks of all days that are sealed."""
    sealed, before = connection.execute(_BEFORE).fetchone()
    return bool(0 < sealed <= before)


def rank(
    connection: sqlite3.Connection, query: UsageQuery, groups: Sequence[Series], low: int, high: int, sealed: int
) -> Ranking:
    """Within a transaction.

    :param groups: all that there are. :param low, high: microseconds. :param sealed: see ``sqlite_ranks.rank``.
    """
    parts, part_of = parts_of_groups(query, groups)
    if not parts:
        return NO_RANKING
    sums = _sums(connection, low, high, sealed)
    columns = [_COLUMN_OF[name] for name in query.group_by if name in _COLUMN_OF]
    (keys,) = connection.execute(_LAST_KEY).fetchone()
    count = keys + 1 if columns[0] == "keys" else sqlite_series.last(connection) + 1
    named: dict[Group, int] = {}
    if len(query.group_by) == 1 and parts == 1 and min(part_of) == 0:  # all series count, whatever their group
        owners = getattr(sqlite_series.read(connection, columns), columns[0])
        with _damage_told():
            of_owners = costs_of_owners(sums, owners, count)
        for number, cost in most_expensive_owners(of_owners, query.top).items():
            (text,) = connection.execute(_NAME_OF[columns[0]], (number,)).fetchone()
            named[text or None,] = cost
        return _ranking(named, of_owners.used.count(1), query.top)
    values = sqlite_series.read(connection, [*columns, "groups"])
    with _damage_told():
        of_series = OfSeries([getattr(values, name) for name in columns], values.groups, *sums.sums())
        found = most_expensive(of_series, count, parts, part_of, query.top)
    for number, cost in found.costs.items():
        series: Series = (number, *connection.execute(_SERIES, (number,)).fetchone())
        named[tuple(value_of(series, name) for name in query.group_by)] = cost
    return _ranking(named, found.groups, query.top)


def _ranking(costs: Mapping[Group, int], groups: int, most: int) -> Ranking:
    """:param costs: of the most expensive, and of those that cost as much as the last one. :param groups: in all."""
    return Ranking(in_order(costs)[:most], max(0, groups - most))


def add_late(connection: sqlite3.Connection, quarters: Rollup) -> None:
    """Within the transaction of rows. :param quarters: of the rows that came to sealed days, by series."""
    _, before = connection.execute(_BEFORE).fetchone()
    late: defaultdict[tuple[int, int], int] = defaultdict(int)
    for (slot, series), sums in quarters.items():
        if slot < before * QUARTERS:
            late[slot // QUARTERS, series] += sum(sums[-len(COSTS) :])
    connection.executemany(_ADD_LATE, [(*key, cost) for key, cost in sorted(late.items())])


def make_next(connection: sqlite3.Connection) -> bool:
    """Within a write transaction: make the next block, of days that are sealed. :returns: whether there was one."""
    if sqlite_series.make_next(connection):
        return True
    (late,) = connection.execute(_LATE_DAY).fetchone()
    if late is not None:
        _make_anew(connection, late)
        return True
    sealed, before = connection.execute(_BEFORE).fetchone()
    (day,) = connection.execute(_NEXT, (before, sealed)).fetchone()
    if day is not None:
        _write(connection, Block(day, 1), _of_day(connection, day))
        connection.execute(_SET_BEFORE, (day + 1,))
        return True
    connection.execute(_SET_BEFORE, (max(sealed, before),))
    block = cost_blocks.missing(map(Block._make, connection.execute(_ALL)), max(sealed, before))
    if block is None:
        return False
    costs, others = Costs(sqlite_series.last(connection)), [one for one in _known(connection, block) if one != block]
    for part in cost_blocks.chosen(range(block.first, block.end), others)[0]:
        costs.addends.append(Addend(_read(connection, part)))
    _write(connection, block, costs.by_series())
    return True


def differences(connection: sqlite3.Connection, month: int) -> Iterator[Difference]:
    """Of the blocks of a month and what came later, and the sums by day and series. With the first month, also of
    what series are of."""
    if month == _first_month(connection):
        yield from sqlite_series.differences(connection)
    for block, stored, wanted in _differing(connection, month):
        when = date.fromordinal(_EPOCH + block.first).isoformat()
        of = when if block.days == 1 else f"{when} and {block.days - 1} days after it"
        for series in sorted(stored.keys() | wanted.keys()):
            before, after = stored.get(series, 0), wanted.get(series, 0)
            if before != after or (series in stored) != (series in wanted):
                values = connection.execute(_SERIES, (series,)).fetchone() or ()
                text = "".join(f" {name}={value}" for name, value in zip(_LABELS, values, strict=False) if value)
                yield Difference(f"{of} block of costs{text}", before, after)


def repair(connection: sqlite3.Connection, month: int) -> None:
    """Within a write transaction: make the blocks of a month that differ anew, the longer ones with ``make_next``."""
    if month == _first_month(connection):
        sqlite_series.repair(connection)
    for block, _, _ in _differing(connection, month):
        if block.days > 1:
            connection.execute(_DELETE, block)
        else:
            _make_anew(connection, block.first)


def _sums(connection: sqlite3.Connection, low: int, high: int, sealed: int) -> Costs:
    days, edges = cost_blocks.full_days(low, high, sealed)
    known = _known(connection, Block(days.start - _THIRD, len(days) + 2 * _THIRD))
    blocks, others = cost_blocks.chosen(days, known)
    thirds = cost_blocks.rests(blocks, known)
    costs = Costs(sqlite_series.last(connection))
    for third, rest in thirds.items():
        costs.addends.append(Addend(_read(connection, third), usage=False))
        costs.addends += (Addend(_read(connection, block), -1, usage=False) for block in rest)
    for block in blocks:
        if block.days == 1 and cost_blocks.longer(block.first)[0] in thirds:
            (present,) = connection.execute(_READ_PRESENT, block).fetchone()
            costs.addends.append(Addend(Packed(b"", b"", present), 0))
        else:
            costs.addends.append(Addend(_read(connection, block)))
        costs.rows += connection.execute(_LATE, (block.first, block.end))
    for some in others:
        costs.rows += connection.execute(_COSTS["usage_day"], (some.start, some.stop))
    for part in edges:
        costs.rows += connection.execute(_COSTS[part.table], (part.low, part.high))
    return costs


@contextlib.contextmanager
def _damage_told() -> Iterator[None]:
    """:raises sqlite3.DatabaseError: a block has a series that there is not."""
    try:
        yield
    except IndexError:
        raise sqlite3.DatabaseError(_DAMAGED) from None


def _first_month(connection: sqlite3.Connection) -> int | None:
    (first,) = connection.execute(_FIRST).fetchone()
    return None if first is None else month_of(first)


def _make_anew(connection: sqlite3.Connection, day: int) -> None:
    """The block of a day; those of more days are made later, of this one."""
    connection.execute(_FORGET_LATE, (day,))
    for block in (Block(day, 1), *cost_blocks.longer(day)):
        connection.execute(_DELETE, block)
    _write(connection, Block(day, 1), _of_day(connection, day))


def _of_day(connection: sqlite3.Connection, day: int) -> dict[int, int]:
    return dict(connection.execute(_COSTS["usage_day"], (day, day + 1)))


def _differing(connection: sqlite3.Connection, month: int) -> list[tuple[Block, dict[int, int], dict[int, int]]]:
    """Blocks, what they have with what came later, and what they have to have. Of the days, one at a time is read."""
    first, end = first_day(month), first_day(month + 1)
    _, before = connection.execute(_BEFORE).fetchone()
    known, differing = set(_known(connection, Block(first, end - first))), list[tuple[Block, Any, Any]]()
    several: dict[Block, defaultdict[int, int]] = {block: defaultdict(int) for block in sorted(known) if block.days > 1}

    def compare(block: Block, wanted: dict[int, int]) -> None:
        stored = _stored(connection, block)
        for series, cost in connection.execute(_LATE, (block.first, block.end)):
            stored[series] = stored.get(series, 0) + cost
        if stored != wanted:
            differing.append((block, stored, wanted))

    for day in range(first, max([end, *(block.end for block in several)])):
        costs = _of_day(connection, day)
        if day < end and (Block(day, 1) in known or (costs and day < before)):
            compare(Block(day, 1), costs)
        for block, sums in several.items():
            if block.first <= day < block.end:
                for series, cost in costs.items():
                    sums[series] += cost
    for block, sums in several.items():
        compare(block, sums)
    return sorted(differing, key=lambda one: one[0])


def _known(connection: sqlite3.Connection, days: Block) -> list[Block]:
    """The blocks that begin within some days."""
    return [Block(*row) for row in connection.execute(_KNOWN, (days.first, days.end))]


def _read(connection: sqlite3.Connection, block: Block) -> Packed:
    """:raises sqlite3.DatabaseError: it is damaged."""
    packed = Packed(*connection.execute(_READ, block).fetchone())
    if cost_blocks.is_damaged(packed):
        raise sqlite3.DatabaseError(_DAMAGED)
    return packed


def _stored(connection: sqlite3.Connection, block: Block) -> dict[int, int]:
    """Nothing, of a block that is damaged or not there: so it differs."""
    row = connection.execute(_READ, block).fetchone()
    if row is None:
        return {}
    costs = {} if cost_blocks.is_damaged(Packed(*row)) else cost_blocks.unpack(Packed(*row))
    # The bits of a series that there is not could be all that there can be, which are half a gigabyte.
    is_whole = max(costs, default=0) <= sqlite_series.last(connection) and cost_blocks.pack(costs) == row
    return costs if is_whole else {}


def _write(connection: sqlite3.Connection, block: Block, costs: Mapping[int, int]) -> None:
    connection.execute(_WRITE, (*block, *cost_blocks.pack(costs)))
