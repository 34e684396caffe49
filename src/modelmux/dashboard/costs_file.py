"""Costs as CSV: a row for each bucket of time and each group, by the filters of the page.

It is read and sent in pieces of some buckets, each after the client has taken those before it: a year by hour is in
memory no more than a day is. A bucket with very many groups is several pieces.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from typing import Final

from modelmux.accounts.csv_cells import safe_cell
from modelmux.accounts.fields import FieldError
from modelmux.accounts.usage_names import NAME_FIELDS
from modelmux.admin.operation import MAX_LIMIT
from modelmux.admin.usage import MOST_RESULTS
from modelmux.dashboard.costs import question
from modelmux.dashboard.page import ROOT, Data, Download, Visit

_TOKENS: Final = ("input", "cache_write", "cache_write_1h", "cache_read", "output")
_FIGURES: Final = ("requests", "errors", "unpriced")
#: Rows that a piece is meant to have at most, unless one bucket has more; and those of a chunk of the response.
_OF_PIECE: Final = 5_000
_OF_CHUNK: Final = 500
#: Groups of a page, where one bucket has more than a report may have.
_OF_PAGE: Final = MAX_LIMIT


async def build(visit: Visit) -> AsyncGenerator[bytes, None]:
    """:raises GatewayError, FieldError, StoreFailed:"""
    by, bucket, filters = question(visit)
    over_time = await visit.read("/usage", bucket=bucket, **filters)
    buckets, zone = over_time["data"], over_time["zone"]
    reader = _Reader(visit, {**filters, "zone": zone, "bucket": bucket, "group_by": by})
    groups = [by, NAME_FIELDS[by]] if by in NAME_FIELDS else [by]
    names = _text([["start", "end", "zone", *groups, *_FIGURES, *_TOKENS, "web_searches", "cost_usd"]])
    async with contextlib.aclosing(reader.pieces(buckets)) as pieces:
        async for piece in pieces:
            lines = _lines(piece, zone, groups)
            while chunk := list(itertools.islice(lines, _OF_CHUNK)):
                yield names + _text(chunk)
                names = b""
    if names:
        yield names


class _Reader:
    """Reads a report in pieces. :param parameters: of all of them."""

    def __init__(self, visit: Visit, parameters: dict[str, str]) -> None:
        self._visit = visit
        self._parameters = parameters

    async def pieces(self, buckets: Sequence[Data]) -> AsyncGenerator[list[Data], None]:
        """All of these, some at a time: as many as those before let expect. One with too many groups is in pages."""
        first, size = 0, 1
        while first < len(buckets):
            if size == 0:
                rows = 0
                async with contextlib.aclosing(self._pages(buckets[first])) as pages:
                    async for page in pages:
                        rows += _rows(page)
                        yield page
                first += 1
                size = 0 if rows > MOST_RESULTS else 1
                continue
            try:
                piece: list[Data] = (await self._read(buckets[first : first + size]))["data"]
            except FieldError:
                size = 1 if size > 1 else 0  # there are more groups than those before had
                continue
            first += size
            size = next_size(size, _rows(piece))
            yield piece

    async def _pages(self, bucket: Data) -> AsyncGenerator[list[Data], None]:
        """One bucket, some groups at a time. :raises GatewayError, FieldError, StoreFailed:"""
        after: str | None = ""
        while after is not None:
            report = await self._read([bucket], limit=str(_OF_PAGE), after=after)
            after = report["next"]
            yield report["data"]

    async def _read(self, buckets: Sequence[Data], **page: str) -> Data:
        """These buckets, with their groups. :raises GatewayError, FieldError, StoreFailed:"""
        period = {"start": buckets[0]["start"], "end": buckets[-1]["end"]}
        return await self._visit.read("/usage", **{**self._parameters, **period, **page})


def next_size(size: int, rows: int) -> int:
    """Buckets of the next piece. :param size, rows: buckets and rows of this one."""
    return max(1, min(2 * size, size * _OF_PIECE // max(1, rows)))


def _rows(buckets: Iterable[Data]) -> int:
    return sum(len(bucket["results"]) for bucket in buckets)


def _text(lines: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue().encode("utf-8", "replace")


def _lines(buckets: Iterable[Data], zone: str, groups: Sequence[str]) -> Iterator[list[str]]:
    for bucket in buckets:
        for one in bucket["results"]:
            yield [
                bucket["start"], bucket["end"], zone,
                *(safe_cell(one[name] or "") for name in groups),
                *(str(one[name]) for name in _FIGURES),
                *(str(one["tokens"][name]) for name in _TOKENS),
                str(one["web_searches"]), one["cost"]["amount"],
            ]  # fmt: skip


COSTS_FILE: Final = Download(f"{ROOT}/costs.csv", "modelmux-costs.csv", b"text/csv; charset=utf-8", "usage.read", build)
