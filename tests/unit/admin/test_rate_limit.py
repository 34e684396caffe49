"""The limits of the admin API itself."""

from __future__ import annotations

import asyncio

import pytest

from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.admin import rate_limit
from modelmux.admin.errors import TooManyCalls
from modelmux.admin.rate_limit import CALLS, FAILURES, CallLimits, Turns
from support.admin import Admin

SECOND = 1_000_000


def _passes(limits: CallLimits, name: str, now: int) -> bool:
    try:
        limits.check_principal(name, now)
    except TooManyCalls:
        return False
    return True


def test_calls_come_back_with_time() -> None:
    limits = CallLimits()
    assert [_passes(limits, "a", 0) for _ in range(CALLS + 1)] == [True] * CALLS + [False]
    assert _passes(limits, "b", 0)
    assert [_passes(limits, "a", SECOND) for _ in range(51)] == [True] * 50 + [False]
    assert all(_passes(limits, "a", 100 * SECOND) for _ in range(CALLS))


def test_the_memory_is_bounded() -> None:
    limits = CallLimits()
    for number in range(rate_limit.MAX_REMEMBERED + 50):
        limits.failed(f"10.0.{number // 256}.{number % 256}", 0)
    assert len(limits._failures._full_at) == rate_limit.MAX_REMEMBERED


async def test_wrong_tokens_are_slowed_down(admin: Admin) -> None:
    for _ in range(FAILURES):
        await admin.refused(401, "GET", "/keys", role="nothing")
    response = await admin.call("GET", "/keys", role="nothing")
    assert (response.status, response.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(response.headers["retry-after"]) <= 6
    assert (await admin.call("GET", "/keys")).status == 429  # otherwise a right guess would tell itself
    admin.time += 6 * SECOND
    assert (await admin.call("GET", "/keys")).status == 200


async def test_many_calls_of_a_principal_are_slowed_down(admin: Admin) -> None:
    statuses = [(await admin.call("GET", "/openapi.json")).status for _ in range(CALLS + 2)]
    assert statuses[:CALLS] == [200] * CALLS
    assert statuses[-1] == 429
    assert (await admin.call("GET", "/keys", role="admin")).status == 200


async def test_a_clock_that_was_wrong_locks_out_no_one(admin: Admin) -> None:
    admin.wrong_by = 24 * 3600 * SECOND
    await admin.ok("GET", "/keys")
    await admin.refused(401, "GET", "/keys", role="nothing")
    admin.wrong_by = 0
    await admin.ok("GET", "/keys")
    await admin.refused(401, "GET", "/keys", role="nothing")


async def test_questions_of_one_principal_wait_for_each_other_and_not_for_those_of_others(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person with many long questions delays no one else by more than one of them."""
    asked: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def usage(_: UsageQuery, _most: int) -> list[UsageRow]:
        answered = asyncio.Event()
        asked.put_nowait(answered)
        await answered.wait()
        return []

    monkeypatch.setattr(admin.ledger, "usage", usage)
    calls = [asyncio.create_task(admin.call("GET", "/usage")) for _ in range(3)]
    first = await asked.get()
    other = asyncio.create_task(admin.call("GET", "/usage", role="admin"))
    of_other = await asked.get()
    assert (await admin.call("GET", "/keys")).status == 200  # no question for rows or sums
    calls[1].cancel()  # a client that has left gives its place to the next
    of_other.set()
    assert (await other).status == 200
    assert asked.empty()
    first.set()
    assert (await calls[0]).status == 200
    (await asked.get()).set()
    assert (await calls[2]).status == 200
    assert asked.empty()


async def test_turns_of_principals_that_ask_nothing_are_forgotten() -> None:
    turns = Turns()
    async with turns.of("a"):
        assert turns.of("a") is turns.of("a")
        assert list(turns._locks) == ["a"]
    assert list(turns._locks) == []
