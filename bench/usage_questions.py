"""Every kind of question about usage that the CLI and the API ask: groups, filters, buckets, periods and zones.

A question is a combination of what ``GET /usage`` takes; ``modelmux usage`` asks the same of the ledger. The table has
the CPU time of the answer with its JSON, so what takes longer than the aim is seen. Of a report in pages it is that of
the longest of its first pages.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from bench.ledger_rows import DAY, END, MODELS, START, TAGS, key_of, person_of
from modelmux.accounts.fields import FieldError
from modelmux.accounts.usage_pages import read_position
from modelmux.accounts.usage_query import Bucket, UsageQuery
from modelmux.admin.usage import MOST_RESULTS
from modelmux.store.ledger.base import Ledger
from modelmux.store.ledger.usage_report import Page, usage_report

#: Seconds of CPU time.
AIM: Final = 0.2
_DIMENSIONS: Final = ("key", "person", "team", "model", "tag:app")
_FILTERS: Final[dict[str, tuple[tuple[str, tuple[str, ...]], ...]]] = {
    "all": (),
    "a key": (("key", (key_of(7),)),),
    "a person": (("person", (person_of(7),)),),
    "a team": (("team", ("team_07",)),),
    "a model": (("model", (MODELS[1],)),),
    "a tag": (("tag:app", ("app-2",)),),
    "a team and model": (("team", ("team_07",)), ("model", (MODELS[0],))),
}
#: Of whole days, and with days at both ends that are not: the last has no year, or is not over.
_PERIODS: Final[tuple[tuple[str, int, Bucket], ...]] = (
    ("day, 1h", 1, "1h"),
    ("day", 1, "all"),
    ("30 d, 1d", 30, "1d"),
    ("30 d", 30, "all"),
    ("year, 1mo", 365, "1mo"),
    ("year", 365, "all"),
)
_ZONES: Final = ("UTC", "Asia/Kolkata")
#: Of ``is_of_many``: dimensions at most, its periods, and filters that leave few series.
_FEW_DIMENSIONS: Final = 2
_LONG_PERIODS: Final = ("30 d", "year")
_FEW_FILTERS: Final = ("a key", "a person")
_TOP: Final = 100
#: Groups of a page at most, and pages that are read of a report.
_LIMIT: Final = 1_000
_PAGES: Final = 3
#: Days before the end of the rows: the period is neither of a calendar month nor up to now.
_BEFORE_END: Final = 5
_HALF_HOURS: Final = DAY // 48
_OFFSETS: Final = {"UTC": 0, "Asia/Kolkata": 11 * _HALF_HOURS}
_REPEATS: Final = 3
#: Seconds after which a question is not repeated.
_LONG: Final = 0.5


class Question(NamedTuple):
    """:param of: the filter. :param period: with its bucket. :param in_pages: the report is asked for in pages."""

    by: tuple[str, ...]
    of: str
    period: str
    query: UsageQuery
    in_pages: bool = False


class Measured(NamedTuple):
    """
    :param seconds: of CPU time.
    :param results: of all buckets, of all pages that were read; None if they are too many, and the API says so.
    """

    question: Question
    seconds: float
    results: int | None


def questions(zone: str) -> Iterator[Question]:
    """With ``top`` and in pages where groups may be very many, and of keys and people alone without either, too."""
    for count in range(len(_DIMENSIONS) + 1):
        for by in itertools.combinations(_DIMENSIONS, count):
            whole, top_only, pages = (0, False), (_TOP, False), (0, True)
            few = not {"key", "person"} & set(by)
            forms = [whole] if few else [top_only, pages, whole] if len(by) == 1 else [top_only, pages]
            for form, (title, days, bucket), (of, where) in itertools.product(forms, _PERIODS, _FILTERS.items()):
                top, in_pages = form
                end = END - _BEFORE_END * DAY - _OFFSETS[zone]
                query = UsageQuery(
                    start=max(START, end - days * DAY), end=end, bucket=bucket, zone=zone, group_by=by, where=where,
                    top=top,
                )  # fmt: skip
                yield Question(by, of, title, query, in_pages)


def is_of_many(question: Question) -> bool:
    """Whether it is one of the 360 that take longest: by one or two dimensions with keys or people, as the 100 that
    cost most and in pages, over 30 days and a year, with and without filter."""
    return bool(
        {"key", "person"} & set(question.by)
        and len(question.by) <= _FEW_DIMENSIONS
        and (question.query.top or question.in_pages)
        and question.period in _LONG_PERIODS
        and question.of not in _FEW_FILTERS
    )


async def measure(ledger: Ledger, *, only_many: bool = False) -> None:
    """Print the table, and each question above the aim. :param only_many: see ``is_of_many``; each is then printed."""
    measured: list[Measured] = []
    for zone in _ZONES:
        asked = [question for question in questions(zone) if is_of_many(question) or not only_many]
        of_zone = [await _measured(ledger, question) for question in asked]
        print(f"\n{zone}: CPU time in ms, the longest of {len({one.of for one in asked})} filters", flush=True)
        for line in table(of_zone):
            print(line)
        measured += of_zone
    above = [one for one in measured if one.seconds > AIM]
    print(f"\n{len(above):,} of {len(measured):,} questions take more than {AIM * 1e3:.0f} ms of CPU time", flush=True)
    for one in sorted(measured if only_many else above, key=lambda one: -one.seconds):
        found = "too many results" if one.results is None else f"{one.results:,} results"
        print(
            f"{one.seconds * 1e3:8.0f} ms  {one.question.period}, by {_title(one.question)}, of {one.question.of}, "
            f"{one.question.query.zone}: {found}"
        )


def table(measured: Sequence[Measured]) -> list[str]:
    """A line for each set of groups, a column for each period: the longest time of all filters, with that filter."""
    titles = [title for title, _, _ in _PERIODS if any(one.question.period == title for one in measured)]
    lines = [f"| by | {' | '.join(titles)} |", f"|---{'|---' * len(titles)}|"]
    rows: dict[str, dict[str, Measured]] = {}
    for one in measured:
        longest = rows.setdefault(_title(one.question), {})
        title = one.question.period
        if title not in longest or longest[title].seconds < one.seconds:
            longest[title] = one
    for by, longest in rows.items():
        lines.append(f"| {by} | {' | '.join(_cell(longest[title]) for title in titles)} |")
    return lines


def _title(question: Question) -> str:
    form = f", top {question.query.top}" if question.query.top else ", in pages" if question.in_pages else ""
    return f"{', '.join(question.by) or 'nothing'}{form}"


def _cell(one: Measured) -> str:
    figure = f"{one.seconds * 1e3:.0f}"
    return f"**{figure}** ({one.question.of}{', too many' * (one.results is None)})" if one.seconds > AIM else figure


async def _measured(ledger: Ledger, question: Question) -> Measured:
    """The least of a few times: the rest is other programs."""
    times, results = list[float](), None
    for _ in range(_REPEATS):
        seconds, results = await (_pages if question.in_pages else _whole)(ledger, question)
        times.append(seconds)
        if seconds > _LONG:
            break
    return Measured(question, min(times), results)


async def _whole(ledger: Ledger, question: Question) -> tuple[float, int | None]:
    """CPU time, and results; None if they are too many."""
    try:
        seconds, results, _ = await _answer(ledger, question, None)
    except TooLarge as error:
        return error.seconds, None
    return seconds, results


async def _pages(ledger: Ledger, question: Question) -> tuple[float, int]:
    """CPU time of the longest page of the first ones, and results of all of them."""
    longest, results, after = 0.0, 0, ""
    for _ in range(_PAGES):
        page = Page(_LIMIT, read_position(after, question.by))
        seconds, count, following = await _answer(ledger, question, page)
        longest, results, after = max(longest, seconds), results + count, following or ""
        if not after:
            break
    return longest, results


class TooLarge(Exception):
    """A report was refused. :param seconds: of CPU time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


async def _answer(ledger: Ledger, question: Question, page: Page | None) -> tuple[float, int, str | None]:
    """CPU time, results, and where the next page begins. :raises TooLarge:"""
    query, before = question.query, time.process_time()
    try:
        answer = await usage_report(
            ledger, query, ZoneInfo(query.zone), own_prices=False, reported_tags=TAGS, most=MOST_RESULTS, page=page
        )
    except FieldError:
        raise TooLarge(time.process_time() - before) from None
    msgspec.json.encode(answer)
    seconds = time.process_time() - before
    return seconds, sum(len(bucket["results"]) for bucket in answer["data"]), answer["next"]
