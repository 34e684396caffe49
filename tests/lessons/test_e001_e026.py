"""What other gateways got wrong, one test a case, E1 to E26: streams, failures in them, and thinking."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from modelmux import Config
from modelmux.app import Gateway
from support.fakes import FakeReply, FakeTokens, FakeUpstream, error_reply, event, stream_reply, text_events
from support.gateway import gateway
from support.lessons import (
    BUDGET,
    NEW,
    SONNET,
    USER,
    Json,
    answer,
    ask,
    begin,
    call,
    closing,
    delta,
    end,
    opening,
    result,
    text,
    thought,
    together,
    told,
    tool,
    tool_use,
)

OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
NO_RETRIES = {"server": {"enable_retries": False}}
TWO_PLACES = {"vertex": {"models": [{"name": "m", "model": SONNET, "locations": ["global", "eu"]}]}}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_: float) -> None:
        return None

    monkeypatch.setattr("modelmux.app.asyncio.sleep", sleep)


def same(response: Any) -> list[Any]:
    """A stream's events without what differs between any two."""
    return [e if e == "[DONE]" else {k: v for k, v in e.items() if k not in ("id", "created")} for e in response]


async def test_e01_parallel_calls_are_counted_not_named_by_block() -> None:
    """Two tool calls after a text block: their indexes are 0 and 1, although they are blocks 1 and 2."""
    blocks = [text("I look."), tool_use("toolu_a"), tool_use("toolu_b", value={"city": "Rome"})]
    got = await ask(answer(*blocks, stop_reason="tool_use", stream=True), stream=True, tools=[tool()])
    parts = [part for given in got.deltas for part in given.get("tool_calls", ())]
    assert [part["index"] for part in parts] == [0, 0, 0, 1, 1, 1]
    assert [(part["id"], part["index"]) for part in parts if "id" in part] == [("toolu_a", 0), ("toolu_b", 1)]


@pytest.mark.parametrize("pieces", [[], [""], ["", ""]], ids=["none", "one empty", "two empty"])
async def test_e02_a_call_without_arguments_has_an_empty_object(pieces: list[str]) -> None:
    """A tool call whose arguments never arrive: the whole stream says ``{}`` exactly once, not nothing, not twice."""
    inputs = [delta(0, "input_json_delta", partial_json=piece) for piece in pieces]
    reply = stream_reply(opening(), begin(0, tool_use(value={})), *inputs, end(0), *closing("tool_use"))
    got = await ask(reply, stream=True, tools=[tool()])
    given = [p["function"]["arguments"] for d in got.deltas for p in d.get("tool_calls", ())]
    assert [arguments for arguments in given if arguments] == ["{}"]
    assert together(got.deltas)["tool_calls"][0]["function"]["arguments"] == "{}"


async def test_e03_input_of_a_server_tool_is_no_tool_call() -> None:
    """Argument pieces that belong to a tool run by the server show the client no call of its own."""
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    got = await ask(answer(search, text("Found."), stream=True), stream=True, web_search_options={})
    assert b"tool_calls" not in got.response.body
    assert (got.message["content"], got.finish) == ("Found.", "stop")


async def test_e04_characters_cut_by_the_network_stay_whole() -> None:
    """Characters of two to four bytes arrive one byte at a time: the text is the same."""
    said = "héllo — 漢字 🎉👩‍👩‍👧 ü"
    stream = event("content_block_delta", index=0, delta={"type": "text_delta", "text": said})
    raw = stream.replace(json.dumps(said).encode(), json.dumps(said, ensure_ascii=False).encode())
    assert "漢".encode() in raw
    first, *_ = text_events("x")
    whole = b"".join([first, begin(0, text("")), raw, end(0), *closing()])
    got = await ask(stream_reply(*(whole[i : i + 1] for i in range(len(whole)))), stream=True)
    assert got.message["content"] == said


async def test_e05_any_cut_and_any_framing_give_the_same_stream() -> None:
    """The upstream's bytes cut in two anywhere, with CR LF line ends, or with an event's data on several lines."""
    events = [opening(), *told(0, text("Grüße, 漢")), *told(1, tool_use(value={"a": "b"})), *closing("tool_use")]
    plain = b"".join(events)
    expected = same((await ask(stream_reply(plain), stream=True)).response.events())
    assert together([e["choices"][0]["delta"] for e in expected[:-1]])["content"] == "Grüße, 漢"
    crlf = plain.replace(b"\n", b"\r\n")
    several = plain.replace(b', "', b',\ndata: "')
    assert several.count(b"data:") > plain.count(b"data:")
    app = gateway(FakeUpstream([]))
    for framed in (plain, crlf, several):
        for cut in range(len(framed)):
            got = await ask(stream_reply(framed[:cut], framed[cut:]), app=app, stream=True)
            assert same(got.response.events()) == expected, (cut, framed[:cut][-40:])


async def test_e06_a_huge_event_in_small_pieces_costs_linear_time() -> None:
    """One event of a megabyte that arrives in kilobytes: no piece holds the loop for 5 ms, four times the size takes
    about four times as long. CPU time of this thread, the best of several runs."""

    async def run(size: int) -> tuple[float, float]:
        data = b"".join([opening(), begin(0, text("")), delta(0, "text_delta", text="x" * size), end(0), *closing()])
        longest = [0.0]

        class Slow(FakeReply):
            async def _iterate(self) -> Any:
                for start in range(0, len(data), 1024):
                    before = time.thread_time()
                    yield data[start : start + 1024]
                    longest[0] = max(longest[0], time.thread_time() - before)

        slow = Slow(200, stream_reply().headers, [])
        before = time.thread_time()
        got = await ask(slow, stream=True)
        total = time.thread_time() - before
        assert len(got.message["content"]) == size
        return total, longest[0]

    small = [await run(1 << 20) for _ in range(4)]
    large = [await run(1 << 22) for _ in range(2)]
    assert min(longest for _, longest in small) < 0.005
    assert min(total for total, _ in large) < 10 * min(total for total, _ in small)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("pieces", [[], [opening()], [opening(), begin(0, text(""))]], ids=["none", "start", "block"])
async def test_e07_an_early_end_is_an_error_status_not_an_empty_answer(pieces: list[bytes], stream: bool) -> None:
    """The upstream closes before it said anything: another attempt; failing that 502, which clients retry."""
    got = await ask(stream_reply(*pieces), settings=NO_RETRIES, stream=stream, max_tokens=20_000)
    assert (got.status, got.error["code"]) == (502, "upstream_broken")
    assert got.response.headers.get("x-should-retry") != "false"
    again = await ask(stream_reply(*pieces), stream_reply(*text_events("Hello")), stream=stream, max_tokens=20_000)
    assert (again.status, again.message["content"]) == (200, "Hello")


async def test_e08_an_end_in_the_middle_keeps_the_text_and_says_error() -> None:
    """The upstream closes in the middle of the text: what came stays, an error follows, no ``[DONE]``; it is billed."""
    usage = {"input_tokens": 70, "output_tokens": 1}
    reply = stream_reply(opening(usage), begin(0, text("")), delta(0, "text_delta", text="Once upon"))
    got = await ask(reply, stream=True)
    *chunks, last = got.response.events()
    assert together([c["choices"][0]["delta"] for c in chunks])["content"] == "Once upon"
    assert all(c["choices"][0]["finish_reason"] is None for c in chunks)
    assert last["error"]["code"] == "upstream_broken"
    assert b"[DONE]" not in got.response.body
    sample = got.app.metrics.registry.get_sample_value
    assert sample("modelmux_tokens_total", {"route": SONNET, "kind": "input"}) == 70


@pytest.mark.parametrize("settings", [{}, TWO_PLACES], ids=["same place", "other place"])
async def test_e09_overload_before_content_is_never_seen(settings: Json) -> None:
    """A 200 stream that only says "Overloaded": tried again, elsewhere if there is one; the client sees one stream."""
    model = "m" if settings else SONNET
    replies = [stream_reply(opening(), OVERLOADED), stream_reply(*text_events("fine"))]
    got = await ask(*replies, settings=dict(settings), model=model, stream=True)
    assert got.message["content"] == "fine"
    assert [given["role"] for given in got.deltas if "role" in given] == ["assistant"]
    assert b"error" not in got.response.body
    hosts = [made.origin.host for made in got.upstream.calls]
    second = "aiplatform.eu.rep.googleapis.com" if settings else "aiplatform.googleapis.com"
    assert hosts == ["aiplatform.googleapis.com", second]


async def test_e10_overload_after_content_is_one_readable_error() -> None:
    """The same after the first words: an error object with message and type, and no second attempt."""
    reply = stream_reply(opening(), begin(0, text("")), delta(0, "text_delta", text="Once"), OVERLOADED)
    got = await ask(reply, stream_reply(*text_events("again")), settings=TWO_PLACES, model="m", stream=True)
    last = got.response.events()[-1]
    assert last == {
        "error": {"message": "Overloaded", "type": "server_error", "param": None, "code": "overloaded"},
    }
    assert got.response.body.count(b'"error"') == 1
    assert len(got.upstream.calls) == 1


@pytest.mark.parametrize("begun", [False, True], ids=["before content", "after content"])
async def test_e11_a_quota_error_in_a_stream_ends_the_work(begun: bool) -> None:
    """429 inside a stream and nowhere else to go: one error, and nothing keeps running afterwards."""
    limited = event("error", error={"type": "rate_limit_error", "message": "Quota"})
    said = [begin(0, text("")), delta(0, "text_delta", text="Once")] if begun else []
    got = await ask(stream_reply(opening(), *said, limited), settings=NO_RETRIES, stream=True)
    error = got.response.events()[-1]["error"] if begun else got.error
    assert got.status == (200 if begun else 429)
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert got.response.body.count(b'"error"') == 1
    assert len(got.upstream.calls) == 1
    assert got.upstream.replies[0].closed
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert got.app.metrics.registry.get_sample_value("modelmux_requests_in_flight") == 0


@pytest.mark.parametrize("pieces", [[opening(), OVERLOADED], [OVERLOADED]])
async def test_e12_switched_off_means_off_inside_a_stream_too(pieces: list[bytes]) -> None:
    """Retries switched off: no other place is tried, for an error status and for an error inside a stream alike."""
    settings = NO_RETRIES | TWO_PLACES
    spare = stream_reply(*text_events("elsewhere"))
    got = await ask(stream_reply(*pieces), spare, settings=dict(settings), model="m", stream=True)
    assert (got.status, got.error["code"], len(got.upstream.calls)) == (503, "overloaded", 1)
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    got = await ask(error_reply(529, body), spare, settings=dict(settings), model="m")
    assert (got.status, got.error["code"], len(got.upstream.calls)) == (503, "overloaded", 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_e13_a_refusal_is_a_refusal(stream: bool) -> None:
    """The model refuses and says nothing: 200, ``content_filter``, and the reason in ``message.refusal``."""
    details = {"type": "refusal", "category": "cyber", "explanation": "That would help an attacker."}
    got = await ask(answer(stop_reason="refusal", stop_details=details, stream=stream), stream=stream)
    assert (got.status, got.finish) == (200, "content_filter")
    assert got.message["refusal"] == "That would help an attacker."
    assert not got.message["content"]


class Lines:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Json]] = []

    def _keep(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    debug = info = warning = error = _keep


@pytest.mark.parametrize("stream", [False, True])
async def test_e14_an_unknown_reason_to_stop_is_a_normal_end(stream: bool) -> None:
    """A stop reason of next year: the answer is whole, finish ``stop``, and the operator's log names it."""
    log, upstream = Lines(), FakeUpstream([])
    config = Config.from_dict({"vertex": {"project": "p", "location": "global"}})
    app = Gateway(config, log=log, upstream=upstream, tokens=FakeTokens())
    got = await ask(answer(text("Done."), stop_reason="bedtime", stream=stream), app=app, stream=stream)
    assert (got.status, got.finish, got.message["content"]) == (200, "stop", "Done.")
    assert [fields["types"] for _, fields in log.lines if "types" in fields] == [["stop_reason:bedtime"]]


@pytest.mark.parametrize("stream", [False, True])
async def test_e15_a_full_context_window_is_length(stream: bool) -> None:
    """The context window ran full: the answer is cut, so ``length``."""
    reply = answer(text("And then"), stop_reason="model_context_window_exceeded", stream=stream)
    got = await ask(reply, stream=stream)
    assert (got.finish, got.message["content"]) == ("length", "And then")


FULL = {"input_tokens": 10, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 5, "output_tokens": 9}


@pytest.mark.parametrize(
    ("start", "deltas"),
    [
        (FULL, [{}]),
        ({}, [FULL]),
        (FULL | {"output_tokens": 1}, [{"output_tokens": 4}, {"output_tokens": 8}, {"output_tokens": 9}]),
        (FULL, [{"input_tokens": None, "cache_read_input_tokens": None, "output_tokens": 9}]),
        ({"input_tokens": 10, "output_tokens": 9}, [{"cache_read_input_tokens": 20, "cache_creation_input_tokens": 5}]),
    ],
    ids=["start only", "delta only", "three deltas", "nulls", "each a part"],
)
async def test_e16_counts_that_come_in_parts_are_merged_not_added(start: Json, deltas: list[Json]) -> None:
    """Usage in the first event, in the last, in several, with nulls: a later value replaces, a missing one keeps."""
    pieces = [event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage) for usage in deltas]
    reply = stream_reply(opening(start), *told(0, text("Hi")), *pieces, event("message_stop"))
    got = await ask(reply, stream=True, stream_options={"include_usage": True})
    assert (got.usage["prompt_tokens"], got.usage["completion_tokens"], got.usage["total_tokens"]) == (35, 9, 44)
    folded = await ask(
        stream_reply(opening(start), *told(0, text("Hi")), *pieces, event("message_stop")), max_tokens=20_000
    )
    assert folded.usage == got.usage


@pytest.mark.parametrize("stream", [False, True])
async def test_e17_the_prompt_is_what_was_read_written_and_new(stream: bool) -> None:
    """Anthropic counts cached tokens apart, OpenAI within the prompt: the prompt is the sum of three, detailed."""
    more = {"stream_options": {"include_usage": True}} if stream else {}
    got = await ask(answer(text("Hi"), usage=FULL, stream=stream), stream=stream, **more)
    assert got.usage["prompt_tokens"] == 35
    assert got.usage["completion_tokens"] == 9
    assert got.usage["total_tokens"] == 44
    assert got.usage["prompt_tokens_details"] == {"cached_tokens": 20, "cache_write_tokens": 5}


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": True}], ids=repr)
async def test_e18_usage_only_where_it_is_asked_for(options: Json | None) -> None:
    """Not asked for: the word usage is nowhere. Asked for: null in each chunk, then in one chunk without choices."""
    got = await ask(stream=True, stream_options=options)
    if not (options or {}).get("include_usage"):
        assert b"usage" not in got.response.body
        return
    *chunks, last = got.chunks
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 10


async def test_e19_one_stream_has_one_id_time_and_model() -> None:
    """Every chunk, the one with the usage too, carries the same id, creation time and model."""
    blocks = [thought(), text("Hello"), tool_use()]
    reply = answer(*blocks, stop_reason="tool_use", stream=True)
    got = await ask(reply, stream=True, tools=[tool()], stream_options={"include_usage": True})
    kept = {(c["id"], c["created"], c["model"], c["object"]) for c in got.chunks}
    assert len(got.chunks) > 8
    assert len(kept) == 1
    assert next(iter(kept))[0].startswith("chatcmpl-")


@pytest.mark.parametrize("stream", [False, True])
async def test_e20_thinking_goes_back_where_it_was(stream: bool) -> None:
    """The model thinks, calls, thinks again, calls again; the client returns all of it: same order, same bytes."""
    first, second = thought("Paris first.", "c2lnMQ=="), thought("Now Rome — 漢.", "c2lnMg==")
    calls = [tool_use("toolu_1"), tool_use("toolu_2", value={"city": "Rome"})]
    blocks = [first, calls[0], second, calls[1]]
    options = {"tools": [tool()], "reasoning_effort": "high"}
    got = await ask(answer(*blocks, stop_reason="tool_use", stream=stream), stream=stream, **options)
    back = [USER, got.message, result("toolu_1"), result("toolu_2", "25 degrees")]
    assert back[1]["thinking_blocks"] == [first, second]
    again = await ask(app=got.app, messages=back, **options)
    assert again.turns[1]["content"] == blocks


LOOP = [USER, {"role": "assistant", "content": None, "tool_calls": [call()]}, result()]


@pytest.mark.parametrize("model", [NEW, SONNET, BUDGET])
async def test_e21_a_client_without_thinking_is_no_error(model: str) -> None:
    """A plain OpenAI client in a tool loop returns no thinking at all: a legal request all the same, and it thinks."""
    got = await ask(model=model, messages=LOOP, tools=[tool()], reasoning_effort="medium", max_tokens=8000)
    assert got.status == 200
    assert got.sent["thinking"]["type"] == ("enabled" if model == BUDGET else "adaptive")
    assert [block["type"] for turn in got.turns for block in turn["content"]] == ["text", "tool_use", "tool_result"]


async def test_e22_a_hole_in_the_thinking_is_not_an_error() -> None:
    """A client returns only some of the thinking: what no longer fits its place may be dropped upstream (the mode and
    its beta say so), and where memory knows only the later part, that part alone goes back, without a hole."""
    options = {"model": NEW, "tools": [tool()], "reasoning_effort": "low"}
    first, second, third = (
        {"role": "assistant", "content": None, "tool_calls": [call(f"toolu_{i}")], "thinking_blocks": [thought(str(i))]}
        for i in (1, 2, 3)
    )
    del second["thinking_blocks"]
    steps = [(first, "toolu_1"), (second, "toolu_2"), (third, "toolu_3")]
    messages = [USER] + [m for step, id in steps for m in (step, result(id))]
    got = await ask(messages=messages, **options)
    assert got.sent["thinking"]["block_binding"] == {"prefix_mismatch_behavior": "drop_block"}
    assert got.betas == b"thinking-binding-controls-2026-08-01"
    # The same from memory: the second answer is not remembered, so the first one's thoughts stay out, too.
    app, known = gateway(FakeUpstream([])), [USER]
    for number in (1, 3):
        reply = answer(thought(str(number)), tool_use(f"toolu_{number}"), stop_reason="tool_use")
        await ask(reply, app=app, messages=known, **options)
    plain = [{k: v for k, v in m.items() if k != "thinking_blocks"} for m in messages]
    got = await ask(app=app, messages=plain, **options)
    assert [b["thinking"] for t in got.turns for b in t["content"] if b["type"] == "thinking"] == ["3"]


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking_blocks": [{"type": "thinking", "thinking": "hush"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "hush", "signature": ""}]},
        {"reasoning_content": "hush"},
        {"reasoning": "hush", "reasoning_details": [{"type": "reasoning.text", "text": "hush"}]},
        {"content": [{"type": "thinking", "thinking": "hush"}, text("Hello")]},
    ],
    ids=["no signature", "empty signature", "reasoning_content", "reasoning_details", "in content"],
)
async def test_e23_foreign_thinking_never_becomes_text(fields: Json) -> None:
    """Thinking without a signature, or of another provider: left out, not shown to Claude as its own words."""
    messages = [USER, {"role": "assistant", "content": "Hello", **fields}, USER]
    got = await ask(messages=messages, reasoning_effort="low")
    assert got.turns[1]["content"] == [text("Hello")]
    assert b"hush" not in got.upstream.calls[0].body


FORGED = "messages.1.content.0: Invalid `signature` in `thinking` block"
MOVED = "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation."


@pytest.mark.parametrize("message", [FORGED, MOVED])
async def test_e24_a_refused_signature_costs_one_retry_once(message: str) -> None:
    """Vertex refuses a thinking block: one more attempt without it, and the conversation's next turn needs none."""
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    thinking = [thought("Mine?", "YmFk")]
    messages = [USER, {"role": "assistant", "content": "Hello", "thinking_blocks": thinking}, USER]
    options: Json = {"reasoning_effort": "low"}
    got = await ask(error_reply(400, refusal), answer(text("Fine.")), messages=messages, **options)
    assert (got.status, got.message["content"]) == (200, "Fine.")
    assert len(got.upstream.calls) == 2
    assert got.upstream.body(0)["messages"][1]["content"] == [*thinking, text("Hello")]
    assert got.turns[1]["content"] == [text("Hello")]
    new = {"role": "assistant", "content": "Fine.", "thinking_blocks": [thought("New.", "bmV3")]}
    again = await ask(answer(text("Yes.")), app=got.app, messages=[*messages, new, USER], **options)
    assert (again.status, again.response.headers["x-modelmux-attempts"]) == (200, "1")
    assert again.turns[1]["content"] == [text("Hello")]
    assert again.turns[3]["content"] == [thought("New.", "bmV3"), text("Fine.")]


async def test_e24_only_one_retry_is_made() -> None:
    """The same refusal again, without any thinking in the request: the client gets it, not a loop."""
    refusal = {"type": "error", "error": {"type": "invalid_request_error", "message": FORGED}}
    messages = [USER, {"role": "assistant", "content": "Hello", "thinking_blocks": [thought()]}, USER]
    got = await ask(error_reply(400, refusal), error_reply(400, refusal), messages=messages, reasoning_effort="low")
    assert (got.status, len(got.upstream.calls)) == (400, 2)


async def test_e25_thinking_stays_only_with_what_it_led_to() -> None:
    """An answer that was all thinking has nothing left to think for: its thinking goes with it. A call that was never
    answered stays, with an error for a result, so its thinking still stands before it."""
    cut = {"role": "assistant", "content": "", "thinking_blocks": [thought("Cut off")]}
    got = await ask(messages=[USER, cut, {"role": "user", "content": "Go on"}], reasoning_effort="low")
    assert got.turns == [{"role": "user", "content": [text("Hi"), text("Go on")]}]
    lost = {"role": "assistant", "content": None, "tool_calls": [call()], "thinking_blocks": [thought()]}
    got = await ask(messages=[USER, lost, {"role": "user", "content": "Never mind"}], tools=[tool()])
    assert [b["type"] for b in got.turns[1]["content"]] == ["thinking", "tool_use"]
    first, second = got.turns[2]["content"]
    assert (first["type"], first["tool_use_id"], first["is_error"]) == ("tool_result", "toolu_1", True)
    assert second["text"] == "Never mind"


@pytest.mark.parametrize("stream", [False, True])
async def test_e26_two_thoughts_are_two_blocks(stream: bool) -> None:
    """Two thinking blocks in one answer: two blocks with their own signatures, not one with the texts run together."""
    first, second = thought("One.", "c2lnMQ=="), thought("Two.", "c2lnMg==")
    got = await ask(answer(first, second, text("So."), stream=stream), stream=stream, reasoning_effort="low")
    assert got.message["thinking_blocks"] == [first, second]
    assert got.message["reasoning_content"] == "One.Two."
    assert got.message["content"] == "So."
