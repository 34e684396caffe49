"""Risk: a second attempt after content, or a stream that looks complete without message_stop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelmux.errors import UpstreamBroken, UpstreamTimeout
from support.asgi import request
from support.fakes import FakeUpstream, event, stream_reply, text_events
from support.gateway import PATH, ask, gateway

START, PING, OPEN, DELTA, CLOSE, END, STOP = text_events("Hello")


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ([START, OPEN, DELTA], "upstream_broken"),
        ([START, OPEN, DELTA, CLOSE, END], "upstream_broken"),
        ([START, OPEN, DELTA + b'event: content_block_delta\ndata: {"type":"content_bl'], "upstream_broken"),
        ([START, OPEN, DELTA, UpstreamBroken("reset", reply_started=True)], "upstream_broken"),
        ([START, OPEN, DELTA, UpstreamTimeout("idle", clock="idle")], "upstream_timeout"),
        (
            [START, OPEN, DELTA, event("error", error={"type": "overloaded_error", "message": "Overloaded"})],
            "overloaded",
        ),
        ([START, OPEN, DELTA, b"data: nonsense\n\n"], "upstream_broken"),
    ],
    ids=["cut", "cut before message_stop", "cut in an event", "reset", "silence", "error event", "garbage"],
)
async def test_a_break_after_content_is_an_error_in_band(pieces: list[Any], code: str) -> None:
    upstream = FakeUpstream([stream_reply(*pieces)])
    app = gateway(upstream)
    response = await request(app, "POST", PATH, ask(stream=True))
    *chunks, last = response.events()
    assert response.status == 200
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "Hello"
    assert set(last) == {"error"}
    assert last["error"]["code"] == code
    assert b"[DONE]" not in response.body
    assert response.complete
    assert len(upstream.calls) == 1
    assert upstream.replies[0].closed == 1
    assert app.metrics.failed == 1
    assert app.metrics.succeeded == 0


async def test_usage_of_a_broken_stream_is_counted() -> None:
    app = gateway(FakeUpstream([stream_reply(START, OPEN, DELTA)]))
    await request(app, "POST", PATH, ask(stream=True))
    assert app.metrics.registry.get_sample_value(
        "modelmux_tokens_total", {"route": "claude-sonnet-4-6", "type": "input"}
    ) == 7  # fmt: skip


async def test_an_unknown_event_or_block_breaks_nothing() -> None:
    unknown = [
        event("quantum_leap", delta="not an object", index="one"),
        event("content_block_start", index=5, content_block={"type": "hologram", "shape": [1]}),
        event("content_block_delta", index=5, delta={"type": "hologram_delta", "voxels": 7}),
        event("content_block_stop", index=5),
    ]
    upstream = FakeUpstream([stream_reply(START, *unknown, OPEN, DELTA, *unknown, CLOSE, END, STOP)])
    response = await request(gateway(upstream), "POST", PATH, ask(stream=True))
    assert response.events()[-1] == "[DONE]"
    assert response.body.count(b"Hello") == 1


async def test_a_ping_after_content_keeps_the_connection_alive_and_is_no_chunk() -> None:
    upstream = FakeUpstream([stream_reply(START, PING, OPEN, DELTA, PING, CLOSE, END, STOP)])
    response = await request(gateway(upstream), "POST", PATH, ask(stream=True))
    assert response.body.count(b": ping\n\n") == 1
    assert len(response.events()) == 4


async def test_what_arrives_after_message_stop_is_not_sent() -> None:
    upstream = FakeUpstream([stream_reply(START, OPEN, DELTA, CLOSE, END, STOP + DELTA, DELTA)])
    response = await request(gateway(upstream), "POST", PATH, ask(stream=True))
    assert response.body.count(b"Hello") == 1
    assert response.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.virtual_time
async def test_a_client_that_leaves_closes_the_upstream_and_is_settled_once() -> None:
    hanging = asyncio.Event()

    class Hanging:
        status = 200
        headers = ((b"content-type", b"text/event-stream"),)
        closed = 0

        def __aiter__(self) -> Any:
            return self._iterate()

        async def _iterate(self) -> Any:
            yield START + OPEN + DELTA
            hanging.set()
            await asyncio.sleep(3600)

        async def aclose(self) -> None:
            self.closed += 1

    reply = Hanging()
    upstream = FakeUpstream([lambda call: reply])  # type: ignore[arg-type, return-value]
    app, leave = gateway(upstream), asyncio.Event()
    task = asyncio.create_task(request(app, "POST", PATH, ask(stream=True), disconnect=leave))
    await hanging.wait()
    leave.set()
    await asyncio.wait_for(task, 100)
    assert reply.closed >= 1
    assert (app.metrics.succeeded, app.metrics.failed) == (0, 0)
    sample = app.metrics.registry.get_sample_value
    assert sample("modelmux_requests_total", {"route": "claude-sonnet-4-6", "outcome": "client_gone"}) == 1
    assert sample("modelmux_requests_in_flight") == 0
    assert not [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
