"""How PostgreSQL compares rollups with what they are the sums of: a day, or some series of a month, in one statement.

However many keys there are, only sums that differ leave the server, and no more than are asked for. What the statement
needs beyond the memory that the server gives it (``work_mem``) is in temporary files of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Final

from modelmux.store.ledger.postgres_sums import TABLES
from modelmux.store.ledger.rollups import NO_GROUP, SUMS
from modelmux.store.ledger.slots import HOURS, OF_SLICES, QUARTER, QUARTERS, QUARTERS_OF_HOUR
from modelmux.store.ledger.sqlite_rows import COSTS, COUNTS
from modelmux.store.ledger.verify_sections import kind_of

_SUMMED: Final = ", ".join(f"sum({name}) AS {name}" for name in SUMS)
_IS_UNPRICED: Final = (
    "l.corrects IS NULL AND l.cost_input IS NULL AND NOT EXISTS (SELECT 1 FROM ledger_lookup AS c "
    "WHERE c.corrects IS NOT NULL AND c.corrects = l.id AND c.priced)"
)
_OF_ROWS: Final = ", ".join((
    "count(*) FILTER (WHERE l.corrects IS NULL) AS requests", "count(*) FILTER (WHERE l.failed) AS errors",
    f"count(*) FILTER (WHERE {_IS_UNPRICED}) AS unpriced", *(f"sum(l.{name}) AS {name}" for name in COUNTS),
    *(f"coalesce(sum(l.{name}), 0) AS {name}" for name in COSTS),
))  # fmt: skip
#: Of a day. $1 and $2: the first and the last day of ids. $3 and $4: microseconds. $5: the day. $6 and $7: ids, so that
#: of the days next to it only the rows close to midnight are read. $8: days of ids of rows that are displaced, if there
#: are any.
_BY_ID: Final = (
    "SELECT * FROM ledger WHERE day >= $1 AND day <= $2 AND id >= $6 AND id < $7 AND NOT displaced "
    "AND at >= $3 AND at < $4"
)
_DISPLACED: Final = "SELECT * FROM ledger WHERE day = ANY($8::integer[]) AND displaced AND at >= $3 AND at < $4"
_GROUPS: Final = (
    f'SELECT q.slot, coalesce(s."group", {NO_GROUP}) AS series, {_SUMMED} FROM usage_quarters AS q '
    "LEFT JOIN ledger_series AS s ON s.number = q.series GROUP BY 1, 2"
)
#: A slice that is not there has a number that none has.
_SLICES_OF_GROUPS: Final = (
    "SELECT g.number AS series, coalesce(o.number, -1 - v.place) AS number "
    "FROM (SELECT DISTINCT series FROM group_quarters) AS u JOIN ledger_group AS g ON g.number = u.series "
    "CROSS JOIN LATERAL (VALUES (0, 'all', ''), (1, 'team', g.team), (2, 'model', g.model), (3, 'tags', g.tags)) "
    "AS v (place, kind, value) LEFT JOIN ledger_slice AS o ON o.kind = v.kind AND o.value = v.value"
)
_SLICES: Final = (
    f"SELECT q.slot, o.number AS series, {_SUMMED} FROM group_quarters AS q "
    "JOIN slices_of_groups AS o ON o.series = q.series GROUP BY 1, 2"
)
#: Of a part of a month. $1: its number. $2: its days. Series after $3, up to $4.
_OF_MONTH: Final = "slot = $1::bigint AND series > $3::bigint AND series <= $4::bigint"
_OF_DAYS: Final = (
    f"SELECT $1::bigint AS slot, series, {_SUMMED} FROM {{}} WHERE slot = ANY($2::bigint[]) "
    "AND series > $3::bigint AND series <= $4::bigint GROUP BY 2"
)
#: Part of a name of a table -> quarters of an hour of a slot of it, and its slots in a day.
_SCALES: Final = {"quarter": (1, QUARTERS), "hour": (QUARTERS_OF_HOUR, HOURS), "day": (QUARTERS, 1)}


@cache
def of_day(*, is_sealed: bool, has_displaced: bool) -> str:
    """Of the tables of a day, from its rows.

    Its last parameter, as that of each statement, is how many differences are returned: rows of an index in ``TABLES``,
    a slot, a series, what is stored and what has to be.

    :param is_sealed: tables of hours and slices, too.
    """
    rows = f"{_BY_ID} UNION ALL {_DISPLACED}" if has_displaced else _BY_ID
    parts = {
        "usage_quarters": f"SELECT l.at / {QUARTER} AS slot, l.series, {_OF_ROWS} FROM ({rows}) AS l GROUP BY 1, 2",
        "group_quarters": _GROUPS,
    }
    units = ("quarter", "hour", "day") if is_sealed else ("quarter", "day")
    tables = [f"{kind}_{unit}" for kind in ("usage", "group") for unit in units]
    if is_sealed:
        parts |= {"slices_of_groups": _SLICES_OF_GROUPS, "slice_quarters": _SLICES}
        tables += OF_SLICES.values()
    compared = _compared(tables, lambda table: _of_slots(table, "$5"), _coarser)
    return _statement(parts, compared, 9 if has_displaced else 8)


@cache
def of_month(table: str) -> str:
    """Of some series, or groups, of a table of months, from those of their days."""
    compared = _compared([table], lambda _: _OF_MONTH, lambda _: _OF_DAYS.format(f"{kind_of(table)}_day"))
    return _statement({}, compared, 5)


def _of_slots(table: str, day: str) -> str:
    """The condition of a table's slots. In tables of slices, the slice comes first."""
    _, count = _SCALES[table.partition("_")[2]]
    by_slice = "series IN (SELECT number FROM ledger_slice) AND " if kind_of(table) == "slice" else ""
    return f"{by_slice}slot >= {day}::bigint * {count} AND slot < ({day}::bigint + 1) * {count}"


def _coarser(table: str) -> str:
    """What a table has to have."""
    kind, _, unit = table.partition("_")
    quarters, _ = _SCALES[unit]
    if quarters == 1:
        return f"SELECT * FROM {kind}_quarters"
    return f"SELECT slot / {quarters} AS slot, series, {_SUMMED} FROM {kind}_quarters GROUP BY 1, 2"


def _compared(tables: Sequence[str], slots: Callable[[str], str], right: Callable[[str], str]) -> str:
    """Rows of all tables that differ. One that is not there is as one whose sums are 0."""
    old = ", ".join(f"coalesce(s.{name}, 0)" for name in SUMS)
    new = ", ".join(f"coalesce(r.{name}, 0)" for name in SUMS)
    named = ", ".join(f"coalesce(r.{name}, 0) AS {name}" for name in SUMS)
    return " UNION ALL ".join(
        f"SELECT {TABLES.index(table)} AS index, coalesce(s.slot, r.slot) AS slot, "
        "coalesce(s.series, r.series) AS series, "
        f"ARRAY[{old}]::bigint[] AS stored, {named} "
        f"FROM (SELECT * FROM {table} WHERE {slots(table)}) AS s "
        f"FULL JOIN ({right(table)}) AS r ON r.slot = s.slot AND r.series = s.series WHERE ROW({old}) <> ROW({new})"
        for table in tables
    )


def _statement(parts: Mapping[str, str], compared: str, most: int) -> str:
    """
    :param parts: names of what ``compared`` is made from. :param most: the number of the last parameter.
    """
    clauses = [f"{name} AS MATERIALIZED ({text})" for name, text in parts.items()]
    clauses.append(f"differing AS ({compared})")
    return (
        f"WITH {', '.join(clauses)} SELECT index, slot, series, stored, "
        f"ARRAY[{', '.join(SUMS)}]::numeric[] AS recomputed FROM differing "
        f"ORDER BY index, slot, series LIMIT ${most}::bigint"
    )
