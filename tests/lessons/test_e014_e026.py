"""What other gateways got wrong, one test a case, E14 to E26: endings, usage, and thinking."""

from __future__ import annotations

import pytest

from modelmux import Config
from modelmux.app import Gateway
from support.fakes import FakeTokens, FakeUpstream, error_reply, event, stream_reply
from support.gateway import gateway
from support.lessons import (
    BUDGET,
    NEW,
    SONNET,
    USER,
    Json,
    answer,
    ask,
    call,
    opening,
    result,
    text,
    thought,
    told,
    tool,
    tool_use,
)
from support.log_lines import Lines

pytestmark = pytest.mark.usefixtures("no_waiting")


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


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", ["thinking_blocks", "reasoning_details"])
async def test_e20_thinking_of_two_steps_goes_back_to_each(form: str, stream: bool) -> None:
    """The model thinks and calls, sees the result, thinks and calls again; the client returns all of it, to a gateway
    that remembers nothing of it: each step has its own thinking first, the same bytes."""
    steps = [[thought("Paris first.", "c2lnMQ=="), tool_use("t1")], [thought("Rome — 漢.", "c2lnMg=="), tool_use("t2")]]
    options = {"tools": [tool()], "reasoning_effort": "high"}
    messages = [USER]
    for blocks in steps:
        got = await ask(answer(*blocks, stop_reason="tool_use", stream=stream), stream=stream, **options)
        back = dict(got.message)
        if form == "reasoning_details":
            (own,) = back.pop("thinking_blocks")
            kept = {"text": own["thinking"], "signature": own["signature"], "format": "anthropic-claude-v1"}
            back[form] = [{"type": "reasoning.text", **kept}]
        messages += [back, result(back["tool_calls"][0]["id"])]
    again = await ask(messages=messages, **options)
    assert [again.turns[1]["content"], again.turns[3]["content"]] == steps


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
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "hush", "format": "openai-responses-v1"}]},
        {
            "reasoning_details": [
                {"type": "reasoning.text", "text": "hush", "signature": "x", "format": "google-gemini-v1"}
            ]
        },
    ],
    ids=[
        "no signature",
        "empty signature",
        "reasoning_content",
        "reasoning_details",
        "in content",
        "OpenAI's",
        "Gemini's",
    ],
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


@pytest.mark.parametrize("returned", [True, False], ids=["returned", "remembered"])
async def test_e25_an_answer_cut_in_two_is_put_together_with_its_thinking(returned: bool) -> None:
    """A client keeps the words and the call of one answer as two messages: the turn that is sent is the one that the
    model wrote, its thinking first and once."""
    blocks = [thought(), text("I look."), tool_use()]
    options = {"tools": [tool()], "reasoning_effort": "high"}
    got = await ask(answer(*blocks, stop_reason="tool_use"), **options)
    words = {"role": "assistant", "content": "I look."}
    if returned:
        words["thinking_blocks"] = got.message["thinking_blocks"]
    calls = {"role": "assistant", "content": None, "tool_calls": got.message["tool_calls"]}
    again = await ask(app=got.app, messages=[USER, words, calls, result()], **options)
    assert again.turns[1]["content"] == blocks


@pytest.mark.parametrize("stream", [False, True])
async def test_e26_two_thoughts_are_two_blocks(stream: bool) -> None:
    """Two thinking blocks in one answer: two blocks with their own signatures, not one with the texts run together."""
    first, second = thought("One.", "c2lnMQ=="), thought("Two.", "c2lnMg==")
    got = await ask(answer(first, second, text("So."), stream=stream), stream=stream, reasoning_effort="low")
    assert got.message["thinking_blocks"] == [first, second]
    assert got.message["reasoning_content"] == "One.Two."
    assert got.message["content"] == "So."
