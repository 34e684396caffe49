"""Requests of a year, the same each time: as entries of the gateway, and as values of columns.

People with a key each, in 20 teams; everyone uses two of eight models and two sets of tags, four in five requests on
weekdays between 8 and 18 o'clock.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Final

import msgspec

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.entry import AttemptEntry, Entry

HOUR: Final = 3_600_000_000
DAY: Final = 24 * HOUR
DAYS: Final = 365
START: Final = 20_454 * DAY  # 2026-01-01, a Thursday
END: Final = START + DAYS * DAY
MODELS: Final = tuple(f"claude-model-{number}" for number in range(8))
#: Those that usage is reported by.
TAGS: Final = ("app", "env")
_APPS: Final = 5
_AGENTS: Final = 6
_TEAMS: Final = 20
#: Of the 16 bytes of an id, but its time and number; of the ids that clients and traces have.
_VERSION: Final = 7 << 76 | 2 << 62
_CLIENT: Final = b"u" + bytes.fromhex("0199f0a0000070008000")
_TRACE: Final = 1 << 120
_ATTEMPTS: Final = [[None, "ok", True]]
_encode: Final = msgspec.msgpack.Encoder().encode


def key_of(person: int) -> str:
    return f"key_{person:026d}"


def person_of(person: int) -> str:
    return f"usr_{person:026d}"


def instants(rows: int) -> Iterator[tuple[int, int]]:
    """The microseconds of each request, in their order, and its number."""
    dice = random.Random(17)
    weights = [0 if day % 7 in (2, 3) else 1 for day in range(DAYS)]
    counts = [0] * DAYS
    for day in dice.choices(range(DAYS), weights, k=rows * 4 // 5) + dice.choices(range(DAYS), k=rows - rows * 4 // 5):
        counts[day] += 1
    numbers = itertools.count()
    for day, count in enumerate(counts):
        times = []
        for _ in range(count):
            is_work = weights[day] and dice.random() < 0.85
            times.append(int(dice.random() * 10 * HOUR) + 8 * HOUR if is_work else int(dice.random() * DAY))
        for offset in sorted(times):
            yield START + day * DAY + offset, next(numbers)


def variant_of(number: int) -> int:
    """What of a request is not the same for all of its person: which model, which tags, and whether it failed."""
    dice = _dice(number)
    return (dice >> 20) % 2 | (dice >> 24) % 2 << 1 | (dice % 97 == 0) << 2


def entries(rows: int, keys: int) -> Iterator[Entry]:
    """The requests, in the order of time."""
    return (entry_of(at, number, keys) for at, number in instants(rows))


def columns_of(at: int, number: int, key: int, series: int, context: int) -> tuple[object, ...]:
    """What the table ``ledger`` has of a request: the values that ``rollups.columns_of`` makes of its entry."""
    dice = _dice(number)
    tokens, read, written, output = dice % 900, dice % 90_000, dice % 4_000, dice % 3_000
    rest = [
        dice % 60_000_000, dice % 3_000_000, _ATTEMPTS, dice % 500_000, dice % 40_000,
        _CLIENT + number.to_bytes(6), f"msg_vrtx_01{number:022d}", b"h" + (number + _TRACE).to_bytes(16),
        640_000_000 + dice % 1_000,
    ]  # fmt: skip
    return (
        ((at // 1000) << 80 | _VERSION | number).to_bytes(16), at, key, series, context, 0, dice % 97 == 0, False,
        None, None, None, tokens, written, 0, read, output, 0, 0,
        tokens * 2_000, written * 2_500, 0, read * 100, output * 10_000, 0, _encode(rest),
    )  # fmt: skip


def entry_of(at: int, number: int, keys: int) -> Entry:
    """A request as the gateway writes it."""
    dice, person = _dice(number), number % keys
    model = MODELS[(person + (dice >> 20) % 2) % len(MODELS)]
    counts = TokenCounts(input=dice % 900, cache_read=dice % 90_000, cache_write=dice % 4_000, output=dice % 3_000)
    deployment = f"vertex:project/global/{model}"
    return Entry(
        id=((at // 1000) << 80 | _VERSION | number).to_bytes(16),
        at=at,
        key=key_of(person),
        person=person_of(person),
        team=f"team_all/team_{person % _TEAMS:02d}",
        tags=(("app", f"app-{(person + (dice >> 24) % 2) % _APPS}"), ("env", "prod")),
        dialect="anthropic_messages",
        operation="messages",
        requested=model,
        route=model,
        model=model,
        location="global",
        deployment=deployment,
        attempts=(AttemptEntry(deployment, "ok", counts),),
        outcome="upstream_error" if dice % 97 == 0 else "ok",
        stream=True,
        counts=counts,
        cost=Cost(
            input=counts.input * 2_000, cache_read=counts.cache_read * 100, cache_write=counts.cache_write * 2_500,
            output=counts.output * 10_000,
        ),
        price=f"{model}/2026-10-07/global",
        hold=640_000_000 + dice % 1_000,
        duration=dice % 60_000_000,
        first_content=dice % 3_000_000,
        request_bytes=dice % 500_000,
        response_bytes=dice % 40_000,
        client_request_id=f"0199f0a0-0000-7000-8000-{number:012x}",
        upstream_id=f"msg_vrtx_01{number:022d}",
        trace_id=f"{number + _TRACE:032x}",
        agent=f"claude-cli/2.1.{person % _AGENTS} (external, cli)",
        app="cli",
    )  # fmt: skip


def _dice(number: int) -> int:
    return number * 2_654_435_761 % (1 << 32)
