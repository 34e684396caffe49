"""Every fault does on the wire what its name says, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelmux.emulator import EmulatorSettings, RunningEmulator
from support.emulator_calls import body_of, tool
from support.emulator_server import AT_ONCE, running, until
from support.emulator_wire import Wire, post

COMPLETE = [
    "message_start",
    "ping",
    "content_block_start",
    *["content_block_delta"] * 5,
    "content_block_stop",
    "message_delta",
    "message_stop",
]


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    async with running(AT_ONCE) as emulator:
        yield emulator


async def stream(emulator: RunningEmulator, directive: str, words: str = "count to 9", **fields: Any) -> Wire:
    return await post(emulator.port, body_of(f"{words} [[emulator: {directive}]]", stream=True, **fields))


async def unary(emulator: RunningEmulator, directive: str, **fields: Any) -> Wire:
    return await post(emulator.port, body_of(f"count to 9 [[emulator: {directive}]]", **fields))


def outcome(emulator: RunningEmulator) -> str:
    return str(emulator.app.requests()[-1]["outcome"])


async def test_without_a_fault_a_stream_is_complete(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "times=0 status=500")
    assert wire.end == "complete"
    assert wire.kinds == COMPLETE
    assert outcome(emulator) == "complete"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 422, 429, 499, 500, 502, 503, 504, 529])
async def test_a_status_comes_in_anthropics_shape(emulator: RunningEmulator, status: int) -> None:
    wire = await unary(emulator, f"status={status} message='try later' retry_after=7")
    assert wire.status == status
    message = json.loads(wire.body)
    assert message["type"] == "error"
    assert message["error"]["message"] == "try later"
    assert wire.headers["retry-after"] == "7"


async def test_the_error_type_can_be_set(emulator: RunningEmulator) -> None:
    wire = await unary(emulator, "status=400 type=custom_error")
    assert json.loads(wire.body)["error"]["type"] == "custom_error"


async def test_google_errors_are_objects_on_unary_and_arrays_on_streaming_calls(emulator: RunningEmulator) -> None:
    one = json.loads((await unary(emulator, "status=429 shape=google")).body)
    assert one["error"]["code"] == 429
    assert one["error"]["status"] == "RESOURCE_EXHAUSTED"
    many = json.loads((await stream(emulator, "status=429 shape=google")).body)
    assert isinstance(many, list)
    assert many[0]["error"]["status"] == "RESOURCE_EXHAUSTED"
    forced = json.loads((await unary(emulator, "status=403 shape=google_array")).body)
    assert forced[0]["error"]["status"] == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("directive", "kind", "body"),
    [
        ("html", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("html=503", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("status=500 shape=empty", "text/plain", b""),
        ("status=500 shape=text message=broken", "text/plain", b"broken"),
    ],
)
async def test_errors_that_are_not_json(emulator: RunningEmulator, directive: str, kind: str, body: bytes) -> None:
    wire = await unary(emulator, directive)
    assert wire.status in (500, 502, 503)
    assert wire.headers["content-type"] == kind
    assert wire.body.startswith(body)


async def test_times_limits_a_fault_to_the_first_requests(emulator: RunningEmulator) -> None:
    seen = [(await unary(emulator, "status=503 times=2")).status for _ in range(4)]
    assert seen == [503, 503, 200, 200]
    other = [(await unary(emulator, "status=503 times=2 key=b")).status for _ in range(3)]
    assert other == [503, 503, 200]
    emulator.app.reset()
    assert (await unary(emulator, "status=503 times=2")).status == 503


async def test_a_delay_comes_before_the_headers(emulator: RunningEmulator) -> None:
    wire = await unary(emulator, "delay=150ms")
    assert wire.status == 200
    assert wire.reads[0][0] >= 0.15


async def test_the_first_token_can_be_late(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "first_token_delay=500ms")
    assert b"content_block_start" not in wire.reads[0][1]
    assert wire.seconds >= 0.5
    assert wire.kinds == COMPLETE


async def test_a_reset_before_anything(emulator: RunningEmulator) -> None:
    for send in (unary, stream):
        wire = await send(emulator, "reset")
        assert (wire.end, wire.status) == ("reset", 0)
        assert outcome(emulator) == "reset"


async def test_a_close_before_anything(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "close")
    assert (wire.end, wire.status) == ("eof", 0)


async def test_a_reset_in_the_stream(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "reset_after_event=3")
    assert wire.end == "reset"
    assert wire.kinds == COMPLETE[:4]
    assert outcome(emulator) == "reset_after_event"


async def test_a_close_in_the_stream_leaves_the_chunks_unfinished(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "close_after_event=5")
    assert wire.end == "eof"
    assert wire.kinds == COMPLETE[:6]


@pytest.mark.parametrize("number", range(11))
async def test_a_truncation_ends_http_cleanly_at_any_event(emulator: RunningEmulator, number: int) -> None:
    wire = await stream(emulator, f"truncate_after_event={number}")
    assert wire.status == 200
    assert wire.end == "complete"
    assert [kind for kind in wire.kinds if kind != "ping"] == [kind for kind in COMPLETE if kind != "ping"][:number]


async def test_a_truncation_at_any_byte(emulator: RunningEmulator) -> None:
    complete = (await stream(emulator, "chunk=4000")).body
    for position in (0, 1, 100, len(complete) // 2, len(complete) - 1):
        wire = await stream(emulator, f"truncate_after_byte={position}")
        assert wire.end == "complete"
        assert len(wire.body) == position


async def test_an_error_event_ends_the_stream(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "error_after_event=3")
    assert wire.end == "complete"
    name, message = wire.events[-1]
    assert name == "error"
    assert message["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert message["request_id"].startswith("req_vrtx_")
    assert wire.kinds[:-1] == COMPLETE[:4]


async def test_an_error_event_may_be_the_first_and_of_any_type(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "error_after_event=0 type=api_error message='no luck'")
    assert wire.kinds == ["error"]
    assert wire.events[0][1]["error"] == {"type": "api_error", "message": "no luck"}


async def test_a_stall_is_silent_and_then_the_stream_continues(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "stall_after_event=4 stall=300ms")
    gaps = [b[0] - a[0] for a, b in zip(wire.reads, wire.reads[1:], strict=False)]
    assert max(gaps) >= 0.28
    assert wire.kinds == COMPLETE


async def test_chunks_of_one_byte_give_the_same_stream(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "chunk=1")
    assert wire.kinds == COMPLETE
    plain = await stream(emulator, "chunk=100000")
    assert len(wire.body) == len(plain.body)


async def test_a_drip_is_slow(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "drip=10ms chunk=40")
    assert wire.kinds == COMPLETE
    assert wire.seconds > 0.2


async def test_extra_pings_and_unknown_things_are_added(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "pings=5 unknown_event unknown_block")
    assert wire.kinds[1:7] == ["ping"] * 6
    assert wire.kinds[7] == "flux_level"
    starts = [e["content_block"]["type"] for name, e in wire.events if name == "content_block_start"]
    assert starts == ["hologram", "text"]
    assert wire.kinds[-1] == "message_stop"


async def test_garbage_is_an_event_that_is_not_json(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "garbage")
    with pytest.raises(json.JSONDecodeError):
        _ = wire.events
    assert json_fails((await unary(emulator, "garbage")).body)


def json_fails(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return True
    return False


async def test_lines_may_end_in_crlf(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "crlf")
    assert b"\r\n\r\n" in wire.body
    assert b"\n" not in wire.body.replace(b"\r\n", b"")
    assert wire.kinds == COMPLETE


async def test_a_stop_reason_can_be_chosen(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "stop_reason=something_new")
    assert wire.events[-2][1]["delta"]["stop_reason"] == "something_new"
    refused = await stream(emulator, "stop_reason=refusal category=bio explanation='No.'")
    delta = refused.events[-2][1]["delta"]
    assert delta["stop_details"] == {"type": "refusal", "category": "bio", "explanation": "No."}
    assert "content_block_start" not in refused.kinds


async def test_an_empty_answer_has_no_blocks(emulator: RunningEmulator) -> None:
    assert (await stream(emulator, "empty")).kinds == ["message_start", "ping", "message_delta", "message_stop"]


async def test_tool_arguments_can_be_broken(emulator: RunningEmulator) -> None:
    wire = await stream(emulator, "bad_json", "weather in Paris", tools=[tool()])
    pieces = [
        e["delta"]["partial_json"]
        for n, e in wire.events
        if n == "content_block_delta" and "partial_json" in e["delta"]
    ]
    assert json_fails("".join(pieces).encode())
    assert wire.events[-2][1]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("directive", "end"),
    [
        ("content_length_mismatch", "eof"),
        ("close_after_event=1", "eof"),
        ("truncate_after_event=1", "eof"),
        ("truncate_after_byte=10", "eof"),
        ("reset_after_event=1", "reset"),
    ],
)
async def test_a_unary_reply_can_be_cut_short(emulator: RunningEmulator, directive: str, end: str) -> None:
    wire = await unary(emulator, directive)
    assert wire.status == 200
    assert wire.end == end
    assert len(wire.body) < int(wire.headers["content-length"])
    assert outcome(emulator) == "cut_short"


async def test_a_stall_and_an_error_on_unary_calls(emulator: RunningEmulator) -> None:
    wire = await unary(emulator, "stall_after_event=1 stall=200ms")
    assert wire.status == 200
    assert wire.seconds >= 0.2
    wire = await unary(emulator, "error_after_event=2 type=overloaded_error")
    assert wire.status == 529


async def test_a_unary_reply_can_drip(emulator: RunningEmulator) -> None:
    wire = await unary(emulator, "drip=5ms chunk=20")
    assert wire.end == "complete"
    assert wire.seconds > 0.05
    assert json.loads(wire.body)["stop_reason"] == "end_turn"


async def test_an_invalid_directive_is_reported_with_a_remedy(emulator: RunningEmulator) -> None:
    for directive, words in {
        "explode": "unknown word 'explode'",
        "delay=soon": "'soon' is not a duration",
        "status": "'status' needs a value",
        "status=often": "cannot be read",
        "message='open": "cannot be read",
    }.items():
        wire = await unary(emulator, directive)
        assert wire.status == 400
        assert words in json.loads(wire.body)["error"]["message"]


async def test_only_the_last_user_text_is_read(emulator: RunningEmulator) -> None:
    messages = [
        {"role": "user", "content": "one [[emulator: status=500]]"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    assert (await post(emulator.port, body_of(messages=messages))).status == 200
    assert (await post(emulator.port, body_of(system="[[emulator: status=500]]"))).status == 200


async def test_a_client_that_disconnects_is_noticed_in_every_wait(emulator: RunningEmulator) -> None:
    waits = ["delay=60", "first_token_delay=60", "stall_after_event=3 stall=60", "drip=1s", "tokens_per_second=0.1"]
    for wait in waits:
        sent = asyncio.create_task(stream(emulator, wait))
        await until(lambda: bool(emulator.app.requests()) and emulator.app.requests()[-1]["fault"] == wait)  # noqa: B023
        await asyncio.sleep(0.03)
        sent.cancel()
        await asyncio.gather(sent, return_exceptions=True)
        await until(lambda: outcome(emulator) == "client_gone")


async def test_a_slow_stream_is_paced_and_has_pings() -> None:
    settings = EmulatorSettings(tokens_per_second=100, first_token_delay=0.25, ping_interval=0.1)
    async with running(settings) as emulator:
        wire = await post(emulator.port, body_of("count to 9", stream=True))
        assert wire.kinds.count("ping") >= 3
        assert [kind for kind in wire.kinds if kind != "ping"] == [kind for kind in COMPLETE if kind != "ping"]
        assert wire.seconds >= 0.25
        assert len(wire.reads) >= 6
        one = await post(emulator.port, body_of("count to 9"))
        assert one.seconds >= 0.25


async def test_hidden_thinking_takes_its_time_in_silence_but_for_pings() -> None:
    settings = EmulatorSettings(tokens_per_second=100, first_token_delay=0, ping_interval=0.1)
    async with running(settings) as emulator:
        body = body_of("Hello", stream=True, output_config={"effort": "max"})
        wire = await post(emulator.port, body, model="claude-opus-5")
        before = wire.kinds[: wire.kinds.index("content_block_delta")]
        assert before.count("ping") >= 4
        assert wire.events[len(before)][1]["delta"]["type"] == "signature_delta"
