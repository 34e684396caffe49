"""Risk: retries multiply an outage, ignore the settings, or hold a client for longer than it would wait."""

from __future__ import annotations

import pytest

from support.asgi import request
from support.blocks import SONNET, USER, block_events, message_start, text, tool, tool_call
from support.chat import chat
from support.fakes import FakeUpstream, error_reply, event, message_reply, quota_exceeded, stream_reply, text_events
from support.gateway import PATH, ask, gateway

pytestmark = pytest.mark.usefixtures("no_waiting")

OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


NO_RETRIES = {"retries": {"max": 0}}


TWO_LOCATIONS_CONFIG = {"vertex": {"models": [{"name": "m", "model": SONNET, "locations": ["global", "eu"]}]}}


@pytest.mark.parametrize("pieces", [[message_start(), OVERLOADED], [OVERLOADED]])
async def test_e12_disabled_retries_are_disabled_inside_a_stream_too(pieces: list[bytes]) -> None:
    """With retries disabled no other deployment is tried, neither for an error status nor for an error inside a
    stream."""
    settings = NO_RETRIES | TWO_LOCATIONS_CONFIG
    spare = stream_reply(*text_events("elsewhere"))
    got = await chat(stream_reply(*pieces), spare, settings=dict(settings), model="m", stream=True)
    assert (got.status, got.error["code"], len(got.upstream.calls)) == (503, "overloaded", 1)
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    got = await chat(error_reply(529, body), spare, settings=dict(settings), model="m")
    assert (got.status, got.error["code"], len(got.upstream.calls)) == (503, "overloaded", 1)
    broken = stream_reply(message_start(), *block_events(0, text("Once")), OVERLOADED)
    got = await chat(broken, spare, settings=dict(settings), model="m", stream=True)
    assert (got.status, got.response.events()[-1]["error"]["code"], len(got.upstream.calls)) == (200, "overloaded", 1)


async def test_g4_quota_errors_are_retried_for_a_bounded_time(no_waiting: list[float]) -> None:
    upstream = FakeUpstream([quota_exceeded() for _ in range(20)])
    response = await request(gateway(upstream), "POST", PATH, ask())
    assert response.status == 429
    assert response.json()["error"]["type"] == "rate_limit_error"
    assert "uota" in response.json()["error"]["message"]
    assert len(upstream.calls) <= 4
    assert sum(no_waiting) < 30


async def test_g4_a_quota_of_zero_is_recognised(no_waiting: list[float]) -> None:
    """The upstream says that the limit is zero: there is no more waiting, and the error is the remedy."""
    zero = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded, limit: 0"}}
    upstream = FakeUpstream([error_reply(429, zero) for _ in range(20)])
    app = gateway(upstream)
    for _ in range(5):
        response = await request(app, "POST", PATH, ask())
    assert len(upstream.calls) <= 4
    assert response.json()["error"]["code"] == "insufficient_quota"
    assert "Quotas & System Limits" in response.json()["error"]["message"]
    assert response.headers["x-should-retry"] == "false"


async def test_g19_attempts_end_however_long_the_upstream_fails(no_waiting: list[float]) -> None:
    for more in (100, 3):
        upstream = FakeUpstream([stream_reply(message_start(), OVERLOADED) for _ in range(200)])
        app = gateway(upstream, retries={"max": more})
        response = await request(app, "POST", PATH, ask(stream=True))
        assert response.status >= 500
        assert len(upstream.calls) <= more + 1
        assert app.metrics.in_flight == 0


TWO_LOCATIONS = {"models": [{"name": "m", "model": "claude-sonnet-4-6", "locations": ["global", "eu"]}]}


async def test_g20_disabled_retries_hold_in_every_state(no_waiting: list[float]) -> None:
    for reply in (
        quota_exceeded(),
        stream_reply(message_start(), OVERLOADED),
        stream_reply(),
        stream_reply(*text_events("x")[:4]),
    ):
        upstream = FakeUpstream([reply, message_reply()])
        app = gateway(upstream, retries={"max": 0}, vertex=TWO_LOCATIONS)
        await request(app, "POST", PATH, ask(stream=True) | {"model": "m"})
        assert len(upstream.calls) == 1
        assert not no_waiting


@pytest.mark.parametrize("arguments", ["not json", "[1]", "null", '{"a":', '"text"', "{" * 3000])
async def test_g45_invalid_arguments_and_400_are_never_retried(arguments: str, no_waiting: list[float]) -> None:
    turn = {"role": "assistant", "content": None, "tool_calls": [tool_call(arguments=arguments)]}
    body = ask(tools=[tool()]) | {
        "messages": [USER, turn, {"role": "tool", "tool_call_id": "toolu_1", "content": "20"}]
    }
    upstream = FakeUpstream([message_reply() for _ in range(5)])
    response = await request(gateway(upstream), "POST", PATH, body)
    assert response.status in (200, 400)
    assert len(upstream.calls) == (response.status == 200)
    refused = FakeUpstream([error_reply(400, {"type": "error", "error": {"type": "invalid_request_error"}})] * 5)
    assert (await request(gateway(refused), "POST", PATH, ask())).status == 400
    assert len(refused.calls) == 1
    assert not no_waiting


async def test_g69_one_429_does_not_block_the_next_request(no_waiting: list[float]) -> None:
    app = gateway(upstream := FakeUpstream([quota_exceeded()]), retries={"max": 0})
    assert (await request(app, "POST", PATH, ask())).status == 429
    upstream.script = [message_reply("fine")]
    assert (await request(app, "POST", PATH, ask())).status == 200


@pytest.mark.parametrize("retry_after", ["1", "29", "3600", "99999999"])
async def test_g72_a_long_retry_after_does_not_hold_the_client(retry_after: str, no_waiting: list[float]) -> None:
    elsewhere = FakeUpstream([quota_exceeded(retry_after), message_reply()])
    model = {"name": "m", "model": "claude-sonnet-4-6", "locations": ["global", "eu"]}
    response = await request(gateway(elsewhere, vertex={"models": [model]}), "POST", PATH, ask() | {"model": "m"})
    assert response.status == 200
    assert not no_waiting
    alone = FakeUpstream([quota_exceeded(retry_after) for _ in range(9)])
    response = await request(gateway(alone), "POST", PATH, ask())
    assert response.status == 429
    assert all(seconds <= 30 for seconds in no_waiting)
