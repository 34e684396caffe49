"""What becomes of a request of several budgets, each with its own rule for what does not fit.

Risk: a budget that has room decides what becomes of a request that another one has none for: it waits in vain, or it is
refused although it would have been served in a moment.

With the real store in a file. The upstream is scripted.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from behaviour.test_budgets_are_never_passed import NANO, World
from behaviour.test_the_end_of_a_budget_is_used import ROOM
from modelmux.accounts.budget_edits import save_budget
from modelmux.accounts.budgets import Budget
from modelmux.accounts.windows import WindowRule
from support.fakes import HeldBack, message_reply

#: Nothing that is tested takes so long; a request that waits for its budget takes an hour.
SECONDS = 20


async def begun(folder: Path, *replies: Any, small: dict[str, Any], other: dict[str, Any]) -> World:
    world = World(folder, *replies, accounts={"wait": "1h"})
    await world.begin(**small)
    budget = Budget(**{"id": "bud_b", "name": "other", "window": WindowRule(every="day")} | other)
    await world.change(lambda d: save_budget(d, budget))
    return world


async def test_a_budget_that_has_room_makes_no_request_wait(tmp_path: Path) -> None:
    world = await begun(tmp_path, small={"limit": 1_000}, other={"limit": NANO, "on_short": "wait"})
    async with asyncio.timeout(SECONDS):
        refused = await world.ask()
    assert (refused.status, b"budget 'small'" in refused.body) == (429, True)
    await world.end()


async def test_a_budget_that_has_room_does_not_delay_fewer_tokens(tmp_path: Path) -> None:
    small, other = {"limit": ROOM, "on_short": "clamp"}, {"limit": 10 * NANO, "on_short": "wait"}
    world = await begun(tmp_path, message_reply(), small=small, other=other)
    async with asyncio.timeout(SECONDS):
        clamped = await world.ask(64_000)
    assert (clamped.status, "clamped=" in clamped.headers["x-modelmux-notices"]) == (200, True)
    await world.end()


async def test_a_budget_that_refuses_ends_the_wait_for_another(tmp_path: Path) -> None:
    world = await begun(tmp_path, small={"limit": 1_000}, other={"limit": 1_000, "on_short": "wait"})
    async with asyncio.timeout(SECONDS):
        assert (await world.ask()).status == 429
    await world.end()


@pytest.mark.parametrize("other", ["refuse", "clamp"])
async def test_a_request_waits_for_the_budget_that_is_short(other: Any, tmp_path: Path) -> None:
    """Although another one with room would refuse, or lower its tokens."""
    small = {"limit": 4_000 * 15_000 * 3 // 2, "on_short": "wait"}
    world = await begun(
        tmp_path, message_reply(), message_reply(), small=small, other={"limit": 10 * NANO, "on_short": other}
    )
    upstream = HeldBack(world.upstream)
    first = asyncio.create_task(world.ask(4_000))
    await upstream.began.wait()
    second = asyncio.create_task(world.ask(4_000))
    await asyncio.sleep(0.2)
    assert not second.done(), "it waits for what the first one holds"
    upstream.answers.set()
    async with asyncio.timeout(SECONDS):
        assert [(await one).status for one in (first, second)] == [200, 200]
    await world.end()
