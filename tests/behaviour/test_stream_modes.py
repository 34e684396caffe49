"""Risk: a stream mode breaks the grammar of a stream, or buffered text is late or lost."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.claude.text_buffer import TextBuffer
from modelmux.config import ConfigError
from modelmux.errors import UpstreamBroken
from modelmux.gateway.committed_stream import open_stream
from modelmux.gateway.event_source import BufferedEventSource
from modelmux.providers.vertex_claude.reader import ClaudeReplyReader
from support.asgi import Response, request
from support.fakes import FakeReply, FakeUpstream, error_reply, event, message_reply, stream_reply, text_events
from support.gateway import MODEL, PATH, ask, gateway
from support.pauses import SILENCE, PausingReply, Watched
from support.streams import FakeLease, chat_encoder, record

pytestmark = pytest.mark.virtual_time

BROWSER = {"user-agent": "Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36"}
SDK = {"user-agent": "OpenAI/Python 3.54.0", "accept": "application/json"}
WORDS = ["Hel", "lo. ", "How ", "are ", "you"]
START, PING, OPEN, *DELTAS, CLOSE, END, STOP = text_events(*WORDS)
#: Longer than that, and the upstream is asked for a stream even if the client is not to get one.
LONG = {"max_tokens": 20_000}
MODEL_ELSEWHERE = {"models": [{"name": MODEL, "model": MODEL, "locations": ["global", "eu"]}]}
MODES = ["standard", "always", "buffered", "single", "never", "non-streaming"]


def answer(*words: str) -> FakeReply:
    return stream_reply(*text_events(*(words or WORDS)))


def app_in(mode: str, *script: Any, milliseconds: int = 5000, **settings: Any) -> Gateway:
    streaming = {"mode": mode, "buffer_timeout": milliseconds / 1000, **settings.pop("streaming", {})}
    return gateway(FakeUpstream(script), streaming=streaming, **settings)


async def stream(app: Any, headers: dict[str, str] | None = None, **fields: Any) -> Response:
    return await request(app, "POST", PATH, ask(stream=True, **fields), headers)


def contents(response: Response) -> list[str]:
    """The contents of a complete stream, whose grammar is checked, too."""
    *chunks, done = response.events()
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert done == "[DONE]"
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
    reasons = [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]]
    assert reasons[:-1] == [None] * (len(reasons) - 1)
    assert reasons[-1] is not None
    return [c["choices"][0]["delta"]["content"] for c in chunks[1:] if c["choices"] and c["choices"][0]["delta"]]


PIECES = {
    "standard": WORDS,
    "always": WORDS,
    "buffered": ["Hello. ", "How are you"],
    "single": ["Hello. How are you"],
    "never": ["Hello. How are you"],
    "non-streaming": ["Hello. How are you"],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("usage", [False, True])
async def test_every_mode_gives_a_valid_stream_of_its_own_pieces(mode: str, usage: bool) -> None:
    fields = {"stream_options": {"include_usage": True}} if usage else {}
    response = await stream(app_in(mode, answer()), **LONG, **fields)
    assert response.status == 200
    assert contents(response) == PIECES[mode]
    usages = [c["usage"]["completion_tokens"] for c in response.events()[:-1] if c.get("usage")]
    assert usages == [3] * usage


@pytest.mark.parametrize(
    ("mode", "named"),
    [
        ("standard", None),
        ("always", None),
        ("buffered", "buffered"),
        ("single", "single"),
        ("never", "single"),
        ("non-streaming", "single"),
    ],
)
async def test_a_header_names_the_mode_that_was_used(mode: str, named: str | None) -> None:
    app = app_in(mode, answer(), message_reply())
    assert (await stream(app, **LONG)).headers.get("x-modelmux-stream-mode") == named
    unary = await request(app, "POST", PATH, ask())
    assert "x-modelmux-stream-mode" not in unary.headers


@pytest.mark.parametrize("mode", MODES)
async def test_requests_without_stream_are_as_ever(mode: str) -> None:
    response = await request(app_in(mode, message_reply("Hi")), "POST", PATH, ask(), BROWSER)
    assert response.headers["content-type"] == "application/json"
    assert response.json()["choices"][0]["message"]["content"] == "Hi"


@pytest.mark.parametrize(
    ("headers", "pieces"),
    [
        (SDK, WORDS),
        ({"user-agent": "curl/8.5.0", "accept": "*/*"}, WORDS),
        (BROWSER, ["Hello. ", "How are you"]),
        ({"user-agent": "RustRover/2026.1"}, ["Hello. ", "How are you"]),
        ({"openai-project": "goose-gui"}, ["Hello. How are you"]),
        ({"openai-organization": "BASEBOX"}, ["Hello. How are you"]),
        ({"user-agent": "größe"}, WORDS),
    ],
)
async def test_auto_depends_on_the_client(headers: dict[str, str], pieces: list[str]) -> None:
    app = gateway(FakeUpstream([answer()]))
    assert contents(await stream(app, headers, **LONG)) == pieces


async def test_a_profile_may_turn_the_stream_into_one_json_object() -> None:
    rows = [{"user_agent": "old-tool", "mode": "json"}, {"user_agent": "chrome", "mode": "standard"}]
    app = app_in("auto", message_reply("Hi"), answer(), streaming={"clients": rows})
    response = await stream(app, {"user-agent": "Old-Tool/0.1"})
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-modelmux-stream-mode"] == "json"
    assert response.json()["object"] == "chat.completion"
    assert response.json()["choices"][0]["message"]["content"] == "Hi"
    assert contents(await stream(app, BROWSER)) == WORDS


async def test_a_short_single_response_is_unary_upstream() -> None:
    upstream = FakeUpstream([message_reply("Hi. You.")])
    response = await stream(gateway(upstream, streaming={"mode": "single"}))
    assert contents(response) == ["Hi. You."]
    assert "stream" not in upstream.body()


TOOLS = [
    START,
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Let me"}),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": " look"}),
    event("content_block_stop", index=0),
    event("content_block_start", index=1, content_block={"type": "tool_use", "id": "t1", "name": "f", "input": {}}),
    event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"a":'}),
    event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": "1}"}),
    event("content_block_stop", index=1),
    event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 3}),
    STOP,
]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    ("mode", "arguments"),
    [("standard", ["", '{"a":', "1}"]), ("buffered", ["", '{"a":', "1}"]), ("single", ["", '{"a":1}'])],
)
async def test_tool_calls_come_behind_the_text_before_them(mode: str, arguments: list[str]) -> None:
    response = await stream(app_in(mode, stream_reply(*TOOLS)), tools=[TOOL], **LONG)
    chunks = response.events()[1:-1]
    kinds = [next(iter(c["choices"][0]["delta"]), "finish") for c in chunks]
    text = 2 if mode == "standard" else 1
    assert kinds == ["content"] * text + ["tool_calls"] * len(arguments) + ["finish"]
    calls = [c["choices"][0]["delta"]["tool_calls"][0] for c in chunks if "tool_calls" in c["choices"][0]["delta"]]
    assert [c["function"]["arguments"] for c in calls] == arguments
    assert calls[0]["id"] == "t1"
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "Let me look"


async def test_silence_in_the_middle_of_a_sentence_holds_nothing_back() -> None:
    reply = PausingReply(START, OPEN, *DELTAS[:3], 0.6, *DELTAS[3:], CLOSE, END, STOP)
    app = Watched(app_in("buffered", lambda _: reply, milliseconds=150))
    response = await stream(app)
    assert contents(response) == ["Hello. ", "How ", "are you"]
    assert app.when(b"Hello. ") < 0.1
    assert 0.14 < app.when(b"How ") < 0.4
    assert app.when(b"are you") > 0.55
    assert reply.closed


async def test_steady_text_without_a_sentence_end_is_flushed_in_time() -> None:
    words = [piece for delta in text_events(*["la "] * 40)[3:-3] for piece in (delta, 0.01)]
    app = Watched(app_in("buffered", lambda _: PausingReply(START, OPEN, *words, CLOSE, END, STOP), milliseconds=100))
    response = await stream(app)
    pieces = contents(response)
    assert "".join(pieces) == "la " * 40
    assert 3 <= len(pieces) <= 12
    times = [time for time, part in app.parts if b"la " in part]
    assert all(later - earlier < 0.2 for earlier, later in pairwise(times))


async def test_a_long_silence_costs_one_wait_and_nothing_is_sent_twice() -> None:
    pauses: list[bytes | float] = [DELTAS[0], 0.08, DELTAS[1], 0.08, DELTAS[2], 0.08, DELTAS[3], 0.08, DELTAS[4]]
    app = app_in("buffered", lambda _: PausingReply(START, OPEN, *pauses, CLOSE, END, STOP), milliseconds=30)
    assert "".join(contents(await stream(app))) == "".join(WORDS)


async def test_keep_alives_pass_while_text_is_held() -> None:
    reply = PausingReply(START, OPEN, DELTAS[0], 0.02, PING, 0.3, *DELTAS[1:], CLOSE, END, STOP)
    app = Watched(app_in("buffered", lambda _: reply, milliseconds=150))
    assert contents(await stream(app)) == ["Hel", "lo. ", "How are you"]
    assert app.when(b": ping") < 0.1 < app.when(b'"Hel"')


BREAKS = {
    "cut": ([], "upstream_broken"),
    "reset": ([UpstreamBroken("reset", reply_started=True)], "upstream_broken"),
    "error event": ([event("error", error={"type": "overloaded_error", "message": "Overloaded"})], "overloaded"),
    "garbage": ([b"data: nonsense\n\n"], "upstream_broken"),
    "reset after a pause": ([0.2, UpstreamBroken("reset", reply_started=True)], "upstream_broken"),
}


@pytest.mark.parametrize(("pieces", "code"), BREAKS.values(), ids=BREAKS)
@pytest.mark.parametrize("together", [False, True])
async def test_buffered_text_is_sent_before_the_error_that_ends_the_stream(
    pieces: list[Any], code: str, together: bool
) -> None:
    content = [b"".join([START, OPEN, DELTAS[0], DELTAS[1], DELTAS[2]])] if together else [START, OPEN, *DELTAS[:3]]
    reply = PausingReply(*content, *pieces)
    app = app_in("buffered", lambda _: reply, milliseconds=100)
    response = await stream(app)
    *chunks, last = response.events()
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "Hello. How "
    assert last["error"]["code"] == code
    assert b"[DONE]" not in response.body
    assert reply.closed == 1
    assert app.metrics.failed == 1


async def test_buffered_text_does_not_wait_for_a_continuation() -> None:
    paused = [START, OPEN, DELTAS[0], CLOSE, event("message_delta", delta={"stop_reason": "pause_turn"}), STOP]
    second = PausingReply(0.3, START, OPEN, DELTAS[1], CLOSE, END, STOP)
    app = Watched(app_in("buffered", stream_reply(*paused), lambda _: second))
    assert contents(await stream(app, web_search_options={})) == ["Hel", "lo. "]
    assert app.when(b'"Hel"') < 0.2 < app.when(b'"lo. "')


@pytest.mark.parametrize("mode", ["buffered", "single"])
async def test_an_upstream_error_before_content_is_a_status(mode: str) -> None:
    refused = error_reply(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}})
    response = await stream(app_in(mode, refused), **LONG)
    assert response.status == 400
    assert response.json()["error"]["message"].startswith("no")


async def test_a_single_response_that_breaks_in_the_middle_is_retried() -> None:
    """The client has seen nothing yet: it never sees an error that another attempt cures."""
    broken = stream_reply(START, OPEN, *DELTAS[:2], UpstreamBroken("reset", reply_started=True))
    app = app_in("single", broken, answer(), vertex=MODEL_ELSEWHERE)
    response = await stream(app, **LONG)
    assert contents(response) == ["Hello. How are you"]
    assert response.headers["x-modelmux-attempts"] == "2"


async def test_a_single_response_that_fails_is_a_status() -> None:
    app = app_in("single", stream_reply(START, OPEN, *DELTAS[:2]), retries={"max": 0})
    response = await stream(app, **LONG)
    assert response.status == 502
    assert response.json()["error"]["code"] == "upstream_broken"


@pytest.mark.parametrize("mode", ["buffered", "single"])
@pytest.mark.parametrize("flushed", [False, True])
async def test_a_client_that_leaves_in_the_middle_of_a_sentence_takes_the_upstream_with_it(
    mode: str, flushed: bool
) -> None:
    reply = PausingReply(START, OPEN, *DELTAS[:3], SILENCE)
    app, leave = app_in(mode, lambda _: reply, milliseconds=20 if flushed else 60_000), asyncio.Event()
    body = ask(stream=True, **LONG)
    task = asyncio.create_task(request(app, "POST", PATH, body, disconnect=leave))
    await asyncio.wait_for(reply.silent.wait(), 100)
    await asyncio.sleep(0.05)
    leave.set()
    await asyncio.wait_for(task, 100)
    assert reply.left.is_set()
    assert reply.closed >= 1
    assert (app.metrics.succeeded, app.metrics.failed) == (0, 0)
    sample = app.metrics.registry.get_sample_value
    assert sample("modelmux_requests_total", {"route": MODEL, "outcome": "client_gone"}) == 1
    assert sample("modelmux_tokens_total", {"route": MODEL, "type": "input"}) == 7
    assert not [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]


async def test_shutdown_ends_the_read_too() -> None:
    reply = PausingReply(START, OPEN, *DELTAS[:3], SILENCE)
    task = asyncio.create_task(stream(app_in("buffered", lambda _: reply)))
    await asyncio.wait_for(reply.silent.wait(), 100)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 100)
    assert reply.left.is_set()
    assert not [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]


class Breaking(PausingReply):
    """Breaks when its read is cancelled, as connections may."""

    async def _iterate(self) -> AsyncIterator[bytes]:
        try:
            async for piece in super()._iterate():
                yield piece
        except asyncio.CancelledError:
            raise UpstreamBroken("closed", reply_started=True) from None


@pytest.mark.parametrize("broken", [False, True], ids=["breaks when cancelled", "broke before"])
async def test_an_upstream_that_breaks_when_the_client_has_left_is_nobodys_surprise(broken: bool) -> None:
    """The read continues while a client is slow; an error of it must not reach the event loop as unhandled."""
    surprises: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: surprises.append(context))
    end = [0.05, UpstreamBroken("reset", reply_started=True)] if broken else [SILENCE]
    reply = Breaking(START, OPEN, *DELTAS[:3], *end)
    source = BufferedEventSource(reply, ClaudeReplyReader(), TextBuffer(1000, 0.01), asyncio.get_running_loop().time)
    opened = await open_stream(chat_encoder(), source, reply, FakeLease(), record())  # type: ignore[arg-type]
    while b"How" not in await opened.read():
        pass
    await (reply.left if broken else reply.silent).wait()
    await opened.aclose()
    assert reply.closed == 1
    assert reply.left.is_set()
    del opened, source
    gc.collect()
    assert surprises == []


async def test_no_more_is_held_than_the_operator_allows() -> None:
    app = app_in("buffered", answer("aaa", "bbb", "ccc", "d"), streaming={"buffer_size": 6})
    assert contents(await stream(app)) == ["aaabbb", "cccd"]


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_upstream_that_never_ends_fills_no_memory(monkeypatch: pytest.MonkeyPatch, streamed: bool) -> None:
    monkeypatch.setattr("modelmux.gateway.attempts.MAX_FOLDED_BYTES", 10_000)
    reply = stream_reply(START, OPEN, *DELTAS[:1] * 10_000)
    app = app_in("single", reply, retries={"max": 0})
    response = await request(app, "POST", PATH, ask(stream=streamed, **LONG))
    assert response.status == 502
    assert response.json()["error"]["code"] == "upstream_broken"
    assert reply.read_pieces < 200
    assert reply.closed == 1


async def test_a_unary_reply_is_streamed_in_one_piece() -> None:
    assert contents(await stream(app_in("buffered", message_reply("One. Two")))) == ["One. Two"]


async def test_a_row_that_cannot_match_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"streaming\.clients\[0\]"):
        app_in("auto", streaming={"clients": [{"contains": "x", "mode": "single"}]})
