"""Usage as a table for people and as JSON for machines. Costs in JSON are exact; a total is the sum of its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import tzinfo
from typing import Any, Final

from modelmux.accounts.periods import format_instant
from modelmux.accounts.usage_names import NAME_FIELDS, Names
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.accounts.usage_views import by_time_and_cost, figures_json, total
from modelmux.cli.sanitize import one_line

_TIMES: Final = {"1h": "HOUR", "1d": "DAY", "1w": "WEEK", "1mo": "MONTH"}
_FIGURES: Final = ("REQUESTS", "ERRORS", "INPUT", "CACHE-WRITE", "CACHE-READ", "OUTPUT", "USD")
_SMALLEST: Final = 100_000  # nano-USD: the last of four decimals


def as_json(
    query: UsageQuery, rows: Sequence[UsageRow], zone: tzinfo, names: Names, *, own_prices: bool
) -> dict[str, Any]:
    """The answer for machines.

    :param names: those of groups, as far as they are known. :param own_prices: there are some.
    """
    return {
        "start": format_instant(query.start, zone),
        "end": format_instant(query.end, zone),
        "zone": query.zone,
        "bucket": query.bucket,
        "group_by": list(query.group_by),
        "prices": "list_and_own" if own_prices else "list",
        "rows": [
            {
                "start": format_instant(row.start, zone),
                **_group_json(query, row, names),
                **figures_json(row),
            }
            for row in by_time_and_cost(rows)
        ],
        "total": figures_json(total(query, rows)),
    }  # fmt: skip


def table(query: UsageQuery, rows: Sequence[UsageRow], zone: tzinfo, names: Names) -> list[str]:
    """Lines of single words, so that other programs can split them; the last is the total.

    :param names: stand for the values of groups that have one.
    """
    labels = _labels(query, [row for row in rows if not row.others], names)
    times = [_TIMES[query.bucket]] if query.bucket != "all" else []
    heads = [*times, *(name.upper() for name in query.group_by)]
    cells = [[*heads, *_FIGURES]]
    for row in by_time_and_cost(rows) if heads else ():
        start = [_short(row.start, query, zone)] if times else []
        groups = (
            [labels[pair] for pair in zip(query.group_by, row.group, strict=True)]
            if not row.others
            else [f"{row.others}_others", *[""] * len(query.group_by)][: len(query.group_by)]
        )
        cells.append([*start, *(one_line(label).replace(" ", "_") for label in groups), *_cells(row)])
    cells.append([*["TOTAL", *[""] * len(heads)][: len(heads)], *_cells(total(query, rows))])
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return [
        "  ".join(
            f"{cell:<{width}}" if column < len(heads) else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _labels(query: UsageQuery, rows: Sequence[UsageRow], names: Names) -> dict[tuple[str, str | None], str]:
    """What the table calls each group: its name, with the id behind it where another one has that name."""
    pairs = dict.fromkeys(pair for row in rows for pair in zip(query.group_by, row.group, strict=True))
    known = {(name, value): names.get((name, value)) if value else None for name, value in pairs}
    uses = Counter((name, label) for (name, _), label in known.items())
    return {
        (name, value): (label if uses[name, label] == 1 else f"{label}({value})") if label else value or "-"
        for (name, value), label in known.items()
    }


def _group_json(query: UsageQuery, row: UsageRow, names: Names) -> dict[str, str | int | None]:
    group: dict[str, str | int | None] = {"others": row.others} if query.top else {}
    for name, value in zip(query.group_by, row.group or [None] * len(query.group_by), strict=True):
        group[name] = value
        if name in NAME_FIELDS:
            group[NAME_FIELDS[name]] = names.get((name, value)) if value else None
    return group


def rounded(nano: int) -> str:
    """USD with four decimals, for people: ``12.3457``; ``<0.0001`` for what would be 0 and is not."""
    if 0 < abs(nano) < _SMALLEST:
        return "<0.0001" if nano > 0 else ">-0.0001"
    units = (abs(nano) + _SMALLEST // 2) // _SMALLEST
    return f"{'-' if nano < 0 else ''}{units // 10_000:,}.{units % 10_000:04}"


def _cells(row: UsageRow) -> list[str]:
    counts = row.counts
    written = counts.cache_write + counts.cache_write_1h
    figures = (row.requests, row.errors, counts.input, written, counts.cache_read, counts.output)
    return [*(f"{figure:,}" for figure in figures), rounded(row.cost.total)]


def _short(at: int, query: UsageQuery, zone: tzinfo) -> str:
    """The beginning of a bucket: ``2026-11``, ``2026-11-01``, ``2026-11-01T13:00+01:00``."""
    text = format_instant(at, zone)
    return text[: {"1mo": 7, "1w": 10, "1d": 10}.get(query.bucket, 16)] + (text[19:] if query.bucket == "1h" else "")
