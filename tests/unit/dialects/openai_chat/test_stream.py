"""Streams, event by event: what a client sees after each, in the form SDKs put together (E1 to E3, E13 to E19).

Events are written short: a delta as ``(index, kind, text)``, a start as ``(index, block)``, an end as its index.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.openai_chat.stream import ChatEncoder
from modelmux.errors import UpstreamBroken
from modelmux.wire.anthropic import Block, StreamEvent, Usage
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun
from support.translation import events

PLAIN = ReplyPlan("m")
START = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}
STOP = {"type": "message_stop"}
DELTAS = {"text": ("text_delta", "text"), "json": ("input_json_delta", "partial_json"),
          "think": ("thinking_delta", "thinking"), "sign": ("signature_delta", "signature"),
          "cite": ("citations_delta", "citation"), "news": ("news_delta", "text")}  # fmt: skip
ROLE = {"role": "assistant", "content": ""}


def event(short: Any) -> dict[str, Any]:
    if isinstance(short, dict):
        return short
    if isinstance(short, int):
        return {"type": "content_block_stop", "index": short}
    if len(short) == 2:
        block = {"type": short[1]} if isinstance(short[1], str) else short[1]
        return {"type": "content_block_start", "index": short[0], "content_block": block}
    kind, field = DELTAS[short[1]]
    return {"type": "content_block_delta", "index": short[0], "delta": {"type": kind, field: short[2]}}


def ended(reason: str | None = "end_turn", **fields: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, **fields}, "usage": {"output_tokens": 9}}


def encoder(plan: ReplyPlan = PLAIN) -> ChatEncoder:
    return ChatEncoder(plan, id="chatcmpl-1", created=1)


def run(*shorts: Any, shape: ReplyPlan = PLAIN) -> list[Any]:
    """What comes out: each delta as JSON, the finish reason as a text, the usage as its total."""
    return summaries(encoder(shape), *shorts)


def summaries(stream: ChatEncoder, *shorts: Any) -> list[Any]:
    out: list[Any] = []
    for each in events(*map(event, shorts)):
        for chunk in stream.chunks(each):
            if chunk.usage is not None:
                out.append(chunk.usage.total_tokens)
            elif chunk.delta is not None:
                out.append(msgspec.to_builtins(chunk.delta))
            else:
                out.append(chunk.finish_reason)
    return out


def tool(id: str | None = "a", name: str | None = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": name, **fields}


def begun(index: int, id: str, name: str = "f") -> dict[str, Any]:
    function = {"name": name, "arguments": ""}
    return {"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}


def args(index: int, text: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def content(text: str) -> dict[str, Any]:
    return {"content": text}


CITE = {"type": "web_search_result_location", "url": "https://a", "title": "T"}


def cited(start: int, end: int) -> dict[str, Any]:
    found = {"start_index": start, "end_index": end, "url": "https://a", "title": "T"}
    return {"annotations": [{"type": "url_citation", "url_citation": found}]}


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "sig"}
SCRIPTS: list[tuple[str, list[Any], list[Any]]] = [
    ("text", [START, (0, "text"), (0, "text", "He"), (0, "text", ""), (0, "text", "llo"), 0, ended(), STOP],
     [ROLE, content("He"), content("llo"), "stop"]),
    ("nothing", [START, ended(), STOP], [ROLE, "stop"]),
    ("only an end", [STOP], [ROLE, "stop"]),
    ("text that comes with its start", [START, (0, {"type": "text", "text": "Hi"}), (0, "text", "!"), 0, STOP],
     [ROLE, content("Hi"), content("!"), "stop"]),
    ("no start of the message", [(0, "text"), (0, "text", "a"), STOP], [ROLE, content("a"), "stop"]),
    ("two starts of the message", [START, (0, "text", "a"), START, (0, "text", "b"), STOP],
     [ROLE, content("a"), content("b"), "stop"]),
    ("text of a block that never began", [START, (7, "text", "a"), (7, "text", "b"), STOP],
     [ROLE, content("a"), content("b"), "stop"]),
    ("pings and news", [START, {"type": "ping"}, {"type": "news", "x": 1}, (0, "text"), (0, "news", "a"),
                        {"type": "ping"}, (0, "text", "b"), (1, {"type": "news", "text": "c"}),
                        (1, "text", "d"), 1, {}, STOP],
     [ROLE, content("b"), "stop"]),
    ("parallel calls after text", [START, (0, "text"), (0, "text", "so"), 0, (1, tool("a")), (1, "json", ""),
                                   (1, "json", '{"x"'), (1, "json", ":1}"), 1, (2, tool("b", "g")),
                                   (2, "json", "{}"), 2, ended("tool_use"), STOP],
     [ROLE, content("so"), begun(0, "a"), args(0, '{"x"'), args(0, ":1}"), begun(1, "b", "g"), args(1, "{}"),
      "tool_calls"]),
    ("calls side by side", [START, (0, tool("a")), (1, tool("b")), (1, "json", "{"), (0, "json", "["), (1, "json", "}"),
                            (0, "json", "]"), 0, 1, STOP],
     [ROLE, begun(0, "a"), begun(1, "b"), args(1, "{"), args(0, "["), args(1, "}"), args(0, "]"), "tool_calls"]),
    ("a call without arguments", [START, (0, tool()), 0, STOP], [ROLE, begun(0, "a"), args(0, "{}"), "tool_calls"]),
    ("a call with empty arguments", [START, (0, tool(input={})), (0, "json", ""), 0, STOP],
     [ROLE, begun(0, "a"), args(0, "{}"), "tool_calls"]),
    ("arguments with the start", [START, (0, tool(input={"x": 1})), 0, STOP],
     [ROLE, begun(0, "a"), args(0, '{"x": 1}'), "tool_calls"]),
    ("arguments with the start and after it", [START, (0, tool(input={"x": 1})), (0, "json", "{}"), 0, STOP],
     [ROLE, begun(0, "a"), args(0, "{}"), "tool_calls"]),
    ("a call that never ends", [START, (0, tool()), ended("max_tokens"), STOP],
     [ROLE, begun(0, "a"), args(0, "{}"), "length"]),
    ("calls that share an index", [START, (0, tool("a")), (0, tool("b")), (0, "json", "{}"), (0, tool("c")), 0, STOP],
     [ROLE, begun(0, "a"), args(0, "{}"), begun(1, "b"), args(1, "{}"), begun(2, "c"), args(2, "{}"), "tool_calls"]),
    ("deltas after the end of a block", [START, (0, tool()), 0, (0, "json", "{}"), (1, "thinking"), 1,
                                         (1, "think", "x"), (1, "sign", "y"), STOP],
     [ROLE, begun(0, "a"), args(0, "{}"), "tool_calls"]),
    ("a call without a name or an id", [START, (0, tool(None, None)), 0, STOP],
     [ROLE, {"tool_calls": [{"index": 0, "type": "function", "function": {"name": "", "arguments": ""}}]},
      args(0, "{}"), "tool_calls"]),
    ("server tools", [START, (0, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
                      (0, "json", '{"q":1}'), 0, (1, {"type": "web_search_tool_result", "content": []}), 1, (2, tool()),
                      (2, "json", "{}"), 2, STOP],
     [ROLE, begun(0, "a"), args(0, "{}"), "tool_calls"]),
    ("deltas that do not fit their block", [START, (0, "text"), (0, "json", "a"), (0, "think", "b"),
                                            (0, "sign", "c"), 0, (1, "thinking"), (1, "text", "d"), (1, "json", "e"),
                                            (1, "cite", CITE), 1,
                                            (2, tool()), (2, "text", "f"), (2, "think", "g"), 2,
                                            (3, "redacted_thinking"), (3, "think", "h"), 3, STOP],
     [ROLE, begun(0, "a"), args(0, "{}"), "tool_calls"]),
    ("starts and deltas of nothing", [START, {"type": "content_block_start", "index": 0},
                                      {"type": "content_block_delta", "index": 0}, {"type": "message_delta"},
                                      {"type": "message_start"}, 5, STOP], [ROLE, "stop"]),
    ("reasoning, signed", [START, (0, "thinking"), (0, "think", "h"), (0, "think", "m"), (0, "sign", "s"),
                           (0, "sign", "ig"), 0, (1, "text", "a"), STOP],
     [ROLE, {"reasoning_content": "h"}, {"reasoning_content": "m"}, content("a"), {"thinking_blocks": [THOUGHT]},
      "stop"]),
    ("reasoning that comes with its start", [START, (0, THOUGHT), 0, STOP],
     [ROLE, {"reasoning_content": "hm"}, {"thinking_blocks": [THOUGHT]}, "stop"]),
    ("omitted and redacted reasoning, unsigned reasoning", [START, (0, "thinking"), (0, "sign", "sig"), 0,
        (1, {"type": "redacted_thinking", "data": "x"}), 1, (2, "thinking"), (2, "think", "u"), 2, STOP],
     [ROLE, {"reasoning_content": "u"},
      {"thinking_blocks": [{**THOUGHT, "thinking": ""}, {"type": "redacted_thinking", "data": "x"}]}, "stop"]),
    ("a refusal", [START, (0, "text", "pa"), ended("refusal", stop_details={"explanation": "No."}), STOP],
     [ROLE, content("pa"), {"refusal": "No."}, "content_filter"]),
    ("a refusal without words", [START, ended("refusal"), STOP],
     [ROLE, {"refusal": "The model refused to answer."}, "content_filter"]),
    ("citations", [START, (0, "text"), (0, "text", "é🎉"), 0, (1, {"type": "text", "citations": [CITE]}),
                   (1, "cite", CITE), (1, "text", "bc"), 1, (2, "text"), (2, "cite", CITE), 2, (3, "text"),
                   (3, "text", "d"),
                   (3, "cite", {**CITE, "url": None}), 3, (4, "text", "e"), (4, "cite", CITE), STOP],
     [ROLE, content("é🎉"), content("bc"), cited(2, 4), content("d"), content("e"), cited(5, 6), "stop"]),
    ("the end is the end", [START, ended(), STOP, (0, "text", "a"), {"type": "error"}, STOP], [ROLE, "stop"]),
    ("several ends of the message", [START, ended("refusal", stop_details={"explanation": "No."}), ended(None),
                                     {"type": "message_delta", "delta": {}}, STOP],
     [ROLE, {"refusal": "No."}, "content_filter"]),
    ("a stop reason in the start",
     [{"type": "message_start", "message": {"stop_reason": "max_tokens"}}, ended(None), STOP],
     [ROLE, "length"]),
]  # fmt: skip


@pytest.mark.parametrize(("shorts", "expected"), [s[1:] for s in SCRIPTS], ids=[s[0] for s in SCRIPTS])
def test_stream(shorts: list[Any], expected: list[Any]) -> None:
    assert run(*shorts) == expected


LISTING = ReplyPlan("m", answer_tool="j", answer_schema={"properties": {"x": {"type": "array"}}, "required": ["x"]})
CUSTOM = ReplyPlan("m", custom_tools=frozenset({"sh"}), tool_names={"sh": "s.h"})


def custom(index: int, text: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "id": "a", "type": "custom", "custom": {"name": "s.h", "input": text}}]}


SHAPED: list[tuple[str, ReplyPlan, list[Any], list[Any]]] = [
    ("a renamed tool", ReplyPlan("m", tool_names={"f": "ns/f"}), [START, (0, tool()), 0, STOP],
     [ROLE, begun(0, "a", "ns/f"), args(0, "{}"), "tool_calls"]),
    ("usage if asked for, last", ReplyPlan("m", include_usage=True), [START, ended(), STOP], [ROLE, "stop", 14]),
    ("usage that was never said", ReplyPlan("m", include_usage=True), [STOP], [ROLE, "stop", 0]),
    ("a custom tool whole", CUSTOM, [START, (0, tool(name="sh")), (0, "json", '{"input": "l'), (0, "json", 's"}'), 0,
                                     (1, tool("b", "g")), 1, STOP],
     [ROLE, custom(0, "ls"), begun(1, "b", "g"), args(1, "{}"), "tool_calls"]),
    ("a custom tool under way when another begins", CUSTOM,
     [START, (0, tool(name="sh")), (1, tool("b", "g")), (0, "json", '{"input": "ls"}'), 0, 1, STOP],
     [ROLE, begun(0, "b", "g"), custom(1, "ls"), args(0, "{}"), "tool_calls"]),
    ("a custom tool cut", CUSTOM, [START, (0, tool(name="sh")), (0, "json", '{"inp'), ended("max_tokens"), STOP],
     [ROLE, custom(0, '{"inp'), "length"]),
    ("a custom tool without input", CUSTOM, [START, (0, tool(name="sh")), 0, STOP],
     [ROLE, custom(0, "{}"), "tool_calls"]),
    ("a custom tool's input with its start", CUSTOM, [START, (0, tool(name="sh", input={"input": "x"})), 0, STOP],
     [ROLE, custom(0, "x"), "tool_calls"]),
    ("a legacy call", ReplyPlan("m", legacy_function=True),
     [START, (0, tool()), (0, "json", "{}"), 0, (1, tool("b")), (1, "json", "{}"), 1, STOP],
     [ROLE, {"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}},
      "function_call"]),
    ("an answer by way of a tool", ReplyPlan("m", answer_tool="j"), [START, (0, tool(name="j")), (0, "json", '{"x"'),
                                                                    (0, "json", ":1}"), 0, ended("tool_use"), STOP],
     [ROLE, content('{"x"'), content(":1}"), "stop"]),
    ("an answer by way of a tool in an envelope", LISTING,
     [START, (0, tool(name="j")), (0, "json", '{"p":{"x"'), (0, "json", ":[1"), (0, "json", "]}}"), ended("tool_use"),
      STOP], [ROLE, content('{"x":[1]}'), "stop"]),
    ("an answer by way of a tool with a string", LISTING,
     [START, (0, tool(name="j")), (0, "json", '{"x":"[1'), (0, "json", ']"}'), 0, ended("tool_use"), STOP],
     [ROLE, content('{"x":'), content("[1]}"), "stop"]),
    ("an answer by way of a tool with its start", LISTING,
     [START, (0, tool(name="j", input={"x": "[]"})), 0, STOP], [ROLE, content('{"x": '), content("[]}"), "stop"]),
    ("an empty answer by way of a tool", ReplyPlan("m", answer_tool="j"), [START, (0, tool(name="j")), 0, STOP],
     [ROLE, content("{}"), "stop"]),
    ("a call without a name is no answer", ReplyPlan("m"), [START, (0, tool("a", None)), 0, STOP],
     [ROLE, begun(0, "a", ""), args(0, "{}"), "tool_calls"]),
    ("hidden reasoning", ReplyPlan("m", show_reasoning=False), [START, (0, THOUGHT), (0, "think", "x"), 0, STOP],
     [ROLE, "stop"]),
    ("fences", ReplyPlan("m", strip_code_block=True),
     [START, (0, "text", "``"), (0, "text", "`json\n{"), (0, "text", "}\n``"), (0, "text", "`"), (0, "cite", CITE), 0,
      STOP],
     [ROLE, content("{"), content("}"), "stop"]),
    ("what was no fence", ReplyPlan("m", strip_code_block=True), [START, (0, "text", "``"), STOP],
     [ROLE, content("``"), "stop"]),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "shorts", "expected"), [s[1:] for s in SHAPED], ids=[s[0] for s in SHAPED])
def test_stream_in_the_shape_the_request_asked_for(shape: ReplyPlan, shorts: list[Any], expected: list[Any]) -> None:
    assert run(*shorts, shape=shape) == expected


def test_what_is_news_is_remembered_for_the_log() -> None:
    stream = encoder()
    summaries(
        stream, {"type": "news"}, {"type": "ping"}, (0, "hologram"), (0, "news", "x"), (1, "text"), (1, "cite", CITE)
    )
    assert stream.state.unknown_types == {"event:news", "block:hologram", "delta:news_delta"}


COMMITS: list[tuple[Any, bool]] = [
    (START, False), ({"type": "ping"}, False), ((0, "text"), False), ((0, "text", ""), False), ((0, "text", "a"), True),
    ((0, tool()), True), ((0, THOUGHT), True), ((0, "thinking"), False), ((0, "hologram"), False), (ended(), False),
    (STOP, True),
]  # fmt: skip


@pytest.mark.parametrize(("short", "expected"), COMMITS)
def test_an_attempt_is_committed_by_the_first_content_and_not_before(short: Any, expected: bool) -> None:
    stream = encoder()
    summaries(stream, short)
    assert stream.content_started is expected


def test_an_answer_that_is_held_back_has_begun() -> None:
    """The upstream has replied; the client hears of it by comments only."""
    stream = encoder(LISTING)
    assert summaries(stream, START, (0, tool(name="j")), (0, "json", "")) == [ROLE]
    assert not stream.content_started
    assert summaries(stream, (0, "json", '{"p":')) == []
    assert stream.content_started


def test_hidden_reasoning_commits_nothing() -> None:
    stream = encoder(ReplyPlan("m", show_reasoning=False))
    summaries(stream, START, (0, THOUGHT), 0)
    assert not stream.content_started


def test_only_the_end_of_the_message_makes_a_stream_whole() -> None:
    stream = encoder()
    summaries(stream, START, (0, "text", "a"), 0, ended())
    with pytest.raises(UpstreamBroken) as caught:
        stream.state.check_complete()
    assert caught.value.reply_started
    summaries(stream, STOP)
    stream.state.check_complete()
    assert stream.state.done


def test_usage_is_merged_and_not_summed() -> None:
    stream = encoder()
    assert stream.state.usage is None
    more = {"type": "message_delta", "usage": {"input_tokens": None, "output_tokens": 3, "cache_read_input_tokens": 2}}
    summaries(stream, START, more, more, ended())
    assert stream.state.usage == stream.state.attempt_usage == Usage(5, None, 2, 9)


def test_the_thinking_before_each_call_is_kept_even_if_it_is_not_shown() -> None:
    stream = encoder(ReplyPlan("m", show_reasoning=False))
    summaries(
        stream, START, (0, "thinking"), (0, "think", "hm"), (0, "sign", "sig"), 0, (1, tool()), (1, "json", "{}"), 1
    )
    assert [(b.type, b.thinking, b.signature, b.id) for b in stream.state.thinking_and_tools] == [
        ("thinking", "hm", "sig", None), ("tool_use", None, None, "a"),
    ]  # fmt: skip


def test_the_events_are_not_changed_by_reading_them() -> None:
    given = events(*map(event, [START, (0, THOUGHT), (0, "sign", "x"), 0, (1, tool(input={})), ended(), STOP]))
    copies = msgspec.json.encode(given)
    stream = encoder()
    for each in given:
        stream.chunks(each)
    assert msgspec.json.encode(given) == copies


SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "x"}, "caller": {"type": "direct"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"url": "u", "encrypted_content": "e"}]}
PAUSED = [START, (0, "text"), (0, "text", "Let me see. "), 0, (1, tool("a", input={})), 1, (2, SEARCH), 2, (3, FOUND),
          3,
          (4, {"type": "text", "text": " "}), 4, ended("pause_turn")]  # fmt: skip


def test_a_pause_is_no_end_and_what_follows_goes_on_where_it_stood() -> None:
    stream = encoder(ReplyPlan("m", max_continuations=1, include_usage=True))
    assert summaries(stream, *PAUSED, STOP) == [
        ROLE, content("Let me see. "), begun(0, "a"), args(0, "{}"), content(" "),
    ]  # fmt: skip
    assert (stream.state.paused, stream.state.done) == (True, True)
    stream.state.check_complete()
    assert msgspec.json.decode(msgspec.json.encode(stream.continuation_turn)) == {
        "role": "assistant",
        "content": [{"type": "text", "text": "Let me see. "}, tool("a", input={}), SEARCH, FOUND],
    }
    later = stream.restart(stream.plan)
    assert later.content_started
    out = summaries(later, START, {"type": "news"}, (0, "text"), (0, "text", "Done"), (0, "cite", CITE), 0,
                    (1, tool("b")), 1, ended("pause_turn"), STOP)  # fmt: skip
    assert out == [
        content("Done"), cited(13, 17), begun(1, "b"), args(1, "{}"), "length", 28,
    ]  # fmt: skip
    assert later.state.usage == Usage(10, 0, 0, 18)
    assert not later.state.paused
    assert later.state.unknown_types == {"event:news"}


def test_another_attempt_after_a_failure_begins_anew() -> None:
    stream = encoder(ReplyPlan("m", max_continuations=1))
    summaries(stream, START, (0, "text", "a"))
    fresh = stream.restart(stream.plan)
    assert summaries(fresh, START, (0, "text", "b"), ended(), STOP) == [ROLE, content("b"), "stop"]
    assert fresh.state.usage == Usage(5, output_tokens=9)


def test_fences_go_on_over_a_pause() -> None:
    stream = encoder(ReplyPlan("m", max_continuations=1, strip_code_block=True))
    assert summaries(stream, START, (0, "text", "```json\n{"), ended("pause_turn"), STOP) == [ROLE, content("{")]
    assert summaries(stream.restart(stream.plan), START, (0, "text", "}\n```"), ended(), STOP) == [content("}"), "stop"]


def test_without_a_pause_nothing_is_folded() -> None:
    stream = encoder()
    with pytest.raises(AssertionError):
        _ = stream.continuation_turn


def test_input_that_is_no_text_stops_no_stream() -> None:
    stream = encoder()
    block = Block("tool_use", id="c", name="f", input=Raw(b'{"a":"\xff"}'))
    stream.chunks(StreamEvent("content_block_start", 0, content_block=block))
    (chunk,) = stream.chunks(StreamEvent("content_block_stop", 0))
    assert chunk.delta is not None
    assert msgspec.to_builtins(chunk.delta)["tool_calls"][0]["function"] == {"arguments": '{"a":"\ufffd"}'}


def test_a_second_start_forgets_nothing() -> None:
    stream = encoder()
    refused = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "No."}}
    again = {"type": "message_start", "message": {"usage": {"output_tokens": 3}}}
    out = summaries(
        stream, {"type": "message_start", "message": {"usage": {"input_tokens": 5}, **refused}}, again, STOP
    )
    assert stream.state.usage is not None
    assert stream.state.usage.input_tokens == 5
    assert {"refusal": "No."} in out


def test_a_signature_without_one_adds_nothing() -> None:
    stream = encoder()
    summaries(stream, START, (0, {"type": "thinking", "thinking": "h"}), (0, "sign", "a"), (0, "sign", None))
    assert stream.state.thinking_and_tools[0].signature == "a"


def test_a_legacy_function_gets_its_arguments() -> None:
    tool = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    shape = ReplyPlan("m", legacy_function=True)
    out = run(START, (0, tool), (0, "json", '{"a":1}'), 0, (1, tool), (1, "json", "{}"), 1, shape=shape)
    assert [each["function_call"] for each in out[1:]] == [{"name": "f", "arguments": ""}, {"arguments": '{"a":1}'}]


def test_all_that_was_never_ended_is_told_and_the_unknown_ending_noted() -> None:
    tool = {"type": "tool_use", "id": "c", "name": "g", "input": {}}
    stream = encoder(ReplyPlan("m", custom_tools=frozenset({"g"})))
    out = summaries(stream, (0, tool), (1, {**tool, "id": "d"}), ended("news"), STOP)
    assert [each["tool_calls"][0]["id"] for each in out if isinstance(each, dict) and "tool_calls" in each] == [
        "c",
        "d",
    ]
    assert stream.state.unknown_types == {"stop_reason:news"}


ENCODED: list[tuple[str, ReplyPlan, list[Any], bool]] = [
    ("a text block", PLAIN, [START, (0, "text")], True),
    ("no block yet", PLAIN, [START], False),
    ("another block", PLAIN, [START, (1, "text")], False),
    ("no text block", PLAIN, [START, (0, tool())], False),
    ("before the role was told", PLAIN, [(0, "text")], False),
    ("fences to strip", ReplyPlan("m", strip_code_block=True), [START, (0, "text")], False),
    ("behind the end", PLAIN, [START, (0, "text"), STOP], False),
]


@pytest.mark.parametrize(("shape", "before", "taken"), [c[1:] for c in ENCODED], ids=[c[0] for c in ENCODED])
def test_text_that_is_encoded_already_is_taken_where_it_needs_nothing_more(
    shape: ReplyPlan, before: list[Any], taken: bool
) -> None:
    stream = encoder(shape)
    summaries(stream, *before)
    started = stream.content_started
    assert (stream.feed_run(TextDeltaRun(0, [b"a", b"bc"], 3)) is not None) is taken
    assert stream.content_started is (taken or started)


def test_a_silent_stream_gets_a_comment() -> None:
    assert encoder().keep_alive(5.0) == b": ping\n\n"
