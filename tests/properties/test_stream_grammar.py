"""A client's stream obeys the grammar whatever the upstream tells, and tells all of it.

The reply itself is the measure here, read without the translator: the fold law compares two outputs of one code.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelmux.claude.reply_plan import ReplyPlan
from support.strategies import disorder, replies, streams
from support.streams import chat_encoder, client_bytes

Json = dict[str, Any]
SHAPES = [
    ReplyPlan("m"),
    ReplyPlan("m", include_usage=True),
    ReplyPlan("m", include_usage=True, tool_names={"ns_tool": "ns/tool"}, custom_tools=frozenset({"shell"})),
    ReplyPlan("m", legacy_function=True),
    ReplyPlan("m", answer_tool="answer"),
    ReplyPlan("m", include_usage=True, strip_code_block=True),
    ReplyPlan("m", show_reasoning=False),
]
NAMES = {"ns_tool": "ns/tool"}
CUT = ("max_tokens", "model_context_window_exceeded", "pause_turn", "compaction")
FINISH = {**dict.fromkeys(CUT, "length"), "refusal": "content_filter"}


def client_chunks(events: list[Json], shape: ReplyPlan) -> list[Json]:
    """The chunks a client reads of a stream that has to end well."""
    raw = b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events)
    out = client_bytes([raw], chat_encoder(shape))
    *framed, rest = out.decode().split("\n\n")
    assert rest == ""
    framed = [event for event in framed if not event.startswith(":")]  # keep-alives
    assert all(event.startswith("data: ") and "\n" not in event for event in framed)
    assert framed[-1] == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in framed[:-1]]


def check_grammar(chunks: list[Json], shape: ReplyPlan) -> None:
    """Role first and once; one id, created and model; a finish reason alone and once; usage last and only if asked."""
    heads = {(c["id"], c["created"], c["model"], c["object"]) for c in chunks}
    assert heads == {("chatcmpl-1", 1, "m", "chat.completion.chunk")}
    if shape.include_usage:
        usage = chunks.pop()
        assert usage["choices"] == []
        assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + usage["usage"]["completion_tokens"]
    assert all(("usage" in c) == shape.include_usage and c.get("usage") is None for c in chunks)
    choices = [choice for c in chunks for choice in c["choices"]]
    assert len(choices) == len(chunks)
    assert {choice["index"] for choice in choices} == {0}
    deltas = [choice["delta"] for choice in choices]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert not any("role" in delta for delta in deltas[1:])
    assert all(delta for delta in deltas[:-1]), "no chunk without content but the last"
    assert deltas[-1] == {}
    assert [choice["finish_reason"] is not None for choice in choices] == [False] * (len(choices) - 1) + [True]
    seen = 0
    for part in (part for delta in deltas for part in delta.get("tool_calls", ())):
        if "id" in part:
            assert part["index"] == seen, "calls are counted from 0, in the order they begin"
            assert part["type"] in ("function", "custom")
            seen += 1
        assert part["index"] < seen, "no arguments before their call"
    if not shape.show_reasoning:
        assert not any("reasoning_content" in delta or "thinking_blocks" in delta for delta in deltas)


@given(st.data(), replies(), st.sampled_from(SHAPES))
def test_every_shape_of_reply_obeys_the_grammar(data: st.DataObject, reply: Json, shape: ReplyPlan) -> None:
    check_grammar(client_chunks(data.draw(streams(reply)), shape), shape)


@given(disorder(), st.sampled_from(SHAPES))
def test_a_stream_in_disorder_obeys_it_too(events: list[Json], shape: ReplyPlan) -> None:
    check_grammar(client_chunks(events, shape), shape)


@given(st.data(), replies())
def test_all_of_a_reply_is_streamed(data: st.DataObject, reply: Json) -> None:
    chunks = client_chunks(data.draw(streams(reply)), ReplyPlan("m", include_usage=True, tool_names=NAMES))
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    blocks = reply["content"]

    def joined(kind: str) -> str:
        return "".join(block.get(kind) or "" for block in blocks if block["type"] == kind)

    def streamed(field: str) -> str:
        return "".join(delta.get(field) or "" for delta in deltas)

    assert streamed("content") == joined("text")
    assert streamed("reasoning_content") == joined("thinking")
    calls = [block for block in blocks if block["type"] == "tool_use"]
    assert called(deltas) == [(c["id"], NAMES.get(c["name"], c["name"]), c["input"]) for c in calls]
    signed = [block for block in blocks if block.get("signature") and block["type"] == "thinking"]
    redacted = [block for block in blocks if block["type"] == "redacted_thinking"]
    returned = [block for delta in deltas for block in delta.get("thinking_blocks", ())]
    assert sorted(json.dumps(b, sort_keys=True) for b in returned) == sorted(
        json.dumps(b, sort_keys=True) for b in signed + redacted
    )
    check_end(reply, chunks, bool(calls))


def called(deltas: list[Json]) -> list[tuple[str, str, Any]]:
    calls: list[list[str]] = []
    for part in (part for delta in deltas for part in delta.get("tool_calls", ())):
        if "id" in part:
            calls.append([part["id"], part["function"]["name"], ""])
        calls[part["index"]][2] += part["function"]["arguments"]
    return [(id, name, json.loads(arguments)) for id, name, arguments in calls]


def check_end(reply: Json, chunks: list[Json], calls: bool) -> None:
    usage, finish = chunks[-1]["usage"], chunks[-2]["choices"][0]["finish_reason"]
    # Calls of an ending that nobody knows are shown, but nobody is told to run them.
    unsaid = "tool_calls" if calls and reply["stop_reason"] != "invented" else "stop"
    want = FINISH.get(reply["stop_reason"], unsaid)
    assert finish == want
    counts = {key: value or 0 for key, value in (reply["usage"] or {}).items() if key.endswith("tokens")}
    read, written = counts.get("cache_read_input_tokens", 0), counts.get("cache_creation_input_tokens", 0)
    assert usage["prompt_tokens"] == counts.get("input_tokens", 0) + read + written
    assert usage["completion_tokens"] == counts.get("output_tokens", 0)
    assert usage["prompt_tokens_details"] == {"cached_tokens": read, "cache_write_tokens": written}
