"""Risk: a client takes a cut, refused or paused message for a complete one, or never runs the tool calls in it."""

from __future__ import annotations

import itertools
import json

import pytest

from modelmux import Config
from modelmux.app import Gateway
from modelmux.wire.http import HttpCall
from support.blocks import NEW, Json, reply_of, text, thinking_block, tool, tool_call, tool_use
from support.chat import chat
from support.clock import current_runtime
from support.fakes import FakeReply, FakeTokens, FakeUpstream
from support.log_lines import Lines

pytestmark = pytest.mark.usefixtures("no_waiting")

WHY = {"type": "refusal", "category": "cyber", "explanation": "That would help an attacker."}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("details", "refusal"),
    [
        (WHY, "That would help an attacker."),
        ({**WHY, "explanation": None}, "The model refused to answer."),
        (None, "The model refused to answer."),
    ],
    ids=["explained", "not explained", "no details"],
)
async def test_e13_a_refusal_is_reported_as_one(details: Json | None, refusal: str, stream: bool) -> None:
    """The model refuses and writes nothing: 200, ``content_filter``, and the reason in ``message.refusal``."""
    got = await chat(reply_of(stop_reason="refusal", stop_details=details, stream=stream), stream=stream)
    assert (got.status, got.finish) == (200, "content_filter")
    assert got.message["refusal"] == refusal
    assert not got.message["content"]


@pytest.mark.parametrize("stream", [False, True])
async def test_e14_unknown_stop_reason_is_a_normal_end(stream: bool) -> None:
    """A stop reason that is not known yet: the message is complete, finish ``stop``, and the log names the reason."""
    log, upstream = Lines(), FakeUpstream([])
    config = Config.from_dict({"vertex": {"project": "p", "location": "global"}})
    app = Gateway(config, log=log, upstream=upstream, tokens=FakeTokens(), runtime=current_runtime())
    got = await chat(reply_of(text("Done."), stop_reason="bedtime", stream=stream), app=app, stream=stream)
    assert (got.status, got.finish, got.message["content"]) == (200, "stop", "Done.")
    assert [fields["types"] for _, fields in log.lines if "types" in fields] == [["stop_reason:bedtime"]]


@pytest.mark.parametrize("stream", [False, True])
async def test_e15_full_context_window_is_length(stream: bool) -> None:
    """The context window was full: the message is cut, so ``length``."""
    reply = reply_of(text("And then"), stop_reason="model_context_window_exceeded", stream=stream)
    got = await chat(reply, stream=stream)
    assert (got.finish, got.message["content"]) == ("length", "And then")


@pytest.mark.parametrize("stream", [False, True])
async def test_e61_end_turn_with_tool_calls_is_tool_calls(stream: bool) -> None:
    """The upstream says ``end_turn`` although it called a tool: the client is told to run it."""
    got = await chat(reply_of(text("I look."), tool_use(), stream=stream), stream=stream, tools=[tool()])
    assert got.finish == "tool_calls"
    assert got.message["tool_calls"] == [tool_call(arguments=got.message["tool_calls"][0]["function"]["arguments"])]


REASONS = [
    ("end_turn", "stop", "tool_calls"),
    ("stop_sequence", "stop", "tool_calls"),
    ("tool_use", "stop", "tool_calls"),
    (None, "stop", "tool_calls"),
    ("max_tokens", "length", "length"),
    ("model_context_window_exceeded", "length", "length"),
    ("compaction", "length", "length"),
    ("pause_turn", "length", "length"),
    ("refusal", "content_filter", "content_filter"),
    ("bedtime", "stop", "stop"),
]


@pytest.mark.parametrize("way", ["whole", "stream", "folded"])
@pytest.mark.parametrize(("reason", "alone", "with_calls"), REASONS)
async def test_e76_each_stop_reason_maps_to_one_finish_reason(
    reason: str | None, alone: str, with_calls: str, way: str
) -> None:
    """Each stop reason, known or invented, with and without tool calls: one finish reason, whether the reply was unary,
    streamed, or streamed and folded."""
    options: Json = {"stream": way == "stream", "max_tokens": 20_000 if way == "folded" else 2000, "tools": [tool()]}
    for blocks, expected in (([text("So.")], alone), ([text("So."), tool_use()], with_calls)):
        got = await chat(reply_of(*blocks, stop_reason=reason, stream=way != "whole"), **options)
        assert (got.status, got.finish) == (200, expected)
        assert got.message["content"] == "So."
        assert ("tool_calls" in got.message) is (len(blocks) == 2)


SEARCH_CALL: Json = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "sky"}}


SEARCH_RESULT: Json = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}


@pytest.mark.parametrize("stream", [False, True])
async def test_e77_paused_turn_is_continued(stream: bool) -> None:
    """A pause for server tools: the upstream is asked to continue, the client sees one message with the usage of both
    calls."""
    usage = {"input_tokens": 10, "output_tokens": 4}
    replies = [
        reply_of(text("I look. "), SEARCH_CALL, SEARCH_RESULT, stop_reason="pause_turn", usage=usage, stream=stream),
        reply_of(text("Blue."), usage=usage, stream=stream),
    ]
    counts = {"stream_options": {"include_usage": True}} if stream else {}
    got = await chat(*replies, stream=stream, web_search_options={}, **counts)
    assert (got.finish, got.message["content"]) == ("stop", "I look. Blue.")
    assert got.usage["total_tokens"] == 28
    assert [turn["role"] for turn in got.turns] == ["user", "assistant"]
    assert got.turns[1]["content"] == [text("I look. "), SEARCH_CALL, SEARCH_RESULT]
    if stream:
        assert len({chunk["id"] for chunk in got.chunks}) == 1
        assert sum("role" in piece for piece in got.deltas) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_e77_paused_turns_are_continued_a_bounded_number_of_times(stream: bool) -> None:
    """A reply that pauses again and again is continued five times, then it ends as cut. One that pauses although no
    search was requested ends as cut at once."""

    numbers = itertools.count()

    def pause(_: HttpCall) -> FakeReply:
        id = f"srvtoolu_{next(numbers)}"
        blocks = [text("On. "), {**SEARCH_CALL, "id": id}, {**SEARCH_RESULT, "tool_use_id": id}]
        return reply_of(*blocks, stop_reason="pause_turn", stream=stream)

    got = await chat(*[pause] * 9, stream=stream, web_search_options={})
    assert (got.finish, got.message["content"], len(got.upstream.calls)) == ("length", "On. " * 6, 6)
    got = await chat(pause, stream=stream)
    assert (got.finish, got.message["content"], len(got.upstream.calls)) == ("length", "On. ", 1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("reason", "finish"), [("bedtime", "stop"), ("refusal", "content_filter")])
async def test_e78_tool_call_of_a_refused_message_is_shown_but_not_to_be_run(
    reason: str, finish: str, stream: bool
) -> None:
    """The reply holds a tool call but was refused or ended for an unknown reason: the call is not lost, and the client
    is not told to run it."""
    reply = reply_of(thinking_block(), tool_use(), stop_reason=reason, stream=stream)
    got = await chat(reply, model=NEW, stream=stream, tools=[tool()])
    assert got.finish == finish
    (call,) = got.message["tool_calls"]
    assert (call["id"], json.loads(call["function"]["arguments"])) == ("toolu_1", {"city": "Paris"})


@pytest.mark.parametrize("way", ["whole", "stream", "folded"])
async def test_e104_stop_reason_tool_use_is_tool_calls(way: str) -> None:
    """Stop reason ``tool_use``: OpenAI's word for it, and the calls themselves, all of them."""
    blocks = [
        thinking_block(),
        text("I look."),
        tool_use("toolu_1"),
        tool_use("toolu_2", "other", {"n": [1, {"x": "ü"}]}),
    ]
    reply = reply_of(*blocks, stop_reason="tool_use", stream=way != "whole")
    options: Json = {"model": NEW, "tools": [tool(), tool("other")], "max_tokens": 30_000 if way == "folded" else 2000}
    got = await chat(reply, stream=way == "stream", **options)
    assert got.finish == "tool_calls"
    assert [(c["id"], c["function"]["name"]) for c in got.message["tool_calls"]] == [
        ("toolu_1", "get_weather"),
        ("toolu_2", "other"),
    ]
    inputs = [json.loads(c["function"]["arguments"]) for c in got.message["tool_calls"]]
    assert inputs == [{"city": "Paris"}, {"n": [1, {"x": "ü"}]}]
    assert b'"tool_use"' not in got.response.body
