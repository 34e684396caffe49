"""Risk: one client, or one host that hangs, takes every slot for downloads."""

from __future__ import annotations

import asyncio

import pytest

from modelmux.upstream.downloads.slots import DownloadSlots


async def take(slots: DownloadSlots, owner: str, host: str, count: int = 1) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(slots.acquire(owner, host)) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


def granted(tasks: list[asyncio.Task[None]]) -> int:
    return sum(task.done() and not task.cancelled() for task in tasks)


async def end(*groups: list[asyncio.Task[None]]) -> None:
    tasks = [task for group in groups for task in group]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_client_gets_at_most_half_whatever_hosts_it_names() -> None:
    slots = DownloadSlots(8)
    flood = [task for n in range(20) for task in await take(slots, "a", f"host-{n}")]
    assert granted(flood) == slots.share == 4
    other = await take(slots, "b", "host-b", 4)
    assert granted(other) == 4
    await end(flood, other)


async def test_a_host_gets_at_most_half_whoever_asks() -> None:
    slots = DownloadSlots(8)
    hanging = [task for n in range(20) for task in await take(slots, f"key-{n}", "slow.example")]
    assert granted(hanging) == 4
    assert granted(await take(slots, "key-0", "fast.example", 2)) == 2
    await end(hanging)


async def test_clients_that_are_not_told_apart_have_no_share() -> None:
    slots = DownloadSlots(4)
    tasks = [task for n in range(6) for task in await take(slots, "", f"host-{n}")]
    assert granted(tasks) == 4
    await end(tasks)


async def test_waiting_clients_take_turns_and_hosts_too() -> None:
    slots = DownloadSlots(4)
    await take(slots, "c", "h", 2)
    await take(slots, "d", "i", 2)
    order: list[str] = []

    async def wait(owner: str, host: str) -> None:
        await slots.acquire(owner, host)
        order.append(owner + host)
        slots.release(owner, host)

    tasks = [asyncio.create_task(wait(*text)) for text in ("ax", "ax", "ay", "bx")]
    await asyncio.sleep(0)
    slots.release("c", "h")
    await asyncio.wait(tasks)
    assert order == ["ax", "bx", "ay", "ax"]


async def test_those_whose_host_or_owner_has_its_share_let_others_pass() -> None:
    slots = DownloadSlots(4)
    await take(slots, "a", "slow", 2)
    await take(slots, "c", "h")
    await take(slots, "d", "h")
    blocked = [*await take(slots, "a", "fast"), *await take(slots, "b", "slow")]
    passing = await take(slots, "b", "other")
    slots.release("c", "h")
    await asyncio.wait(passing)
    assert granted(blocked) == 0
    slots.release("a", "slow")
    await asyncio.wait(blocked, return_when=asyncio.FIRST_COMPLETED)
    assert granted(blocked) == 1
    await end(blocked)


@pytest.mark.parametrize("at_the_same_moment", [False, True])
async def test_a_cancelled_wait_leaves_nothing(at_the_same_moment: bool) -> None:
    slots = DownloadSlots(2)
    await take(slots, "a", "x")
    await take(slots, "b", "y")
    [waiting] = await take(slots, "c", "z")
    if at_the_same_moment:
        slots.release("a", "x")
    waiting.cancel()
    await asyncio.wait([waiting])
    if not at_the_same_moment:
        slots.release("a", "x")
    slots.release("b", "y")
    assert (slots.free, dict(slots._waiting), dict(slots._by_host), dict(slots._by_owner)) == (2, {}, {}, {})
