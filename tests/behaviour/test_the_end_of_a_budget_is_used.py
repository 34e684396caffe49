"""Risk: a request near the end of a budget is refused although it could be served, or is served for more than is left.

With the real store in a file. The upstream is scripted: what a reply reports is what it costs.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from behaviour.test_budgets_are_never_passed import COST, NANO, World
from modelmux.accounts.budget_edits import save_budget
from modelmux.accounts.budgets import Budget
from modelmux.accounts.windows import WindowRule
from modelmux.errors import UpstreamUnreachable
from support.asgi import request
from support.blocks import reply_of, text
from support.fakes import FakeReply, error_reply, message_reply, quota_exceeded
from support.gateway import MODEL, PATH, ask

#: What 2,000 tokens of output cost, and the prompt of ``ask`` at its bound.
ROOM = 2_000 * 15_000 + 400 * 3_750
#: The notices of ``ask``, which names the limit twice.
CLAMPED = "ignored=max_tokens, clamped=max_completion_tokens"


async def test_a_clamped_request_gets_the_tokens_that_are_left(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply(), message_reply())
    await world.begin(ROOM, on_short="clamp")
    response = await world.ask(64_000)
    assert (response.status, response.headers["x-modelmux-notices"]) == (200, CLAMPED)
    sent = world.upstream.body()["max_tokens"]
    assert 2_000 <= sent < 2_100
    native = {"model": MODEL, "max_tokens": 64_000, "messages": [{"role": "user", "content": "Hi"}]}
    response = await request(world.app, "POST", "/v1/messages", native, world.headers)
    assert (response.status, response.headers["x-modelmux-notices"]) == (200, "clamped=max_tokens")
    assert world.upstream.body() | {"max_tokens": 0} == {
        "messages": native["messages"], "max_tokens": 0, "anthropic_version": "vertex-2023-10-16"
    }  # fmt: skip
    await world.end()
    ((spent, leased),) = world.windows()
    assert (spent, leased, world.held()) == (2 * COST, 0, 0)


async def test_a_request_that_fits_is_not_clamped(tmp_path: Path) -> None:
    world = World(tmp_path, message_reply())
    await world.begin(NANO, on_short="clamp")
    response = await world.ask(64_000)
    assert (response.status, response.headers["x-modelmux-notices"]) == (200, "ignored=max_tokens")
    assert world.upstream.body()["max_tokens"] == 64_000
    await world.end()


@pytest.mark.parametrize(
    ("limit", "fields"),
    [
        (ROOM // 2, {}),  # fewer than 1,024
        (ROOM, {"reasoning_effort": "max", "model": "claude-haiku-4-5"}),  # fewer than it thinks
    ],
)
async def test_too_few_tokens_for_an_answer_are_refused(limit: int, fields: Any, tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin(limit, on_short="clamp")
    assert (await world.ask(64_000, **fields)).status == 429
    assert not world.upstream.calls
    await world.end()


async def test_strict_mode_and_a_budget_that_refuses_allow_no_clamping(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin(ROOM, on_short="clamp")
    headers = world.headers | {"x-modelmux-strict": "true"}
    refused = await request(world.app, "POST", PATH, ask(max_tokens=64_000), headers)
    assert (refused.status, refused.json()["error"]["code"]) == (429, "budget_exceeded")
    other = Budget(id="bud_b", name="other", limit=ROOM, window=WindowRule(every="day"))
    await world.change(lambda d: save_budget(d, other))
    assert (await world.ask(64_000)).status == 429
    await world.end()


async def test_a_retry_of_a_clamped_request_starts_from_what_the_client_asked_for(tmp_path: Path) -> None:
    """The failed call cost nothing, so the second gets as much; there is one notice."""
    world = World(tmp_path, quota_exceeded(), message_reply())
    await world.begin(ROOM, on_short="clamp")
    response = await world.ask(64_000)
    assert (response.status, response.headers["x-modelmux-notices"]) == (200, CLAMPED)
    first, second = (world.upstream.body(index)["max_tokens"] for index in range(2))
    assert 2_000 <= first == second
    await world.end()
    assert world.windows() == [(COST, 0)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("unit", "limit"), [("usd", NANO), ("tokens", 300_000), ("requests", 1)])
async def test_a_reply_that_pauses_is_continued_beside_what_it_has_cost(
    unit: Any, limit: int, stream: bool, tmp_path: Path
) -> None:
    """There is room for one worst case, which is that of ten searches. What the call before has cost is known by then:
    else a client pays for the first part of a reply and is refused the rest."""
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    pauses = reply_of(text("I look. "), search, found, stop_reason="pause_turn", stream=stream)
    world = World(tmp_path, pauses, pauses, reply_of(text("Cats."), stream=stream))
    await world.begin(limit, unit=unit)
    response = await world.ask(web_search_options={}, stream=stream)
    assert (response.status, len(world.upstream.calls)) == (200, 3)
    assert b"budget_exceeded" not in response.body
    await world.end()
    ((spent, leased),) = world.windows()
    assert (0 < spent < limit or unit == "requests", leased, world.held()) == (True, 0, 0)


async def test_requests_at_the_same_time_share_what_is_left(tmp_path: Path) -> None:
    world = World(tmp_path, *(message_reply() for _ in range(20)))
    await world.begin(ROOM, on_short="clamp")
    statuses = [one.status for one in await asyncio.gather(*(world.ask(64_000) for _ in range(20)))]
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 1
    await world.end()
    ((spent, leased),) = world.windows()
    assert (spent, leased, world.held()) == (statuses.count(200) * COST, 0, 0)
    assert spent <= ROOM


@pytest.mark.parametrize(
    ("unknown_price", "status", "spent"),
    [("refuse", 403, None), ("ledger_only", 200, 0), ("like:claude-sonnet-4-6", 200, COST)],
)
async def test_a31_a_model_without_a_price_is_refused_or_counted_as_the_operator_says(
    unknown_price: str, status: int, spent: int | None, tmp_path: Path
) -> None:
    models = {"models": [{"name": "claude-next", "model": "claude-next"}]}
    world = World(tmp_path, message_reply(), vertex=models, accounts={"unknown_price": unknown_price})
    await world.begin(NANO)
    response = await world.ask(model="claude-next")
    assert response.status == status
    if status == 403:
        assert response.json()["error"]["code"] == "price_unknown"
        assert "accounts.unknown_price" in response.json()["error"]["message"]
    await world.end()
    with closing(sqlite3.connect(world.path)) as connection:
        rows = connection.execute("SELECT cost_input + cost_output FROM ledger").fetchall()
    expected = {"refuse": 0, "ledger_only": None}.get(unknown_price, COST)
    assert rows == [(expected,)]
    assert sum(of[0] for of in world.windows()) == (spent or 0)
    assert world.held() == 0


#: Of 4,000 bytes, where the bound is 2,000 and more.
COUNTED = 800
LONG = {"messages": [{"role": "user", "content": "word " * 800}]}
#: Room for the prompt as it is counted and 100 tokens of output, but not for its bound.
COUNTED_ROOM = (COUNTED + 100) * 3_000 + 100 * 15_000


def count_reply(tokens: int = COUNTED) -> FakeReply:
    return FakeReply(200, [], [json.dumps({"input_tokens": tokens}).encode()])


def targets(world: World) -> list[str]:
    return [call.target.rpartition("/")[2] for call in world.upstream.calls]


async def test_a_prompt_whose_bound_does_not_fit_is_counted_before_it_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, count_reply(), message_reply())
    await world.begin(COUNTED_ROOM)
    assert (await world.ask(**LONG)).status == 200
    assert ["count-tokens" in target for target in targets(world)] == [True, False]
    assert len(world.upstream.calls) == 2
    await world.end()
    assert (world.windows(), world.held()) == ([(COST, 0)], 0)
    with closing(sqlite3.connect(world.path)) as connection:
        ((attempts,),) = connection.execute("SELECT count(*) FROM ledger WHERE output = 3").fetchall()
    assert attempts == 1, "the count is not a call that costs something"


@pytest.mark.parametrize(
    "reply", [count_reply(5_000), error_reply(429, {}), FakeReply(200, [], [b"{}"]), UpstreamUnreachable("no")]
)
async def test_a_count_that_does_not_help_leaves_the_refusal(reply: Any, tmp_path: Path) -> None:
    world = World(tmp_path, reply)
    await world.begin(COUNTED_ROOM)
    response = await world.ask(**LONG)
    assert (response.status, response.json()["error"]["code"]) == (429, "budget_exceeded")
    assert len(world.upstream.calls) == 1
    await world.end()
    assert world.held() == 0


async def test_what_no_count_can_help_is_refused_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.begin(COUNTED_ROOM)
    assert (await world.ask(64_000, **LONG)).status == 429
    assert not world.upstream.calls
    await world.end()


async def test_a_client_that_repeats_a_refused_request_does_not_have_it_counted_each_time(tmp_path: Path) -> None:
    world = World(tmp_path, count_reply(5_000))
    await world.begin(COUNTED_ROOM)
    assert [(await world.ask(**LONG)).status for _ in range(3)] == [429] * 3
    assert len(world.upstream.calls) == 1
    await world.end()
