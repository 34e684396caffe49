"""Every kind of question about usage that the CLI and the API ask: groups, filters, buckets, periods and zones.

A question is a combination of what ``GET /usage`` takes; ``modelmux usage`` asks the same of the ledger. The table has
the CPU time of the answer with its JSON, so what takes longer than the aim is seen.
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
from modelmux.accounts.usage_query import Bucket, UsageQuery
from modelmux.admin.usage import MOST_RESULTS
from modelmux.store.ledger.base import Ledger
from modelmux.store.ledger.usage_report import usage_report

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
_TOP: Final = 100
#: Days before the end of the rows: the period is neither of a calendar month nor up to now.
_BEFORE_END: Final = 5
_HALF_HOURS: Final = DAY // 48
_OFFSETS: Final = {"UTC": 0, "Asia/Kolkata": 11 * _HALF_HOURS}
_REPEATS: Final = 2
#: Seconds after which a question is not repeated.
_LONG: Final = 0.5


class Question(NamedTuple):
    """:param of: the filter. :param period: with its bucket."""

    by: tuple[str, ...]
    of: str
    period: str
    query: UsageQuery


class Measured(NamedTuple):
    """:param seconds: of CPU time. :param results: of all buckets; None if they are too many, and the API says so."""

    question: Question
    seconds: float
    results: int | None


def questions(zone: str) -> Iterator[Question]:
    """With ``top`` where groups may be very many, and of keys and people alone without it, too."""
    for count in range(len(_DIMENSIONS) + 1):
        for by in itertools.combinations(_DIMENSIONS, count):
            tops = [0] if not {"key", "person"} & set(by) else [_TOP, 0] if len(by) == 1 else [_TOP]
            for top, (title, days, bucket), (of, where) in itertools.product(tops, _PERIODS, _FILTERS.items()):
                end = END - _BEFORE_END * DAY - _OFFSETS[zone]
                query = UsageQuery(
                    start=max(START, end - days * DAY), end=end, bucket=bucket, zone=zone, group_by=by, where=where,
                    top=top,
                )  # fmt: skip
                yield Question(by, of, title, query)


async def measure(ledger: Ledger) -> None:
    """Print the table, and each question above the aim."""
    measured: list[Measured] = []
    for zone in _ZONES:
        of_zone = [await _measured(ledger, question) for question in questions(zone)]
        print(f"\n{zone}: CPU time in ms, the longest of {len(_FILTERS)} filters", flush=True)
        for line in table(of_zone):
            print(line)
        measured += of_zone
    above = [one for one in measured if one.seconds > AIM]
    print(f"\n{len(above):,} of {len(measured):,} questions take more than {AIM * 1e3:.0f} ms of CPU time", flush=True)
    for one in sorted(above, key=lambda one: -one.seconds):
        found = "too many results" if one.results is None else f"{one.results:,} results"
        print(
            f"{one.seconds * 1e3:8.0f} ms  {one.question.period}, by {_title(one.question)}, of {one.question.of}, "
            f"{one.question.query.zone}: {found}"
        )


def table(measured: Sequence[Measured]) -> list[str]:
    """A line for each set of groups, a column for each period: the longest time of all filters, with that filter."""
    titles = [title for title, _, _ in _PERIODS]
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
    top = f", top {question.query.top}" if question.query.top else ""
    return f"{', '.join(question.by) or 'nothing'}{top}"


def _cell(one: Measured) -> str:
    figure = f"{one.seconds * 1e3:.0f}"
    return f"**{figure}** ({one.question.of}{', too many' * (one.results is None)})" if one.seconds > AIM else figure


async def _measured(ledger: Ledger, question: Question) -> Measured:
    """The least of a few times: the rest is other programs."""
    zone, times, results = ZoneInfo(question.query.zone), list[float](), None
    for _ in range(_REPEATS):
        before = time.process_time()
        try:
            answer = await usage_report(
                ledger, question.query, zone, own_prices=False, reported_tags=TAGS, most=MOST_RESULTS
            )
            msgspec.json.encode(answer)
            results = sum(len(bucket["results"]) for bucket in answer["data"])
        except FieldError:
            results = None
        times.append(time.process_time() - before)
        if times[-1] > _LONG:
            break
    return Measured(question, min(times), results)
