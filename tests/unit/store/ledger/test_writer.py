"""The writer of the ledger. Risk: rows are lost or doubled while the file cannot be written, or at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from modelmux.accounts.cost import TokenCounts
from modelmux.accounts.entry import Entry
from modelmux.store.base import StoreFailed
from modelmux.store.ledger import writer as module
from modelmux.store.ledger.writer import LedgerWriter
from support.http_peers import until
from support.ledgers import entry
from support.memory_ledger import MemoryLedger


class Failing(MemoryLedger):
    """Fails the next calls of ``append``."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.calls: list[int] = []
        self.closed = False
        self.error: Exception = StoreFailed("disk full")

    async def append(self, entries: Sequence[Entry]) -> None:
        self.calls.append(len(entries))
        if self.failures:
            self.failures -= 1
            raise self.error
        await super().append(entries)

    async def aclose(self) -> None:
        self.closed = True


class World:
    def __init__(self, failures: int = 0) -> None:
        self.ledger = Failing(failures)
        self.slept: list[float] = []
        self.problems: list[tuple[str, int]] = []
        self.recovered: list[str] = []
        self.writer = LedgerWriter(
            self.ledger,
            self.sleep,
            lambda message, lost: self.problems.append((message, lost)),
            self.recovered.append,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.writer.add(lambda number=number: entry(number))  # type: ignore[misc]

    async def written(self) -> None:
        await until(lambda: not self.writer.waiting)

    @property
    def ids(self) -> list[bytes]:
        return sorted(self.ledger.rows)


def ids(*numbers: int) -> list[bytes]:
    return sorted(entry(number).id for number in numbers)


async def test_rows_of_one_moment_are_one_call() -> None:
    world = World()
    world.add(*range(5))
    assert world.ledger.calls == [], "nothing is done on the caller's turn"
    await world.written()
    assert (world.ledger.calls, world.ids) == ([5], ids(*range(5)))
    assert world.slept == [module.INTERVAL]
    world.add(5)
    await world.written()
    assert world.ids == ids(*range(6)), "it starts again"
    await world.writer.aclose()
    assert world.ledger.closed


async def test_a15_rows_wait_while_the_ledger_fails_and_it_is_said_once() -> None:
    world = World(failures=6)
    world.add(1, 2)
    await asyncio.sleep(0)
    world.add(3)
    await world.written()
    assert world.ids == ids(1, 2, 3)
    assert world.slept == [module.INTERVAL, 0.5, *[1] * (1 + 2 + 4 + 8 + 10)]
    ((problem, lost),) = world.problems
    assert ("disk full" in problem, lost) == (True, 0)
    assert world.recovered == ["the ledger is written again; nothing is lost of what waited"]
    assert world.writer.lost == 0


async def test_what_rows_are_made_of_is_not_kept_while_the_ledger_fails() -> None:
    world = World(failures=4)
    world.add(1)
    made: list[int] = []

    async def sleep(seconds: float) -> None:
        if len(world.slept) == 3:
            world.writer.add(lambda: made.append(2) or entry(2))  # type: ignore[func-returns-value]
            await world.sleep(seconds)
            assert made == []
            return
        await world.sleep(seconds)
        if len(world.slept) == 5:
            assert made == [2]
            assert world.ledger.failures

    world.writer._sleep = sleep
    await world.written()
    assert world.ids == ids(1, 2)


async def test_a_row_that_cannot_be_made_loses_no_other() -> None:
    world = World()
    world.add(1)
    world.writer.add(lambda: entry(1 // 0))
    world.add(2)
    await world.written()
    assert world.ids == ids(1, 2)
    assert (world.writer.lost, world.problems[0][1]) == (1, 1)
    assert "ZeroDivisionError" in world.problems[0][0]


def unstorable(number: int) -> Entry:
    return replace(entry(number), counts=TokenCounts(input=10**30))


async def test_a_row_that_can_never_be_written_is_lost_alone() -> None:
    world = World()
    world.add(1)
    world.writer.add(lambda: unstorable(2))
    world.add(3)
    await world.written()
    assert world.ids == ids(1, 3)
    assert world.writer.lost == 1
    ((problem, lost),) = world.problems
    assert (entry(2).id.hex() in problem, lost) == (True, 1)


async def test_an_end_with_nothing_but_a_row_that_can_never_be_written() -> None:
    world = World()
    world.writer.add(lambda: unstorable(2))
    await world.writer.aclose()
    assert [lost for _, lost in world.problems] == [1]
    assert world.ledger.closed


async def test_losses_are_reported_at_their_begin_and_at_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    world = World(failures=2)
    world.add(*range(3003))
    assert [lost for _, lost in world.problems] == [1]
    await world.written()
    world.add(4000)
    await world.written()
    assert [lost for _, lost in world.problems] == [1, 0, 2999]
    assert world.writer.lost == 3000


async def test_an_error_that_is_not_expected_is_waited_for_as_well() -> None:
    world = World(failures=1)
    world.ledger.error = ValueError("/home/ada/secret")
    world.add(1)
    await world.written()
    assert world.ids == ids(1)
    assert "ValueError" in world.problems[0][0]
    assert "secret" not in world.problems[0][0]


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    world = World(failures=2)
    world.add(*range(5))
    await world.written()
    assert world.ids == ids(0, 1, 2)
    assert world.writer.lost == 2


async def test_a_large_backlog_is_written_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_AT_ONCE", 4)
    world = World()
    world.add(*range(10))
    await world.written()
    assert (world.ledger.calls, world.ids) == ([4, 4, 2], ids(*range(10)))


async def test_the_end_writes_what_waits() -> None:
    world = World()
    world.add(1, 2)
    await world.writer.aclose()
    assert (world.ids, world.slept, world.ledger.closed) == (ids(1, 2), [], True)
    await world.writer.aclose()


async def test_the_end_says_what_is_lost() -> None:
    world = World(failures=99)
    world.add(1, 2)
    await world.writer.aclose()
    assert (world.ids, world.writer.lost, world.writer.waiting) == ([], 2, 0)
    assert world.problems[-1][1] == 2
    assert "disk full" in world.problems[-1][0]


@pytest.mark.parametrize("turns", range(12))
async def test_an_end_at_any_moment_writes_each_row_once(turns: int) -> None:
    world = World()
    made: list[int] = []

    def make(number: int) -> Callable[[], Entry]:
        def one() -> Entry:
            made.append(number)
            return entry(number)

        return one

    for number in range(3):
        world.writer.add(make(number))
    for _ in range(turns):
        await asyncio.sleep(0)
    await world.writer.aclose()
    assert world.ids == ids(0, 1, 2)
    assert made == [0, 1, 2], "no row gets two ids"


async def test_whoever_shares_an_exchange_gets_its_failure() -> None:
    """One that did not happen is no answer: a budget would seem to have nothing left."""
    world = World(failures=2)  # one of them while nobody waits
    world.add(1)
    answers = await asyncio.gather(*(world.writer.exchange() for _ in range(3)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["disk full"] * 3
    await world.writer.exchange()
    assert world.ids == ids(1)
    await world.writer.aclose()


async def test_an_exchange_goes_on_when_one_of_those_who_wait_leaves() -> None:
    world = World()
    world.add(1)
    leaver, stayer = (asyncio.ensure_future(world.writer.exchange()) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.wait([leaver, stayer])
    assert (leaver.cancelled(), world.ids) == (True, ids(1))
    await stayer
    await world.writer.aclose()


async def test_an_exchange_that_nobody_waits_for_any_more_may_fail() -> None:
    world = World(failures=1)
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    world.add(1)
    leaver = asyncio.ensure_future(world.writer.exchange())
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.wait([leaver])
    await world.writer.aclose()
    assert (world.ids, world.ledger.closed, reported) == (ids(1), True, [])
