"""Risk: a step of the data path is left out or runs out of order: an upstream is called for a request that was not
admitted, a gate is entered for a body that cannot be read, a reply has another form than the client asked for."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.claude.limits import LONG_REPLY_TOKENS
from modelmux.errors import GatewayOverloaded, PayloadTooLarge
from support.dialects import TINY_HUB, TINY_NATIVE, named
from support.exchange_world import RecordingGate, World
from support.fakes import text_events
from support.playbook import (
    Playbook,
    anything,
    calls,
    closes,
    ends,
    fails,
    gets,
    head,
    not_settled,
    opens_gate,
    pause,
    replies,
    responds,
    sends,
    settled,
    starts,
)

pytestmark = pytest.mark.virtual_time
MESSAGE: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hello!"}],
    "stop_reason": "end_turn", "usage": {"input_tokens": 7, "output_tokens": 3},
}  # fmt: skip
ID = "0" * 32
BEGIN, END = named("begin", id=ID), named("end", stop="end_turn")


async def test_a_stream_from_its_request_to_its_end() -> None:
    start, ping, block, *texts, stop, delta, end = text_events("Hel", "lo")
    world = await (
        Playbook(TINY_HUB)
        << calls("a") >> head(request_id="req_up")
        >> sends(start) >> sends(ping, block) << not_settled()
        >> sends(texts[0]) << starts(x_request_id="req_1", x_modelmux_deployment="a", x_modelmux_attempts="1")
        << gets(BEGIN + named("text", text="Hel"))
        >> sends(texts[1]) << gets(named("text", text="lo"))
        >> sends(stop, delta) << not_settled()
        >> sends(end) << ends(END)
        >> pause(1) << settled("ok", stream=True, error=None, stop_reason=None, upstream_request_id="req_up")
    ).play()  # fmt: skip
    assert world.upstream.body()["stream"] is True
    assert world.client.keep_alive_interval == 15.0


async def test_a_reply_in_one_piece() -> None:
    world = await (
        Playbook(TINY_HUB, stream=False)
        << calls("a") >> replies(MESSAGE)
        << responds({"id": ID, "text": "Hello!", "stop": "end_turn"}, x_request_id="req_1", x_modelmux_deployment="a")
        << settled("ok", stream=False)
    ).play()  # fmt: skip
    assert "stream" not in world.upstream.body()
    assert world.client.keep_alive_interval is None, "there is no stream to keep alive"


async def test_a_long_reply_in_one_piece_is_streamed_from_the_upstream() -> None:
    world = await (
        Playbook(TINY_HUB, stream=False, request={"max_tokens": LONG_REPLY_TOKENS + 1})
        << calls("a") >> head() >> sends(*text_events("Hel", "lo")) >> closes()
        << responds({"id": ID, "text": "Hello", "stop": "end_turn"}) << settled("ok", stream=False)
    ).play()  # fmt: skip
    assert world.upstream.body()["stream"] is True


async def test_a_native_stream_passes_byte_for_byte() -> None:
    events = text_events("Hel", "lo")
    early, (text, *rest, end) = events[:3], events[3:]
    await (
        Playbook(TINY_NATIVE)
        << calls("a") >> head() >> sends(*early) << not_settled()
        >> sends(text) << starts(x_modelmux_deployment="a") << gets(b"".join([*early, text]))
        >> sends(*rest) << gets(b"".join(rest))
        >> sends(end) << ends(end) << settled("ok")
        >> pause(1)
    ).play()  # fmt: skip


@pytest.mark.parametrize("dialect", [TINY_HUB, TINY_NATIVE], ids=lambda dialect: dialect.name)
async def test_mode_json_answers_a_stream_with_json(dialect: Any) -> None:
    world = await (
        Playbook(dialect, mode="json") << calls("a") >> replies(MESSAGE) << _any_response << settled("ok", stream=True)
    ).play()
    assert "stream" not in world.upstream.body()


def _any_response(world: World) -> None:
    response: Any = world.effects.pop(0)
    assert b"Hello!" in response.body
    assert response.headers["x-modelmux-stream-mode"] == "json"


async def test_mode_single_sends_the_shortest_stream() -> None:
    await (
        Playbook(TINY_HUB, mode="single")
        << calls("a") >> replies(MESSAGE) << starts(x_modelmux_stream_mode="single")
        << ends(BEGIN + named("text", text="Hello!") + END) << settled("ok")
    ).play()  # fmt: skip
    world = await (
        Playbook(TINY_NATIVE, mode="single") << calls("a") >> replies(MESSAGE) << starts() << _any_end << settled("ok")
    ).play()
    assert "stream" not in world.upstream.body()


def _any_end(world: World) -> None:
    data = world.effects.pop(0).data  # type: ignore[union-attr]
    assert [line for line in data.split(b"\n") if line.startswith(b"event: ")] == [
        b"event: message_start", b"event: content_block_start", b"event: content_block_stop", b"event: message_delta",
        b"event: message_stop",
    ]  # fmt: skip
    assert b"Hello!" in data


@pytest.mark.parametrize(
    ("setting", "kind", "route"),
    [
        ({"body": b"{"}, "bad_request", None),
        ({"body": PayloadTooLarge("too large")}, "payload_too_large", None),
        ({"request": {"model": "unknown"}}, "model_not_found", None),
    ],
)
async def test_a_request_that_cannot_be_served_enters_no_gate(
    setting: dict[str, Any], kind: str, route: str | None
) -> None:
    world = await (
        Playbook(TINY_HUB, **setting) << fails(kind) << settled("client_error", route=route, attempts=[])
    ).play()
    assert (world.gate.entered, world.observer.errors) == (0, [])


async def test_a_gate_that_rejects_is_not_left_and_no_upstream_is_called() -> None:
    gate = RecordingGate(GatewayOverloaded("full"))
    world = await (
        Playbook(TINY_HUB, gate=gate)
        << fails("gateway_overloaded") << settled("gateway_error", route="chat", attempts=[])
    ).play()  # fmt: skip
    assert (gate.entered, gate.left, world.limiter.running) == (0, 0, 0)


async def test_no_upstream_is_called_before_the_gate_opens() -> None:
    gate = RecordingGate(is_open=False)
    await (
        Playbook(TINY_HUB, gate=gate, stream=False)
        << not_settled() >> pause(60) << not_settled()
        >> opens_gate() << calls("a") >> replies(MESSAGE) << anything() << settled("ok")
    ).play()  # fmt: skip
    assert (gate.entered, gate.left) == (1, 1)


async def test_names_match_in_any_case() -> None:
    world = await (
        Playbook(TINY_HUB, stream=False, request={"model": "CHAT"})
        << calls("a") >> replies(MESSAGE) << anything() << settled("ok", route="chat")
    ).play()  # fmt: skip
    assert world.record.attempts[0].deployment == "a"
