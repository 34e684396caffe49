"""Risk: a budget is used up and no one is told, or everybody is told with every request.

The whole gateway with the real store. The upstream is scripted, and stands for the webhook, too.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from behaviour.test_budgets_are_never_passed import COST, NANO, World
from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.budget_edits import adjust
from support.clock import NOW
from support.fakes import FakeReply, message_reply
from support.http_peers import until

HOOK = {"webhook": "https://hooks.example.com/x", "webhook_secret": "s3cret"}


def alerts(world: World) -> list[dict[str, Any]]:
    """All that were ever told, and are to be told."""
    with closing(sqlite3.connect(world.path)) as connection:
        rows = connection.execute("SELECT data FROM alert WHERE type = 'budget.threshold'")
        return sorted((json.loads(data) for (data,) in rows), key=lambda one: int(one["percent"]))


async def written(world: World) -> None:
    writer = world.app.metering.writer
    assert writer is not None
    await writer.exchange()


async def test_a22_thresholds_of_soft_budgets_reach_the_webhook_once(tmp_path: Path) -> None:
    world = World(tmp_path, *(message_reply() for _ in range(20)), accounts=HOOK)
    await world.begin(10 * COST, mode="soft", alerts=(50, 80, 100, 150))
    for count in range(1, 21):
        assert (await world.ask()).status == 200
        await written(world)
        assert len(alerts(world)) == sum(10 * count >= percent for percent in (50, 80, 100, 150))
    assert [one["spent"] for one in alerts(world)] == [f"0.00{66 * count:04}".rstrip("0") for count in (5, 8, 10, 15)]
    world.upstream.script = [FakeReply(204, [], []) for _ in range(4)]
    await world.app.startup()
    await until(lambda: len(world.upstream.calls) == 24)
    await world.end()
    told = [json.loads(call.body) for call in world.upstream.calls[20:]]
    assert told == alerts(world)
    assert all(call.origin.host == "hooks.example.com" for call in world.upstream.calls[20:])


async def test_the_first_refusal_of_a_hard_budget_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    await world.begin(NANO // 100)
    assert (await world.ask()).status == 200
    for _ in range(2):
        assert (await world.ask(64_000)).status == 429
    await written(world)
    await world.end()
    ((percent, refused, spent),) = [(one["percent"], one["refused"], one["spent"]) for one in alerts(world)]
    assert (percent, refused, spent) == (100, True, "0.000066")


async def test_a_threshold_is_a_share_of_the_limit_with_its_top_ups(tmp_path: Path) -> None:
    world = World(tmp_path, *(message_reply() for _ in range(2)))
    await world.begin(COST, mode="soft", alerts=(50,))
    added = Adjustment(id="adj_a", budget="bud_a", kind="top_up", amount=2 * COST, created=int(NOW * 1e6))
    await world.change(lambda d: adjust(d, added))
    await world.ask()
    await written(world)
    assert alerts(world) == []
    await world.ask()
    await world.end()
    assert [(one["percent"], one["limit"]) for one in alerts(world)] == [(50, "0.000198")]


async def test_a_clamped_request_tells_of_no_refusal(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    await world.begin(NANO // 25, on_short="clamp")
    assert (await world.ask(64_000)).status == 200
    await world.end()
    assert alerts(world) == []
