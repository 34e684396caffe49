"""Risk: a node that is cut off and one that books what it had leased pass a limit together, or money is lost by it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from modelmux.accounts.lease_term import STOPS_AFTER
from modelmux.accounts.slices import WindowKey
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.postgres_ledger import PostgresLedger
from support.lost_nodes import LostNodes

A, B = WindowKey("bud_a", "", 0), WindowKey("bud_b", "é", 0)
LIMITS = {A: 1_000, B: 10_000}
NAMES = ("one", "two", "three")


@pytest.fixture
async def ledgers(postgres_url: str) -> Any:
    every = [PostgresLedger(parse_postgres_url(postgres_url)) for _ in range(2)]
    yield every
    for one in every:
        await one.aclose()


async def checked(world: LostNodes, ledger: PostgresLedger) -> dict[WindowKey, tuple[int, int]]:
    """What windows have spent and leased."""
    windows = dict(await ledger.windows(list(LIMITS)))
    rows = (await ledger.entries(EntryQuery(limit=1_000))).entries
    for window, (spent, leased) in windows.items():
        assert spent + leased <= LIMITS[window]
        assert spent == sum(dict(row.debits).get(window, 0) for row in rows)
    return windows


async def test_a_node_that_comes_back_takes_back_what_was_booked_for_it(ledgers: list[PostgresLedger]) -> None:
    """The limit is not passed meanwhile, and what it had leased and not used is there for others."""
    ledger, other = ledgers
    world = LostNodes(("a", "b"), LIMITS, ledger)
    assert await world.obtain("a", {A: 600})
    assert await world.obtain("a", {A: 100})
    world.settle("a", 0, 0.5)  # 300, of which the database knows nothing
    world.nodes["a"].link.state = "cut"
    world.now += STOPS_AFTER + 1
    assert not await world.obtain("a", {A: 1}), "it may have been ended"
    leased = (await ledger.windows([A]))[A][1]
    assert leased >= 700

    await other.end_holder("a-1", world.lease_row)
    assert await other.windows([A]) == {A: (leased, 0)}
    assert await world.obtain("b", {A: 1_000 - leased})
    assert not await world.obtain("b", {A: 1})

    world.nodes["a"].link.state = "up"
    assert not await world.obtain("a", {A: 400})
    assert (await checked(world, ledger))[A] == (300, 100 + 1_000 - leased), "its request is still running"
    assert await world.obtain("b", {A: leased - 400})
    (booked, back) = [row for row in (await other.entries(EntryQuery())).entries if row.key == "unknown"]
    assert [(one.kind, one.debits) for one in (booked, back)] == [
        ("in_doubt", ((A, leased),)), ("resolve", ((A, -leased),)),
    ]  # fmt: skip
    await world.come_to_rest()
    assert (await checked(world, ledger))[A] == (world.spent[A], 0)


async def test_a_journal_that_is_found_late_takes_back_what_was_booked(ledgers: list[PostgresLedger]) -> None:
    """With and without rows of requests; and nothing of it is done twice."""
    ledger, other = ledgers
    world = LostNodes(("a", "b"), LIMITS, ledger)
    assert await world.obtain("a", {A: 300, B: 10})
    assert await world.obtain("b", {B: 500})
    world.settle("b", 0, 0.0)
    for name in ("a", "b"):
        world.kill(name)
    killed = list(world.dead)
    for node in killed:
        await other.end_holder(node.name, world.lease_row)
    assert all(leased == 0 for _, leased in (await checked(world, ledger)).values())
    killed[1].waiting.clear()
    for _ in range(2):
        world.dead = list(killed)
        await world.recover(0)
        await ledger.end_holder(killed[1].name)
        assert await checked(world, ledger) == {A: (300, 0), B: (10, 0)}
    assert await other.verify() == []


async def test_what_a_person_said_of_a_lost_lease_is_what_is_taken_back(ledgers: list[PostgresLedger]) -> None:
    ledger, other = ledgers
    world = LostNodes(("a", "b"), LIMITS, ledger)
    assert await world.obtain("a", {A: 500})
    world.settle("a", 0, 0.1)
    world.now += STOPS_AFTER + 1
    await other.end_holder("a-1", world.lease_row)
    (row,) = (await other.entries(EntryQuery())).entries
    ((_, leased),) = row.debits
    await other.append([world.row({A: 50 - leased}, kind="resolve", corrects=row.id)])
    assert await world.obtain("b", {A: 950})
    assert await world.exchange("a")
    assert (await checked(world, ledger))[A] == (50, 950), "what was free of its lease is not its own any more"


async def test_a_renewal_takes_back_what_was_booked_too(ledgers: list[PostgresLedger]) -> None:
    ledger, other = ledgers
    world = LostNodes(("a",), LIMITS, ledger)
    assert await world.obtain("a", {A: 500})
    leased = (await ledger.windows([A]))[A][1]
    first = await ledger.renew("a-1", "a", 60)
    await other.end_holder("a-1", world.lease_row)
    again = await ledger.renew("a-1", "a", 60)
    assert first.epoch != again.epoch
    assert await ledger.windows([A]) == {A: (0, leased)}
    assert (await ledger.renew("a-1", "a", 60)).epoch == again.epoch
    await ledger.drop_before(2 * 10**15)
    assert await ledger.windows([A]) == {A: (0, leased)}


async def test_nodes_that_come_and_go_keep_to_the_limits(ledgers: list[PostgresLedger]) -> None:
    """As the model, by chance."""
    ledger, other = ledgers
    world, choose = LostNodes(NAMES, LIMITS, ledger), random.Random(3)
    for _ in range(80):
        name = choose.choice(NAMES)
        node = world.nodes[name]
        node.link.state = choose.choice(["up", "up", "up", "cut", "deaf"])
        match choose.randrange(6):
            case 0 | 1:
                await world.obtain(name, {window: choose.randrange(300) for window in LIMITS})
            case 2 if node.holds:
                world.settle(name, 0, choose.random())
            case 3:
                await world.exchange(name)
            case 4:
                await other.end_holder(node.name, world.lease_row)
                world.now += choose.choice([1.0, STOPS_AFTER + 1])
            case 5 if len(world.dead) < 2:
                world.kill(name)
            case _ if world.dead:
                await world.recover(0)
            case _:
                await world.renew(name)
        await checked(world, other)
    await world.come_to_rest()
    assert await checked(world, other) == {window: (world.spent[window], 0) for window in LIMITS}
    assert await other.verify() == []
