"""Risk: a timeout never fires, a client looks dead while the model thinks, a queue grows without end, or a slot is not
released."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.errors import UpstreamBroken
from support.asgi import Response, request
from support.clock import loop_time, use_runtime
from support.fakes import FakeUpstream, error_reply, message_reply, stream_reply, text_events
from support.gateway import PATH, ask, gateway
from support.slow import SlowReply, SlowUpstream, slow

pytestmark = pytest.mark.virtual_time
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
TWO = {"models": [{"name": "m", "model": "claude-sonnet-4-6", "locations": ["eu", "us"]}]}


async def call(app: Gateway, headers: dict[str, str] | None = None, **fields: Any) -> Response:
    return await request(app, "POST", PATH, ask(**fields), headers)


def value(app: Gateway, name: str, **labels: str) -> float | None:
    return app.metrics.registry.get_sample_value(name, labels)


HELLO = text_events("Hel", "lo")
PING = b": ping\n\n"


# --- clocks -----------------------------------------------------------------------------------------------------------


async def test_the_time_of_a_request_ends_before_its_answer_began() -> None:
    app = gateway(SlowUpstream([message_reply()], wait=60), timeouts={"total": "50ms"})
    began = loop_time()
    response = await call(app)
    assert loop_time() - began == pytest.approx(0.05)
    assert (response.status, response.json()["error"]["code"]) == (504, "upstream_timeout")
    assert "timeouts.total" in response.json()["error"]["message"]
    assert value(app, "modelmux_requests_in_flight") == 0


async def test_the_time_of_a_request_ends_in_the_middle_of_its_stream() -> None:
    upstream = slow(*HELLO[:4], 60.0)
    app = gateway(upstream, timeouts={"total": "100ms"})
    response = await call(app, stream=True)
    *chunks, error = response.events()
    assert [c["choices"][0]["delta"].get("content") for c in chunks] == ["", "Hel"]
    assert error["error"]["code"] == "upstream_timeout"
    assert response.complete
    assert upstream.replies[0].closed
    assert value(app, "modelmux_deployment_in_flight", deployment="claude-sonnet-4-6@global") == 0


async def test_a_client_may_ask_for_less_time_but_not_for_more() -> None:
    app = gateway(SlowUpstream([message_reply(), message_reply()], wait=0.2), timeouts={"total": "100ms"})
    began = loop_time()
    assert (await call(app, {"x-modelmux-timeout": "0.01"})).status == 504
    assert loop_time() - began == pytest.approx(0.01)
    assert (await call(app, {"x-modelmux-timeout": "10"})).status == 504
    assert loop_time() - began == pytest.approx(0.11)


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "inf", "1e3", "1 2", "٣", "9" * 400])
async def test_a_time_that_is_no_number_of_seconds_is_a_mistake_of_the_client(value: str) -> None:
    app = gateway(FakeUpstream([]))
    response = await call(app, {"x-modelmux-timeout": value.encode().decode("latin-1")})
    assert (response.status, "x-modelmux-timeout" in response.json()["error"]["message"]) == (400, True)
    assert app.metrics.registry.get_sample_value("modelmux_requests_in_flight") == 0


async def test_no_attempt_begins_when_the_time_will_be_over() -> None:
    """The upstream requests a wait of 20 s: the client gets the error at once."""
    refused = error_reply(429, [{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}])
    refused.headers = [*refused.headers, (b"retry-after", b"20")]
    app = gateway(FakeUpstream([refused]))
    began = loop_time()
    assert (await call(app, {"x-modelmux-timeout": "5"})).status == 429
    assert loop_time() == began


async def test_a_stream_that_does_not_begin_in_time_begins_elsewhere() -> None:
    upstream = FakeUpstream([SlowReply(*HELLO[:2], 60.0), stream_reply(*HELLO)])
    app = gateway(upstream, vertex=TWO, timeouts={"first_token": "50ms"})
    response = await request(app, "POST", PATH, {**ask(stream=True), "model": "m"})
    assert response.events()[-1] == "[DONE]"
    assert response.headers["x-modelmux-deployment"] == "m@us"
    assert upstream.replies[0].closed


async def test_a_model_has_clocks_of_its_own() -> None:
    models = [{"name": "m", "model": "claude-sonnet-4-6", "timeouts": {"total": "50ms", "connect": 1}}]
    upstream = SlowUpstream([message_reply() for _ in range(3)], wait=0.1)
    app = gateway(upstream, vertex={"models": models}, timeouts={"idle": 7})
    assert (await request(app, "POST", PATH, {**ask(), "model": "m"})).status == 504
    assert (await request(app, "POST", PATH, {**ask(), "model": "claude-opus-4-8"})).status == 200
    clocks = upstream.calls[0].timeouts
    assert (clocks.connect, clocks.idle, clocks.first_byte) == (5, 7, 600)


# --- keep-alives ------------------------------------------------------------------------------------------------------


async def test_a_client_that_waits_for_its_stream_hears_that_we_live() -> None:
    app = gateway(slow(0.23, *HELLO), streaming={"keep_alive_interval": "50ms"})
    response = await call(app, stream=True)
    assert response.body.startswith(PING * 3)
    assert response.events()[-1] == "[DONE]"
    assert response.headers["x-modelmux-model"] == "claude-sonnet-4-6"
    assert "x-request-id" in response.headers


async def test_and_in_a_pause_of_the_stream_too() -> None:
    app = gateway(slow(*HELLO[:4], 0.23, *HELLO[4:]), streaming={"keep_alive_interval": "50ms"})
    response = await call(app, stream=True)
    assert PING * 3 in response.body
    assert not response.body.startswith(PING)
    assert response.events()[-1] == "[DONE]"


async def test_a_stream_that_flows_gets_no_comments() -> None:
    pieces = [piece for part in HELLO for piece in (part, 0.02)]
    app = gateway(slow(*pieces), streaming={"keep_alive_interval": "100ms"})
    assert PING not in (await call(app, stream=True)).body


async def test_an_error_after_the_first_comment_is_in_band() -> None:
    app = gateway(
        FakeUpstream([SlowReply(0.1, UpstreamBroken("x", reply_started=True)), error_reply(400, OVERLOADED)]),
        streaming={"keep_alive_interval": "50ms"},
        retries={"max": 0},
    )
    response = await call(app, stream=True)
    assert response.status == 200
    assert response.body.startswith(PING)
    assert response.events()[-1]["error"]["code"] == "upstream_broken"
    assert response.complete
    assert value(app, "modelmux_requests_total", route="claude-sonnet-4-6", outcome="upstream_error") == 1


async def test_a_retry_after_the_first_comment_is_still_possible() -> None:
    upstream = FakeUpstream([SlowReply(0.1, UpstreamBroken("x", reply_started=True)), stream_reply(*HELLO)])
    app = gateway(upstream, streaming={"keep_alive_interval": "50ms"}, vertex=TWO)
    response = await request(app, "POST", PATH, {**ask(stream=True), "model": "m"})
    assert response.body.startswith(PING)
    assert response.events()[-1] == "[DONE]"


async def test_comments_are_sent_before_a_single_response() -> None:
    app = gateway(
        SlowUpstream([message_reply()], wait=0.12), streaming={"keep_alive_interval": "50ms", "mode": "single"}
    )
    response = await call(app, stream=True)
    assert response.body.startswith(PING)
    assert response.headers["x-modelmux-stream-mode"] == "single"
    assert response.events()[-1] == "[DONE]"


@pytest.mark.parametrize("fields", [{}, {"stream": True}], ids=["unary", "json for a stream"])
async def test_an_answer_that_is_json_gets_no_comments(fields: dict[str, Any]) -> None:
    rule = [{"user_agent": "batch", "mode": "json"}]
    app = gateway(
        SlowUpstream([message_reply()], wait=0.12), streaming={"keep_alive_interval": "30ms", "clients": rule}
    )
    response = await call(app, {"user-agent": "batch/1"}, **fields)
    assert response.json()["choices"][0]["message"]["content"] == "Hello!"


async def test_comments_can_be_switched_off_and_end_with_the_stream() -> None:
    app = gateway(slow(0.1, *HELLO), streaming={"keep_alive_interval": 0})
    assert (await call(app, stream=True)).body.startswith(b"data:")
    before = asyncio.all_tasks()
    app = gateway(slow(0.1, *HELLO), streaming={"keep_alive_interval": "20ms"})
    await call(app, stream=True)
    assert asyncio.all_tasks() == before


async def test_a_client_that_leaves_while_it_hears_comments_leaves_nothing_behind() -> None:
    upstream, disconnected = slow(60.0, *HELLO), asyncio.Event()
    app = gateway(upstream, streaming={"keep_alive_interval": "20ms"})
    before = asyncio.all_tasks()
    running = asyncio.create_task(request(app, "POST", PATH, ask(stream=True), disconnect=disconnected))
    await asyncio.sleep(0.1)
    disconnected.set()
    response = await asyncio.wait_for(running, 100)
    assert response.body.startswith(PING)
    assert asyncio.all_tasks() == before
    assert upstream.replies[0].closed
    assert value(app, "modelmux_deployment_in_flight", deployment="claude-sonnet-4-6@global") == 0
    assert value(app, "modelmux_requests_total", route="claude-sonnet-4-6", outcome="client_gone") == 1


# --- load -------------------------------------------------------------------------------------------------------------


async def test_more_than_may_run_wait_and_are_served_in_turn() -> None:
    upstream = SlowUpstream([message_reply() for _ in range(6)], wait=0.02)
    app = gateway(upstream, limits={"max_concurrent_requests": 2})
    responses = await asyncio.gather(*(call(app) for _ in range(6)))
    assert [response.status for response in responses] == [200] * 6
    assert upstream.most == 2


async def test_a_full_queue_is_a_503_with_retry_after(monkeypatch: pytest.MonkeyPatch) -> None:
    use_runtime(monkeypatch, jitter=lambda: 0.0)
    upstream = SlowUpstream([message_reply() for _ in range(3)], wait=0.3)
    app = gateway(upstream, limits={"max_concurrent_requests": 1, "max_queued_requests": 1, "queue_timeout": "50ms"})
    first = asyncio.create_task(call(app))
    await asyncio.sleep(0.01)
    second, third = asyncio.create_task(call(app)), asyncio.create_task(call(app))
    began = loop_time()
    assert (await third).status == 503, "the queue is full: at once"
    assert loop_time() == began
    assert value(app, "modelmux_requests_queued") == 1
    refused = await second
    assert (refused.status, refused.headers["retry-after"]) == (503, "2")
    assert (await first).status == 200
    assert (await call(app)).status == 200, "and its place is free again"
    assert len(upstream.calls) == 2


async def test_a_client_that_leaves_the_queue_leaves_it_at_once() -> None:
    upstream = SlowUpstream([message_reply() for _ in range(2)], wait=0.2)
    app = gateway(upstream, limits={"max_concurrent_requests": 1})
    first = asyncio.create_task(call(app))
    await asyncio.sleep(0.01)
    disconnected = asyncio.Event()
    second = asyncio.create_task(request(app, "POST", PATH, ask(), disconnect=disconnected))
    await asyncio.sleep(0.01)
    disconnected.set()
    left_at = loop_time()
    await second
    assert loop_time() == left_at
    assert value(app, "modelmux_requests_queued") == 0
    assert (await first).status == 200
    assert len(upstream.calls) == 1


async def test_a_full_deployment_sends_its_overflow_to_the_next() -> None:
    deployments = [{"location": "eu", "max_in_flight": 2}, {"location": "us", "order": 1}]
    models = [{"name": "m", "model": "claude-sonnet-4-6", "deployments": deployments}]
    upstream = SlowUpstream([message_reply() for _ in range(5)], wait=0.05)
    app = gateway(upstream, vertex={"models": models})
    body = {**ask(), "model": "m"}
    responses = await asyncio.gather(*(request(app, "POST", PATH, body) for _ in range(5)))
    went = sorted(response.headers["x-modelmux-deployment"] for response in responses)
    assert went == ["m@eu"] * 2 + ["m@us"] * 3


async def test_the_only_deployment_is_waited_for_streams_included() -> None:
    models = [{"name": "m", "model": "claude-sonnet-4-6", "max_in_flight": 1}]
    upstream = FakeUpstream([SlowReply(*HELLO[:4], 0.05, *HELLO[4:]) for _ in range(3)])
    app = gateway(upstream, vertex={"models": models})
    began = loop_time()
    body = {**ask(stream=True), "model": "m"}
    responses = await asyncio.gather(*(request(app, "POST", PATH, body) for _ in range(3)))
    assert all(response.events()[-1] == "[DONE]" for response in responses)
    assert loop_time() - began == pytest.approx(0.15), "one after the other"
    assert value(app, "modelmux_deployment_in_flight", deployment="m@global") == 0


async def test_workers_share_the_limits() -> None:
    models = [{"name": "m", "model": "claude-sonnet-4-6", "max_in_flight": 3}]
    upstream = SlowUpstream([message_reply() for _ in range(6)], wait=0.02)
    app = gateway(upstream, vertex={"models": models}, server={"workers": 2})
    await asyncio.gather(*(request(app, "POST", PATH, {**ask(), "model": "m"}) for _ in range(6)))
    assert upstream.most == 2
