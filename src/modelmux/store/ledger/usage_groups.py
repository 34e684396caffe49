"""What reports of usage ask for, what they read, and how sums become their rows: the same in every engine."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import tzinfo
from operator import add, sub
from typing import Final, NamedTuple, get_args

from modelmux.accounts.usage_query import Bucket, UsageQuery, UsageRow, ranks_by_name
from modelmux.config.accounts_check import zone_of
from modelmux.store.ledger.rollups import OTHER, SUMS
from modelmux.store.ledger.slots import (
    DAY,
    OF_GROUPS,
    OF_SLICES,
    QUARTER,
    Part,
    SliceKind,
    Table,
    additive_parts,
    bucket_bounds,
    parts_of,
    split_at,
)
from modelmux.store.ledger.sqlite_rows import COUNTS, cost_from, counts_from, read_tags

#: Group of requests whose tags were too many for a day.
OTHER_GROUP: Final = "other"
_TAG: Final = "tag:"
_COLUMNS: Final = {"key": 1, "person": 2, "team": 3, "model": 4}
_BUCKETS: Final = get_args(Bucket)
#: Longer than any bucket.
_MARGIN: Final = 32 * DAY
_NOTHING: Final = [0] * len(SUMS)
#: Of rollups, the coarsest first.
TABLES: Final[tuple[Table, ...]] = ("usage_month", "usage_day", "usage_hour", "usage_quarter")

#: Number, key, person, team, model, tags.
Series = tuple[int, str, str, str, str, str]
Group = tuple[str | None, ...]
#: (bucket, group) -> sums.
Totals = dict[tuple[int, int], list[int]]
#: Slots, the second not included -> where their sums are added or taken.
Ranges = dict[tuple[int, int], list[Part]]


class Source(NamedTuple):
    """Tables that are read together.

    :param tables: by the names that parts have. :param slices: the kind that counts; None for other tables.
    """

    tables: Mapping[Table, str]
    slices: SliceKind | None
    parts: list[Part]


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


def is_within(team: str, subtree: str) -> bool:
    """Whether the path of a team is that of another, or below it. :param subtree: an id, or ids joined by ``/``."""
    return f"/{subtree}/" in f"/{team}/"


def bounds_of(query: UsageQuery, zone: tzinfo, first: int | None, last: int | None) -> list[int]:
    """The bounds of the buckets that may have usage. :param first, last: days that have any."""
    if first is None or last is None:
        return []
    start = max(query.start, first * DAY - _MARGIN)
    return bucket_bounds(start, min(query.end, (last + 1) * DAY), query.bucket, zone)


def sources_of(query: UsageQuery, bounds: list[int], sealed: int) -> list[Source]:
    """What to read.

    :param sealed: days since 1970; of those before, there are hours and slices.
    """
    return _sources(query, parts_of(bounds, hours_before=sealed), sealed)


def additive_sources(query: UsageQuery, bounds: list[int], sealed: int) -> list[Source]:
    """The same tables, with nothing that is taken from a bucket: a group with a sum in one of its slots has used
    something in it."""
    buckets = enumerate(itertools.pairwise(bounds))
    parts = [
        part._replace(bucket=bucket) for bucket, (low, high) in buckets for part in additive_parts(low, high, sealed)
    ]
    return _sources(query, parts, sealed)


def _sources(query: UsageQuery, parts: list[Part], sealed: int) -> list[Source]:
    kind = _slice_kind(query)
    if kind is not None:
        of_sealed, others = split_at(parts, sealed)
        sources = [Source(dict(OF_SLICES), kind, of_sealed), Source(dict(OF_GROUPS), None, others)]
    else:
        tables = dict(OF_GROUPS) if is_of_groups(query) else {table: table for table in TABLES}
        sources = [Source(tables, None, parts)]
    return [source for source in sources if source.parts]


def grouping_of(
    query: UsageQuery, candidates: Iterable[Series], numbers: dict[Group, int], shown: Container[Group] | None = None
) -> list[tuple[int, int]]:
    """Each series that counts, and the number of its group.

    :param numbers: of groups; gets new ones. :param shown: the groups that count; None for all.
    """
    rows = []
    for series in candidates:
        if all(matches(series, name, values) for name, values in query.where):
            group = tuple(value_of(series, name) for name in query.group_by)
            if shown is None or group in shown:
                rows.append((series[0], numbers.setdefault(group, len(numbers))))
    return rows


def slots_of(source: Source) -> int:
    """How many sums are read of each series."""
    return sum(high - low for table in TABLES for low, high in ranges_of(source, table))


def ranges_of(source: Source, table: Table) -> Ranges:
    """What to read of a table. What is taken from a bucket is often what is added to the next one, and is read once."""
    ranges: Ranges = {}
    for part in source.parts:
        if part.table == table:
            ranges.setdefault((part.low, part.high), []).append(part)
    return ranges


def add_sums(totals: Totals, ranges: Ranges, rows: Iterable[Sequence[int]]) -> None:
    """:param rows: number of a range, number of a group, and sums each."""
    parts = list(ranges.values())
    for number, group, *sums in rows:
        for part in parts[number]:
            total = totals.get((part.bucket, group), _NOTHING)
            totals[part.bucket, group] = list(map(add if part.sign > 0 else sub, total, sums))


def report_of(query: UsageQuery, bounds: list[int], numbers: Mapping[Group, int], totals: Totals) -> list[UsageRow]:
    """The rows of a report, in their order; those without any usage are left out. :param numbers: of groups."""
    groups, ranks = list(numbers), ranks_by_name(numbers)
    starts = [query.start, *bounds[1:]] if query.bucket == "all" else bounds
    ranked = [(bucket, ranks[groups[group]], group, sums) for (bucket, group), sums in totals.items() if any(sums)]
    return [_row(starts[bucket], groups[group], sums) for bucket, _, group, sums in sorted(ranked)]


def is_of_groups(query: UsageQuery) -> bool:
    """Whether neither keys nor people matter."""
    return not {"key", "person"}.intersection((*query.group_by, *dict(query.where)))


def _slice_kind(query: UsageQuery) -> SliceKind | None:
    """The slices that answer a query: it is about one dimension at most, which has some."""
    names = {*query.group_by, *dict(query.where)}
    kinds: set[SliceKind] = {"tags" if name.startswith(_TAG) else name for name in names}  # type: ignore[misc]
    if not kinds:
        return "all"
    return next(iter(kinds)) if len(kinds) == 1 and kinds <= {"team", "model", "tags"} else None


def value_of(series: Series, name: str) -> str | None:
    """The value of a dimension."""
    if name in _COLUMNS:
        return str(series[_COLUMNS[name]]) or None
    if series[5] == OTHER:
        return OTHER_GROUP
    return dict(read_tags(series[5])).get(name.removeprefix(_TAG))


def matches(series: Series, name: str, values: tuple[str, ...]) -> bool:
    """Whether a series has one of the values of a dimension."""
    value = value_of(series, name) or ""
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
