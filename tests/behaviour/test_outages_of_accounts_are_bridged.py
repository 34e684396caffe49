"""Risk: an outage of the store of accounts stops work that was to go on, or lets more pass than was allowed.

The store is the real one in a file. What locks it is what another process would lock it with.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from behaviour.test_budgets_are_never_passed import COST, NANO, World
from modelmux.accounts.budget_edits import save_budget
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.lease_term import STOPS_AFTER
from modelmux.accounts.outage import Outage
from modelmux.accounts.windows import WindowRule
from modelmux.store.file_lock import lock_file
from support.asgi import Response
from support.clock import Clock, use_runtime
from support.fakes import HeldBack, message_reply
from support.log_lines import Lines

#: What one request holds at most, roughly: more than what is leased ahead for small ones.
LARGE = 4_000
HELD = LARGE * 15_000


class Lockable(World):
    """A gateway whose database another process may lock. :ivar lines: of its log. :ivar clock: which stands."""

    def __init__(self, folder: Path, lines: Lines, clock: Clock, **settings: Any) -> None:
        accounts = {"on_outage": "open", "outage_allowance": "0.1"} | settings.pop("accounts", {})
        super().__init__(folder, *(message_reply() for _ in range(30)), accounts=accounts, **settings)
        self.lines, self.clock = lines, clock
        ledger: Any = self.app.metering._ledger
        self.file = ledger._file

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        before = self.file._busy_timeout
        with lock_file(self.file.lock_path, 60):
            self.file._busy_timeout = 0.05
            yield
            self.file._busy_timeout = before

    async def lease(self) -> None:
        """Something is leased ahead, for requests like this one."""
        assert (await self.ask()).status == 200
        await self.app.metering.writer.exchange()  # type: ignore[union-attr]

    async def large(self, **fields: Any) -> Response:
        return await self.ask(max_tokens=LARGE, **fields)

    def told(self) -> list[str]:
        messages = [fields["message"] for event, fields in self.lines.lines if event == "ledger"]
        return [message for message in messages if "leases" in message]


@pytest.fixture
async def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Lockable]]:
    worlds: list[Lockable] = []
    clock = Clock()
    use_runtime(monkeypatch, clock=clock)

    def made(**settings: Any) -> Lockable:
        lines = Lines()
        monkeypatch.setattr("modelmux.app.null_logger", lambda: lines)
        worlds.append(Lockable(tmp_path, lines, clock, **settings))
        return worlds[-1]

    yield made
    for world in worlds:
        await world.end()


def is_unavailable(response: Response) -> bool:
    return response.status == 503 and response.json()["error"]["code"] == "accounts_unavailable"


async def test_requests_go_on_within_the_allowance_and_are_booked_exactly(make: Callable[..., Lockable]) -> None:
    world = make()
    await world.begin(10 * NANO)
    await world.lease()
    with world.locked():
        assert [(await world.large()).status for _ in range(3)] == [200] * 3, "one after the other"
        too_large = await world.ask(max_tokens=3 * LARGE)
        assert is_unavailable(too_large), "it alone may cost more than the allowance"
        assert int(too_large.headers["retry-after"]) >= 1
        assert world.held() == 0
        assert len(world.told()) == 1
        assert "0.1 USD" in world.told()[0]
    await world.app.metering.writer.exchange()  # type: ignore[union-attr]
    assert (await world.large()).status == 200
    assert world.told()[1:] == ["the store of accounts answers again: nothing more is held beyond leases"]
    counts = world.app.metering.counts()
    assert 3 * HELD - 0.1 * NANO < counts.beyond * NANO <= 3 * (HELD + 4_000_000)
    await world.end()
    assert world.windows() == [(5 * COST, 0)], "all of it, and no more"


async def test_requests_at_the_same_time_hold_no_more_than_the_allowance(make: Callable[..., Lockable]) -> None:
    world = make()
    await world.begin(10 * NANO)
    await world.lease()
    answers = HeldBack(world.upstream).answers
    with world.locked():
        running = {asyncio.create_task(world.large()) for _ in range(5)}
        while len(running) > 1:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            assert all(is_unavailable(task.result()) for task in done)
        ((_, one),) = world.app.metering._book.slices
        assert HELD < one.held <= one.leased + 0.1 * NANO
        answers.set()
        assert (await running.pop()).status == 200
    await world.end()
    assert world.windows() == [(2 * COST, 0)]


async def test_a_budget_that_is_spent_is_refused_as_ever(make: Callable[..., Lockable]) -> None:
    world = make(accounts={"outage_allowance": "100"})
    await world.begin(HELD // 2)
    await world.lease()
    with world.locked():
        refused = await world.large()
        assert (refused.status, refused.json()["error"]["code"]) == (429, "budget_exceeded")
        assert world.told() == []
        assert (await world.ask(max_tokens=1_000)).status == 200


async def test_a_limit_that_was_lowered_before_an_outage_is_told_and_clamped_to(make: Callable[..., Lockable]) -> None:
    world = make(accounts={"outage_allowance": "100"})
    await world.begin(10 * NANO, on_short="clamp")
    await world.lease()

    async def lower(limit: int) -> None:
        rule, selector = WindowRule(every="month"), Selector(key="key_a")
        lowered = Budget(id="bud_a", name="small", limit=limit, window=rule, applies_to=selector, on_short="clamp")
        await world.change(lambda d: save_budget(d, lowered))

    await lower(COST + HELD // 2)
    with world.locked():
        clamped = await world.large()
        assert clamped.status == 200
        assert world.upstream.body()["max_tokens"] < LARGE
    await world.app.metering.writer.exchange()  # type: ignore[union-attr]
    await lower(2 * COST + NANO // 100)
    with world.locked():
        refused = await world.ask(max_tokens=1_000)
    assert (refused.status, refused.json()["error"]["code"]) == (429, "budget_exceeded")
    assert "has $0.01 left" in refused.json()["error"]["message"]


async def test_budgets_in_tokens_have_no_allowance(make: Callable[..., Lockable]) -> None:
    world = make(accounts={"outage_allowance": "100"})
    await world.begin(10 * NANO)
    rule, selector = WindowRule(every="month"), Selector(key="key_a")
    tokens = Budget(id="bud_b", name="tokens", limit=10**9, unit="tokens", window=rule, applies_to=selector)
    await world.change(lambda d: save_budget(d, tokens))
    await world.lease()
    with world.locked():
        assert is_unavailable(await world.large())
        assert world.held() == 0
        assert (await world.ask()).status == 200, "its leases do"


@pytest.mark.parametrize("workers", [1, 2])
async def test_workers_divide_the_allowance(make: Callable[..., Lockable], workers: int) -> None:
    world = make(server={"workers": workers})
    await world.begin(10 * NANO)
    await world.lease()
    with world.locked():
        assert (await world.large()).status == (200 if workers == 1 else 503)


async def test_a_process_that_begins_in_an_outage_has_no_part(tmp_path: Path, make: Callable[..., Lockable]) -> None:
    """Else each restart had the whole allowance anew, and served a budget that is spent."""
    world = make()
    await world.begin(10 * NANO)
    await world.lease()
    with world.locked():
        assert (await world.large()).status == 200
    next_one = Lockable(tmp_path, Lines(), world.clock)
    next_one.headers = world.headers
    try:
        await next_one.app.directory.refresh()  # type: ignore[union-attr]
        with next_one.locked():
            assert is_unavailable(await next_one.ask())
        assert (await next_one.ask()).status == 200
        with next_one.locked():
            assert (await next_one.large()).status == 200, "it has reached the store"
    finally:
        await next_one.end()


async def test_without_the_setting_nothing_is_held_beyond_leases(make: Callable[..., Lockable]) -> None:
    world = make(accounts={"on_outage": "closed", "outage_allowance": "0"})
    await world.begin(10 * NANO)
    await world.lease()
    with world.locked():
        assert is_unavailable(await world.large())
        assert (await world.ask()).status == 200


async def test_a_store_that_stands_still_holds_up_one_request_for_a_while(
    make: Callable[..., Lockable], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer is as good as a bad one; the requests after the first do not wait for it."""
    world = make()
    await world.begin(10 * NANO)
    await world.lease()
    monkeypatch.setattr("modelmux.accounts.outage.FIRST_WAIT", 0.05)
    ledger: Any = world.app.metering._ledger
    exchange, answers, calls = ledger.exchange, asyncio.Event(), 0

    async def silent(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        await answers.wait()
        return await exchange(*arguments)

    ledger.exchange = silent
    try:
        assert (await world.large()).status == 200
        asked = calls
        assert (await world.large()).status == 200
        assert calls == asked == 1
    finally:
        answers.set()
    await world.app.metering.writer.exchange()  # type: ignore[union-attr]
    assert len(world.told()) == 2, "it began, and is over"


async def test_a_store_that_is_well_again_is_asked_for_what_is_more_than_the_allowance(
    make: Callable[..., Lockable],
) -> None:
    world = make()
    await world.begin(10 * NANO)
    await world.lease()
    with world.locked():
        assert (await world.large()).status == 200
    assert (await world.ask(max_tokens=3 * LARGE)).status == 200, "though an answer was missing a moment ago"
    await world.end()
    assert world.windows() == [(3 * COST, 0)]


async def test_a_slow_store_is_waited_for_if_the_allowance_does_not_suffice(
    make: Callable[..., Lockable], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers later than an outage begins, but as soon as without an allowance."""
    world, answers = make(), asyncio.Event()
    await world.begin(10 * NANO)
    await world.lease()
    monkeypatch.setattr("modelmux.accounts.outage.FIRST_WAIT", 0.05)
    ledger: Any = world.app.metering._ledger
    outage, exchange = world.app.metering._outage, ledger.exchange

    def failed(now: float) -> None:
        Outage.failed(outage, now)
        answers.set()

    async def slow(*arguments: Any) -> Any:
        await answers.wait()
        return await exchange(*arguments)

    monkeypatch.setattr(outage, "failed", failed)
    ledger.exchange = slow
    assert (await world.ask(max_tokens=3 * LARGE)).status == 200
    assert answers.is_set(), "it was no answer in time"


async def test_a_request_that_may_wait_for_others_does_so_a_moment_after_a_failure(
    make: Callable[..., Lockable],
) -> None:
    world = make(accounts={"outage_allowance": "100"})
    await world.begin(HELD + HELD // 2, on_short="wait")
    await world.lease()
    answers = HeldBack(world.upstream).answers
    book = world.app.metering._book
    with world.locked():
        running = asyncio.create_task(world.large())
        while not world.held():
            assert not running.done()
            await asyncio.sleep(0.01)
        refused = await world.large()
        assert (refused.status, refused.json()["error"]["code"]) == (429, "budget_exceeded")
    waiting = asyncio.create_task(world.large())
    while not (waiting.done() or book._waiting):  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)
    answers.set()
    assert [(await task).status for task in (running, waiting)] == [200, 200]


async def test_a_term_that_has_ended_leaves_the_allowance_alone(make: Callable[..., Lockable]) -> None:
    world = make()
    world.app.metering._term._stops_after = STOPS_AFTER
    await world.begin(10 * NANO)
    await world.lease()
    (before,) = (one.free for _, one in world.app.metering._book.slices)
    assert before > 3_000_000, "a small request fits into it"
    with world.locked():
        world.clock.advance(STOPS_AFTER + 1)
        assert (await world.ask()).status == 200
        (after,) = (one for _, one in world.app.metering._book.slices)
        assert (after.leased, after.held, after.spent) == (0, 0, COST), "nothing of the lease is used"
        assert is_unavailable(await world.ask(max_tokens=2 * LARGE))
    world.clock.advance(2)
    assert (await world.large()).status == 200
    await world.end()
    assert world.windows() == [(3 * COST, 0)]
