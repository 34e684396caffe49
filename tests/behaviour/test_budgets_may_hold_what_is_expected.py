"""Risk: a budget that holds what answers usually cost holds the worst case all the same, or what it is passed by is
not counted."""

from __future__ import annotations

import json
from pathlib import Path

from behaviour.test_budgets_are_never_passed import COST, NANO, World
from modelmux.accounts.usual_output import LEAST_ANSWERS
from modelmux.wire.http import HttpCall
from support.fakes import FakeReply, message_reply
from support.http_peers import until

UNDERRUN = "modelmux_budget_underrun_usd_total"


def underrun(world: World) -> float:
    page = world.app.metrics.expose().decode()
    return float(next(line.split()[1] for line in page.splitlines() if line.startswith(f"{UNDERRUN} ")))


async def test_after_some_answers_a_request_holds_what_they_took(tmp_path: Path) -> None:
    held: list[int] = []

    def answer(call: HttpCall) -> FakeReply:
        assert json.loads(call.body)["max_tokens"] == 64_000, "it may take more"
        held.append(world.held())
        return message_reply()

    world = World(tmp_path, *[answer] * (LEAST_ANSWERS + 1))
    await world.begin(NANO, reserve="expected")
    for _ in range(LEAST_ANSWERS + 1):
        assert (await world.ask(64_000)).status == 200
        await until(lambda: not world.held())
    assert min(held[:-1]) > 64_000 * 15_000, "the worst case, while little is known"
    assert 3 * 15_000 < held[-1] < 2_000_000, "three tokens of output, and the prompt"
    assert underrun(world) == 0
    await world.end()
    assert world.windows() == [((LEAST_ANSWERS + 1) * COST, 0)]


async def test_what_an_answer_costs_above_its_hold_is_charged_and_counted(tmp_path: Path) -> None:
    long = message_reply(usage={"input_tokens": 7, "output_tokens": 10_003})
    world = World(tmp_path, *(message_reply() for _ in range(LEAST_ANSWERS)), long)
    await world.begin(NANO, reserve="expected")
    for _ in range(LEAST_ANSWERS):
        assert (await world.ask(64_000)).status == 200
    await until(lambda: not world.held())
    assert (await world.ask(64_000)).status == 200
    await until(lambda: not world.held())
    assert 0.149 < underrun(world) < 0.15, "10,000 tokens, less what the prompt took below its bound"
    await world.end()
    assert world.windows() == [((LEAST_ANSWERS + 1) * COST + 10_000 * 15_000, 0)]
