"""Folding: what an upstream stream and a client stream add up to, and that pauses are joined."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw

from modelmux.claude.continuation import concatenate, continuation_turn
from modelmux.claude.fold import MessageFold, to_events
from modelmux.dialects.openai_chat.fold import fold_chunks
from modelmux.dialects.openai_chat.usage import translate_usage
from modelmux.errors import UpstreamBroken
from modelmux.wire import anthropic
from modelmux.wire.anthropic import Block, Usage
from modelmux.wire.openai import chat_response
from modelmux.wire.openai.chat_response import decode_chunk
from support.translation import events


def fold(*items: dict[str, Any]) -> anthropic.Message:
    folded = MessageFold()
    for event in events(*items):
        folded.feed(event)
    return folded.result()


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


OPEN = {"type": "message_start", "message": {"id": "msg_1", "model": "x", "content": [], "usage": {"input_tokens": 5}}}
END = {"type": "message_stop"}


def ended(**fields: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": fields, "usage": {"output_tokens": 9}}


def test_a_whole_message() -> None:
    said = fold(
        OPEN, {"type": "ping"}, {"type": "news"},
        start(0, type="thinking", thinking="", signature=""), delta(0, "thinking_delta", thinking="h"),
        delta(0, "thinking_delta", thinking="m"), delta(0, "signature_delta", signature="sig"), stop(0),
        start(1, type="text", text="a"), delta(1, "text_delta", text="b"),
        delta(1, "citations_delta", citation={"url": "u"}), delta(1, "news_delta", text="c"), stop(1),
        start(2, type="tool_use", id="t", name="f", input={}), delta(2, "input_json_delta", partial_json=""),
        delta(2, "input_json_delta", partial_json='{"x":'), delta(2, "input_json_delta", partial_json="1}"), stop(2),
        start(3, type="redacted_thinking", data="d"), stop(3),
        ended(stop_reason="tool_use", stop_sequence="s", stop_details={"type": "x"}), ended(), END,
    )  # fmt: skip
    blocks = said.content or []
    assert [msgspec.json.encode(block).decode() for block in blocks] == [
        '{"type":"thinking","thinking":"hm","signature":"sig"}',
        '{"type":"text","text":"ab","citations":[{"url": "u"}]}',
        '{"type":"tool_use","id":"t","name":"f","input":{"x":1}}',
        '{"type":"redacted_thinking","data":"d"}',
    ]
    assert (said.id, said.model, said.usage) == ("msg_1", "x", Usage(5, output_tokens=9))
    assert (said.stop_reason, said.stop_sequence, said.stop_details) == (
        "tool_use", "s", anthropic.StopDetails("x"),
    )  # fmt: skip


DISORDER: list[tuple[str, list[dict[str, Any]], list[Block]]] = [
    ("nothing", [], []),
    ("text that never began", [delta(3, "text_delta", text="a"), delta(3, "text_delta")], [Block("text", text="a")]),
    ("other deltas that never began", [delta(0, "thinking_delta", thinking="x"), delta(0, "signature_delta"),
                                       delta(0, "input_json_delta", partial_json="{}"),
                                       delta(0, "citations_delta", citation={})], []),
    ("deltas after the end", [start(0, type="text"), delta(0, "text_delta", text="a"), stop(0), stop(0),
                              delta(0, "text_delta", text="b")], [Block("text", text="a"), Block("text", text="b")]),
    ("one index twice", [start(0, type="text", text="a"), start(0, type="text", text="b")],
     [Block("text", text="a"), Block("text", text="b")]),
    ("side by side", [start(1, type="text"), start(0, type="text"), delta(1, "text_delta", text="a"),
                      delta(0, "text_delta", text="b")], [Block("text", text="a"), Block("text", text="b")]),
    ("deltas of another kind", [start(0, type="thinking"), delta(0, "text_delta", text="a"), delta(0, "thinking_delta"),
                                delta(0, "citations_delta"), delta(0, "signature_delta")],
     [Block("thinking", thinking="")]),
    ("starts and deltas of nothing", [{"type": "content_block_start", "index": 0},
                                      {"type": "content_block_delta", "index": 0}, {"type": "message_start"},
                                      {"type": "message_delta"}], []),
]  # fmt: skip


@pytest.mark.parametrize(("items", "blocks"), [d[1:] for d in DISORDER], ids=[d[0] for d in DISORDER])
def test_disorder_breaks_nothing(items: list[dict[str, Any]], blocks: list[Block]) -> None:
    assert fold(OPEN, *items, END).content == blocks


def test_a_second_opening_keeps_what_was_said() -> None:
    again = {"type": "message_start", "message": {"id": "msg_2", "usage": {"output_tokens": 1}}}
    said = fold(OPEN, delta(0, "text_delta", text="a"), ended(stop_reason="max_tokens", stop_sequence="s"), again, END)
    assert (said.id, said.stop_reason, said.stop_sequence) == ("msg_2", "max_tokens", "s")
    assert said.usage == Usage(5, output_tokens=1)
    assert said.content == [Block("text", text="a")]


def test_after_the_end_nothing_counts() -> None:
    said = fold(OPEN, END, delta(0, "text_delta", text="a"), {"type": "error"}, ended(stop_reason="refusal"))
    assert (said.content, said.stop_reason) == ([], None)


def test_a_stream_without_its_end_is_no_message() -> None:
    folded = MessageFold()
    for event in events(OPEN, ended(stop_reason="end_turn")):
        folded.feed(event)
    assert folded.usage == Usage(5, output_tokens=9)
    with pytest.raises(UpstreamBroken) as caught:
        folded.result()
    assert caught.value.reply_started


def test_the_events_are_not_changed_by_folding_them() -> None:
    given = events(OPEN, start(0, type="tool_use", input={}), delta(0, "input_json_delta", partial_json='{"a":1}'), END)
    before = msgspec.json.encode(given)
    folded = MessageFold()
    for event in given:
        folded.feed(event)
    assert folded.result().content
    assert msgspec.json.encode(given) == before


MESSAGE = anthropic.Message(
    id="msg_1", model="x", stop_reason="stop_sequence", stop_sequence="s", usage=Usage(5, 1, 2, 9),
    stop_details=anthropic.StopDetails("x"),
    content=[
        Block("thinking", thinking="hm", signature="sig"), Block("text", text="a", citations=[Raw(b'{"url":"u"}')]),
        Block("tool_use", id="t", name="f", input=Raw(b'{"x": 1}')), Block("redacted_thinking", data="d"),
        Block("web_search_tool_result", tool_use_id="t", content=Raw(b"[]"), caller=Raw(b"{}")), Block("text", text=""),
    ],
)  # fmt: skip


def test_a_message_unfolds_into_a_stream_that_folds_back() -> None:
    before = msgspec.json.encode(MESSAGE)
    folded = MessageFold()
    for event in to_events(MESSAGE):
        folded.feed(anthropic.decode_event(msgspec.json.encode(event)))
    assert msgspec.json.encode(folded.result()) == before
    assert msgspec.json.encode(MESSAGE) == before, "unfolding changes nothing"


def test_an_empty_message_unfolds_too() -> None:
    assert [e.type for e in to_events(anthropic.Message())] == ["message_start", "message_delta", "message_stop"]


def test_a_paused_reply_goes_back_as_it_came_without_blank_text() -> None:
    paused = msgspec.structs.replace(
        MESSAGE, content=[*(MESSAGE.content or ()), Block("text", text=" \n"), Block("text")]
    )
    turn = continuation_turn(paused)
    assert turn.role == "assistant"
    assert [bytes(raw) for raw in turn.content] == [msgspec.json.encode(b) for b in (MESSAGE.content or ())[:5]]
    assert continuation_turn(anthropic.Message()).content == []


def test_a_paused_reply_and_what_follows_are_one() -> None:
    later = anthropic.Message(
        id="msg_2", content=[Block("text", text="b")], stop_reason="end_turn", usage=Usage(1, 1, 1, 1)
    )
    both = concatenate(MESSAGE, later)
    assert both.content == [*(MESSAGE.content or ()), Block("text", text="b")]
    assert (both.id, both.stop_reason, both.usage) == ("msg_2", "end_turn", Usage(6, 2, 3, 10))
    assert concatenate(anthropic.Message(), anthropic.Message()).content == []


def chunk(delta: dict[str, Any] | None = None, reason: str | None = None, **fields: Any) -> chat_response.DecodedChunk:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    return decode_chunk(msgspec.json.encode({"id": "c", "created": 7, "model": "m", "choices": choices, **fields}))


NONE_USED = translate_usage(None)


def folded_chunks(*chunks: chat_response.DecodedChunk) -> chat_response.ChatCompletion:
    return fold_chunks(chunks, NONE_USED)


def call(index: int, **fields: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **fields}]}


def test_chunks_add_up_to_the_completion() -> None:
    usage = translate_usage(Usage(5, output_tokens=9))
    whole = folded_chunks(
        chunk({"role": "assistant", "content": ""}), chunk({"content": "a"}), chunk({"reasoning_content": "h"}),
        chunk(call(0, id="t", type="function", function={"name": "f", "arguments": ""})), chunk({"content": "b"}),
        chunk(call(1, id="u", type="function", function={"name": "g", "arguments": ""})),
        chunk(call(0, function={"arguments": '{"x"'})), chunk(call(1, function={"arguments": "{}"})),
        chunk(call(0, function={"arguments": ":1}"})), chunk(call(0)), chunk({"reasoning_content": "m"}),
        chunk({"annotations": [{"n": 1}]}), chunk({"annotations": [{"n": 2}]}),
        chunk({"thinking_blocks": [{"type": "thinking"}]}), chunk({}, "tool_calls"),
        chunk(None, usage=msgspec.to_builtins(usage)),
    )  # fmt: skip
    assert (whole.id, whole.created, whole.model, whole.usage) == ("c", 7, "m", usage)
    assert whole.choices[0].finish_reason == "tool_calls"
    message = whole.choices[0].message
    assert (message.content, message.reasoning_content, message.annotations) == ("ab", "hm", [{"n": 1}, {"n": 2}])
    assert message.thinking_blocks == [{"type": "thinking"}]
    assert message.tool_calls == [
        chat_response.ResponseToolCall(id="t", function=chat_response.ResponseFunction("f", '{"x":1}')),
        chat_response.ResponseToolCall(id="u", function=chat_response.ResponseFunction("g", "{}")),
    ]


def test_calls_stand_in_the_order_of_their_index() -> None:
    whole = folded_chunks(
        chunk(call(1, id="b", function={"name": "g"})),
        chunk(call(0, id="a", type="custom", custom={"name": "sh", "input": "ls"})),
        chunk(call(0, id="a", function={"arguments": "ignored"})),
        chunk(call(2, type="custom", custom={})),
    )
    assert whole.choices[0].message.tool_calls == [
        chat_response.ResponseCustomCall(id="a", custom=chat_response.ResponseCustom("sh", "ls")),
        chat_response.ResponseToolCall(id="b", function=chat_response.ResponseFunction("g", "")),
        chat_response.ResponseCustomCall(id="", custom=chat_response.ResponseCustom("", "")),
    ]


def test_a_legacy_call_adds_up_too() -> None:
    message = folded_chunks(
        chunk({"function_call": {"name": "f", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}}),
        chunk({"function_call": {}}, "function_call"),
    ).choices[0].message  # fmt: skip
    assert message.function_call == chat_response.ResponseFunction("f", "{}")
    assert (message.content, message.tool_calls) == (None, UNSET)


def test_a_refusal_and_an_empty_answer() -> None:
    message = (
        folded_chunks(chunk({"content": ""}), chunk({"refusal": "No."}), chunk({}, "content_filter")).choices[0].message
    )
    assert (message.content, message.refusal) == (None, "No.")
    nothing = folded_chunks()
    assert (nothing.id, nothing.created, nothing.model, nothing.usage) == ("", 0, "", NONE_USED)
    assert (nothing.choices[0].message.content, nothing.choices[0].finish_reason) == ("", "stop")


def test_the_details_of_an_ending_may_come_first() -> None:
    begun = {"type": "message_start", "message": {"content": [], "stop_details": {"type": "x"}}}
    assert fold(begun, END).stop_details == anthropic.StopDetails("x")
    early = {"type": "message_delta", "delta": {"stop_details": {"type": "x"}}}
    assert fold(early, OPEN, END).stop_details == anthropic.StopDetails("x")


def test_a_citation_that_is_none_is_left_out() -> None:
    said = fold(OPEN, start(0, type="text", text="a"), delta(0, "citations_delta"), stop(0), END)
    assert not (said.content or [])[0].citations


def test_a_message_as_events() -> None:
    usage = Usage(input_tokens=1, output_tokens=2)
    message = anthropic.Message(
        id="m", content=[Block("text", text="a"), Block("text", text="b")], usage=usage, stop_reason="stop_sequence",
        stop_sequence="s", stop_details=anthropic.StopDetails("x"),
    )  # fmt: skip
    told = to_events(message)
    assert [(event.type, event.index) for event in told[1:-2]] == [
        ("content_block_start", 0), ("content_block_stop", 0), ("content_block_start", 1), ("content_block_stop", 1),
    ]  # fmt: skip
    opening, ending = told[0].message, told[-2]
    assert opening is not None
    assert (opening.content, opening.stop_reason, opening.stop_sequence, opening.stop_details) == ([], None, None, None)
    assert ending.usage == usage


def test_calls_without_id_and_name_are_whole_all_the_same() -> None:
    def whole(**fields: Any) -> Any:
        choice = {"index": 0, "delta": fields, "finish_reason": None}
        raw = {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        folded = fold_chunks([decode_chunk(msgspec.json.encode(raw))], translate_usage(None))
        return msgspec.to_builtins(folded.choices[0].message)

    call = whole(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}])["tool_calls"][0]
    assert (call["id"], call["function"]) == ("", {"name": "", "arguments": "{}"})
    assert whole(function_call={"arguments": "{}"})["function_call"] == {"name": "", "arguments": "{}"}
