"""Risk: a key that was revoked stays in use, or one that was just made is refused; a broken store ends what works."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelmux.accounts.directory import Changes, Directory
from modelmux.errors import StoreUnavailable
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Pace
from modelmux.store.directory.feed import FRESH_FOR, INTERVAL, Feed
from support.http_peers import until


class Scripted:
    """A store whose directory and failure a test sets. Reads wait while ``gate`` is closed."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.error: Exception | None = None
        self.reads = 0
        self.closed = False
        self.gate = asyncio.Event()
        self.gate.set()

    def next(self) -> Directory:
        self.directory = self.directory.updated(Changes(version=self.directory.version + 1))
        return self.directory

    async def read(self, known: Directory) -> Directory:
        self.reads += 1
        found, error = self.directory, self.error  # of the moment at which it began
        await self.gate.wait()
        if error is not None:
            raise error
        return known if found.version == known.version else found

    async def aclose(self) -> None:
        self.closed = True


class World:
    def __init__(self, pace: Pace | None = None) -> None:
        self.store = Scripted()
        self.slept: list[float] = []
        self.problems: list[str | None] = []
        store: Any = self.store
        self.time = 100.0
        self.awake = asyncio.Event()  # not set while the process does not run
        self.awake.set()
        runtime = Runtime(sleep=self.sleep, clock=lambda: self.time)
        self.changes: list[Directory] = []
        self.feed = Feed(store, Directory(), runtime, self.problems.append, self.changes.append, pace)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.awake.wait()
        await asyncio.sleep(0)

    async def looked(self, times: int = 2) -> None:
        goal = self.store.reads + times
        await until(lambda: self.store.reads >= goal)


async def test_it_follows_changes() -> None:
    world = World()
    world.feed.watch()
    world.feed.watch()
    changed = world.store.next()
    await until(lambda: world.feed.current is changed)
    assert world.changes == [changed]
    assert set(world.slept) == {INTERVAL}
    assert INTERVAL <= 0.5, "a revoked key is refused within a second"
    await world.feed.aclose()
    assert world.store.closed


async def test_a_store_of_many_nodes_says_when_to_look() -> None:
    announced = asyncio.Event()

    async def next_look(sleep: Any) -> None:
        await announced.wait()
        announced.clear()

    world = World(Pace(next_look, 3.0))
    world.feed.watch()
    changed = world.store.next()
    await asyncio.sleep(0)
    assert world.store.reads == 0
    announced.set()
    await until(lambda: world.feed.current is changed)
    assert world.slept == []
    world.time += 3.0
    assert not world.feed.is_stale
    world.time += 0.1
    assert world.feed.is_stale
    await world.feed.aclose()


async def test_nothing_is_read_before_it_watches() -> None:
    world = World()
    await asyncio.sleep(0)
    assert world.store.reads == 0
    await world.feed.aclose()
    await world.feed.aclose()


async def test_what_is_known_stays_while_the_store_fails() -> None:
    world = World()
    world.feed.watch()
    known = world.store.next()
    await until(lambda: world.feed.current is known)
    world.store.error = StoreFailed("disk gone")
    await world.looked(3)
    assert world.feed.current is known
    assert world.problems == ["the keys cannot be read; those that are known are served on (disk gone)"]
    world.store.error = None
    changed = world.store.next()
    await until(lambda: world.feed.current is changed)
    await world.looked()
    assert world.problems[1:] == [None]
    await world.feed.aclose()


async def test_a_refresh_has_what_was_written_before() -> None:
    world = World()
    changed = world.store.next()
    await world.feed.refresh()
    assert world.feed.current is changed
    await world.feed.aclose()


async def test_a_refresh_does_not_use_a_look_that_began_before_the_change() -> None:
    world = World()
    world.store.gate.clear()
    first = asyncio.ensure_future(world.feed.refresh())
    await until(lambda: world.store.reads == 1)
    changed = world.store.next()
    others = [asyncio.ensure_future(world.feed.refresh()) for _ in range(100)]
    await asyncio.sleep(0)
    world.store.gate.set()
    await asyncio.gather(first, *others)
    assert world.feed.current is changed
    assert world.store.reads == 2, "a hundred clients share one look"
    await world.feed.aclose()


async def test_a_client_that_leaves_ends_no_look_of_others() -> None:
    world = World()
    world.store.gate.clear()
    first, second = (asyncio.ensure_future(world.feed.refresh()) for _ in range(2))
    await until(lambda: world.store.reads == 1)
    first.cancel()
    await asyncio.wait([first])
    changed = world.store.next()
    world.store.gate.set()
    await second
    assert world.feed.current is changed
    await world.feed.aclose()


@pytest.mark.parametrize("cause", [StoreFailed("locked"), ValueError("a bug")])
async def test_a_failed_refresh_is_a_503(cause: Exception) -> None:
    world = World()
    world.store.error = cause
    with pytest.raises(StoreUnavailable) as raised:
        await world.feed.refresh()
    error = raised.value
    assert (error.status, error.code, error.retry_after) == (503, "accounts_unavailable", 2.0)
    assert str(cause) not in error.public_message
    world.store.error = None
    await world.feed.refresh()
    await world.feed.aclose()


async def test_whatever_a_look_raises_is_logged_and_the_next_one_follows() -> None:
    world = World()
    world.feed.watch()
    world.store.error = ZeroDivisionError("a bug")
    await world.looked(3)
    assert world.problems == ["the keys cannot be read; those that are known are served on (ZeroDivisionError: a bug)"]
    world.store.error = None
    changed = world.store.next()
    await until(lambda: world.feed.current is changed and world.problems[-1] is None)
    await world.feed.aclose()


async def test_what_nothing_follows_is_looked_at_by_the_first_request() -> None:
    """An application without a lifespan."""
    world = World()
    changed = world.store.next()
    assert world.feed.is_stale
    await world.feed.freshen()
    assert world.feed.current is changed
    assert not world.feed.is_stale
    await world.feed.aclose()


async def test_after_a_time_in_which_the_process_did_not_run_there_is_a_look() -> None:
    world = World()
    world.awake.clear()
    world.feed.watch()
    world.time += FRESH_FOR
    assert not world.feed.is_stale, "the looks of the watch are enough"
    assert world.store.reads == 0
    world.time += 0.1
    assert world.feed.is_stale
    changed = world.store.next()
    await asyncio.gather(*(world.feed.freshen() for _ in range(100)))
    assert world.feed.current is changed
    assert world.store.reads <= 2, "a hundred requests share one look, or that which follows it"
    assert not world.feed.is_stale
    await world.feed.aclose()


async def test_while_the_store_fails_no_request_waits_for_it() -> None:
    world = World()
    world.awake.clear()
    world.feed.watch()
    world.store.error = StoreFailed("disk gone")
    world.time += FRESH_FOR + 1
    await world.feed.freshen()
    assert len(world.problems) == 1
    world.time += FRESH_FOR + 1
    assert not world.feed.is_stale
    await world.feed.aclose()


@pytest.mark.virtual_time
async def test_a_look_that_takes_long_does_not_hold_requests_up() -> None:
    world = World()
    world.awake.clear()
    world.store.gate.clear()
    await world.feed.freshen()
    assert world.problems == ["the keys cannot be read; those that are known are served on (no answer in 1 s)"]
    world.time += FRESH_FOR + 1
    assert not world.feed.is_stale
    world.store.gate.set()
    await until(lambda: world.problems[1:] == [None])
    await world.feed.aclose()


def test_another_event_loop_follows_changes_anew() -> None:
    """An application that is called by one loop after another, as by a test client of each request."""

    async def ask() -> None:
        await world.feed.freshen()
        assert not world.feed.is_stale

    async def end() -> None:
        world.store.gate = asyncio.Event()
        world.store.gate.set()
        await ask()
        await world.feed.aclose()

    world = World()
    world.awake.clear()
    asyncio.run(ask())
    world.time += FRESH_FOR + 1
    world.awake = asyncio.Event()
    asyncio.run(end())
    assert world.store.reads == 2


async def test_a_version_that_it_is_told_of_is_read_at_once() -> None:
    world = World()
    world.awake.clear()  # it would not look by itself
    world.feed.watch()
    await asyncio.sleep(0)
    changed = world.store.next()
    world.feed.expect(changed.version)
    await until(lambda: world.feed.current is changed)
    reads = world.store.reads
    world.feed.expect(changed.version)
    await asyncio.sleep(0)
    assert world.store.reads == reads, "it has that one"
    await world.feed.aclose()


async def test_what_it_has_is_in_use_for_a_second_after_it_was_told_of_more() -> None:
    world = World()
    world.feed.watch()
    world.store.error = StoreFailed("disk gone")
    world.feed.expect(7)
    await world.looked()
    assert not world.feed.is_stale
    world.time += FRESH_FOR
    world.feed.expect(8)
    await world.looked()
    world.time += 0.01
    assert world.feed.is_stale, "another change does not give it another second"
    with pytest.raises(StoreUnavailable) as refused:
        await world.feed.freshen()
    assert (refused.value.code, refused.value.retry_after) == ("accounts_unavailable", 2.0)
    world.store.error = None
    while world.store.directory.version < 8:
        world.store.next()
    await world.feed.freshen()
    assert not world.feed.is_stale
    await world.feed.aclose()


async def test_what_it_is_told_of_after_a_time_in_which_it_did_not_run_is_read_before_a_request() -> None:
    """A stopped worker: the word of a change waited for it, and so did requests with the key that was revoked."""
    world = World()
    world.awake.clear()
    world.feed.watch()
    world.time += FRESH_FOR + 0.1
    changed = world.store.next()
    world.store.gate.clear()
    world.feed.expect(changed.version)
    assert world.feed.is_stale
    world.store.gate.set()
    await world.feed.freshen()
    assert world.feed.current is changed
    assert not world.feed.is_stale
    await world.feed.aclose()


async def test_a_look_is_as_old_as_its_beginning() -> None:
    """A process that stops in the middle of one goes on with what was read before."""
    world = World()
    world.awake.clear()
    world.feed.watch()
    world.store.gate.clear()
    look = asyncio.ensure_future(world.feed.refresh())
    await until(lambda: world.store.reads == 1)
    world.time += FRESH_FOR + 0.1
    world.store.next()
    world.store.gate.set()
    await look
    assert world.feed.is_stale
    await world.feed.aclose()


async def test_a_version_that_is_gone_is_not_waited_for() -> None:
    """A backup was put back: the change that the process was told of is not in it, and there is nothing to wait for."""
    world = World()
    world.feed.watch()
    restored = world.store.next()
    world.store.next()
    world.store.error = StoreFailed("locked")
    world.feed.expect(2)
    await world.looked()
    world.time += FRESH_FOR + 0.1
    with pytest.raises(StoreUnavailable):
        await world.feed.freshen()
    world.store.directory, world.store.error = restored, None
    await world.feed.freshen()
    assert world.feed.current is restored
    world.time += FRESH_FOR + 0.1
    await world.feed.freshen()
    assert not world.feed.is_stale
    await world.feed.aclose()


async def test_a_look_that_began_before_the_word_of_a_change_does_not_answer_it() -> None:
    world = World()
    world.awake.clear()
    world.feed.watch()
    world.store.gate.clear()
    look = asyncio.ensure_future(world.feed.refresh())
    await until(lambda: world.store.reads == 1)
    changed = world.store.next()
    world.feed.expect(changed.version)
    world.store.error = StoreFailed("locked")  # from the next look on
    world.store.gate.set()
    await look
    await until(lambda: world.problems != [])
    world.time += FRESH_FOR + 0.1
    with pytest.raises(StoreUnavailable):
        await world.feed.freshen()
    world.store.error = None
    await world.feed.freshen()
    assert world.feed.current is changed
    await world.feed.aclose()
