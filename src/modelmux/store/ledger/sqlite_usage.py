"""Reports, read from rollups alone."""

from __future__ import annotations

import itertools
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from datetime import tzinfo
from typing import Final

from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.config.accounts_check import zone_of
from modelmux.store.ledger.slots import DAY, OF_GROUPS, QUARTER, Part, Table, bucket_bounds, parts_of
from modelmux.store.ledger.sqlite_append import OTHER, SUMS
from modelmux.store.ledger.sqlite_rows import COUNTS, clean, cost_from, counts_from, read_tags

#: Group of requests whose tags were too many for a day.
OTHER_GROUP: Final = "other"
_TAG: Final = "tag:"
_COLUMNS: Final = {"key": 1, "person": 2, "team": 3, "model": 4}
_BUCKETS: Final = ("1h", "1d", "1mo", "all")
#: Longer than any bucket.
_MARGIN: Final = 32 * DAY
_SERIES: Final = (
    "SELECT s.number, k.name, s.person, s.team, s.model, s.tags FROM ledger_series AS s "
    "JOIN ledger_key AS k ON k.number = s.key"
)
_SERIES_OF_KEY: Final = f"{_SERIES} WHERE k.name = ?"
_SERIES_OF_PERSON: Final = f"{_SERIES} WHERE s.person = ?"
_GROUPS: Final = "SELECT number, '', '', team, model, tags FROM ledger_group"
_TABLES: Final[tuple[Table, ...]] = ("usage_month", "usage_day", "usage_quarter")
_USE: Final = {
    table: f"INSERT OR IGNORE INTO used SELECT DISTINCT u.series FROM part CROSS JOIN {table} AS u "
    "ON u.slot >= part.low AND u.slot < part.high"
    for table in _TABLES
}
_USED_SERIES: Final = (
    "SELECT s.number, k.name, s.person, s.team, s.model, s.tags FROM used CROSS JOIN ledger_series AS s "
    "ON s.number = used.series CROSS JOIN ledger_key AS k ON k.number = s.key"
)
_SERIES_COUNT: Final = "SELECT count(*) FROM grouping"
#: Look-ups of single sums that take no longer than to read all sums of a period of a large gateway.
_MOST_LOOKUPS: Final = 100_000
_TEMPORARY: Final = (
    "CREATE TEMP TABLE IF NOT EXISTS part (number INTEGER PRIMARY KEY, low INTEGER, high INTEGER, bucket INTEGER)",
    "CREATE TEMP TABLE IF NOT EXISTS grouping (series INTEGER PRIMARY KEY, number INTEGER)",
    "CREATE TEMP TABLE IF NOT EXISTS used (series INTEGER PRIMARY KEY)",
)

Series = tuple[int, str, str, str, str, str]
Group = tuple[str | None, ...]


def check_query(query: UsageQuery) -> tzinfo:
    """The zone of a query.

    :raises ValueError: the ledger cannot answer it; the message names the parameter and what is expected.
    """
    if query.start % QUARTER or query.end % QUARTER:
        raise ValueError("start and end have to be on a quarter of an hour")
    if query.bucket not in _BUCKETS:
        raise ValueError(f"bucket: expected one of {', '.join(_BUCKETS)}, got {query.bucket!r}")
    for name in (*query.group_by, *(name for name, _ in query.where)):
        if name not in _COLUMNS and not (name.startswith(_TAG) and name != _TAG):
            raise ValueError(f"expected one of {', '.join(_COLUMNS)} or tag:NAME, got {name!r}")
    try:
        return zone_of(query.zone)
    except ValueError:
        raise ValueError(f"zone: {query.zone!r} is not the name of a time zone such as Europe/Berlin") from None


def usage(connection: sqlite3.Connection, query: UsageQuery, zone: tzinfo) -> list[UsageRow]:
    """Within a transaction. By bucket and group; groups without any usage are left out."""
    bounds = _bounds(connection, query, zone)
    if not bounds:
        return []
    parts = parts_of(bounds)
    groups = _grouping(connection, query, parts)
    if not groups:
        return []
    by_group = _is_of_groups(query)
    totals: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0] * len(SUMS))
    for table, sign in itertools.product(_TABLES, (1, -1)):
        chosen = [part for part in parts if (part.table, part.sign) == (table, sign)]
        source = OF_GROUPS[table] if by_group else table
        for bucket, group, *sums in _sums(connection, source, chosen):
            total = totals[bucket, group]
            for index, value in enumerate(sums):
                total[index] += sign * value
    if query.bucket == "all":
        bounds[0] = query.start
    rows = [_row(bounds[bucket], groups[group], sums) for (bucket, group), sums in totals.items() if any(sums)]
    return sorted(rows, key=lambda row: (row.start, *((value is not None, value or "") for value in row.group)))


def is_within(team: str, subtree: str) -> bool:
    """Whether the path of a team is that of another, or below it. :param subtree: an id, or ids joined by ``/``."""
    return f"/{subtree}/" in f"/{team}/"


def _bounds(connection: sqlite3.Connection, query: UsageQuery, zone: tzinfo) -> list[int]:
    """The buckets that may have usage."""
    first, last = connection.execute(
        "SELECT (SELECT min(slot) FROM group_day), (SELECT max(slot) FROM group_day)"
    ).fetchone()
    if first is None:
        return []
    start = max(query.start, first * DAY - _MARGIN)
    return bucket_bounds(start, min(query.end, (last + 1) * DAY), query.bucket, zone)


def _grouping(connection: sqlite3.Connection, query: UsageQuery, parts: list[Part]) -> list[Group]:
    """All groups; the table ``grouping`` then has the number of each series' group."""
    for statement in _TEMPORARY:
        connection.execute(statement)
    connection.execute("DELETE FROM grouping")
    numbers: dict[Group, int] = {}
    rows = []
    for series in _candidates(connection, query, parts):
        if all(_matches(series, name, values) for name, values in query.where):
            group = tuple(_value(series, name) for name in query.group_by)
            rows.append((series[0], numbers.setdefault(group, len(numbers))))
    connection.executemany("INSERT INTO grouping VALUES (?, ?)", rows)
    return list(numbers)


def _candidates(connection: sqlite3.Connection, query: UsageQuery, parts: list[Part]) -> Iterator[Series]:
    """The series that may count: groups; those of the keys or people that are asked for; or all of the period."""
    if _is_of_groups(query):
        yield from connection.execute(_GROUPS)
        return
    where = dict(query.where)
    for name, statement in (("key", _SERIES_OF_KEY), ("person", _SERIES_OF_PERSON)):
        if name in where:
            for value in dict.fromkeys(where[name]):
                yield from connection.execute(statement, (clean(value),))
            return
    connection.execute("DELETE FROM used")
    for table in _TABLES:
        _set_parts(connection, [(part.low, part.high, part.bucket) for part in parts if part.table == table])
        connection.execute(_USE[table])
    yield from connection.execute(_USED_SERIES)


def _set_parts(connection: sqlite3.Connection, ranges: list[tuple[int, int, int]]) -> None:
    connection.execute("DELETE FROM part")
    connection.executemany("INSERT INTO part (low, high, bucket) VALUES (?, ?, ?)", ranges)


def _is_of_groups(query: UsageQuery) -> bool:
    """Whether neither keys nor people matter."""
    return not {"key", "person"}.intersection((*query.group_by, *dict(query.where)))


def _sums(connection: sqlite3.Connection, table: str, parts: list[Part]) -> list[tuple[int, ...]]:
    if not parts:
        return []
    (series,) = connection.execute(_SERIES_COUNT).fetchone()
    is_few = series * sum(part.high - part.low for part in parts) <= _MOST_LOOKUPS
    ranges = [(part.low, part.high, part.bucket) for part in parts]
    if is_few:
        ranges = [(slot, slot + 1, bucket) for low, high, bucket in ranges for slot in range(low, high)]
    _set_parts(connection, ranges)
    # CROSS JOIN fixes the order of the loops: of each slot the series that count, or ranges of the rollup and of each
    # of its rows the group.
    source = (
        f"CROSS JOIN grouping CROSS JOIN {table} AS u ON u.slot = part.low AND u.series = grouping.series"
        if is_few
        else f"CROSS JOIN {table} AS u ON u.slot >= part.low AND u.slot < part.high "
        "CROSS JOIN grouping ON grouping.series = u.series"
    )
    sums = ", ".join(f"sum(u.{name})" for name in SUMS)
    return connection.execute(
        f"SELECT part.bucket, grouping.number, {sums} FROM part {source} GROUP BY 1, 2"
    ).fetchall()


def _value(series: Series, name: str) -> str | None:
    if name in _COLUMNS:
        return str(series[_COLUMNS[name]]) or None
    if series[5] == OTHER:
        return OTHER_GROUP
    return dict(read_tags(series[5])).get(name.removeprefix(_TAG))


def _matches(series: Series, name: str, values: tuple[str, ...]) -> bool:
    value = _value(series, name) or ""
    return any(is_within(value, wanted) for wanted in values) if name == "team" else value in values


def _row(start: int, group: Group, sums: list[int]) -> UsageRow:
    requests, errors, unpriced, *others = sums
    costs = others[len(COUNTS) :]
    return UsageRow(
        start=start,
        group=group,
        requests=requests,
        errors=errors,
        unpriced=unpriced,
        counts=counts_from(others),
        cost=cost_from(costs),
    )
