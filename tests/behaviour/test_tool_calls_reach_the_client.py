"""Risk: tool calls of a reply are merged, altered, lost, or completed by guesswork."""

from __future__ import annotations

import json

import pytest

from support.blocks import (
    Json,
    block_events,
    block_start,
    block_stop,
    delta,
    message_end,
    message_start,
    reply_of,
    text,
    tool,
    tool_use,
)
from support.chat import Outcome, argument_pieces, broken_stream, chat, finish_reasons, fold_deltas
from support.fakes import FakeReply, stream_reply

pytestmark = pytest.mark.usefixtures("no_waiting")


async def test_e1_parallel_calls_have_consecutive_indexes() -> None:
    """Two tool calls after a text block: their indexes are 0 and 1, although they are blocks 1 and 2."""
    blocks = [text("I look."), tool_use("toolu_a"), tool_use("toolu_b", value={"city": "Rome"})]
    got = await chat(reply_of(*blocks, stop_reason="tool_use", stream=True), stream=True, tools=[tool()])
    parts = [part for piece in got.deltas for part in piece.get("tool_calls", ())]
    assert [part["index"] for part in parts] == [0, 0, 0, 1, 1, 1]
    assert [(part["id"], part["index"]) for part in parts if "id" in part] == [("toolu_a", 0), ("toolu_b", 1)]


@pytest.mark.parametrize("pieces", [[], [""], ["", ""]], ids=["none", "one empty", "two empty"])
async def test_e2_call_without_arguments_has_an_empty_object(pieces: list[str]) -> None:
    """A tool call whose arguments never arrive: the stream says ``{}`` exactly once."""
    inputs = [delta(0, "input_json_delta", partial_json=piece) for piece in pieces]
    reply = stream_reply(
        message_start(), block_start(0, tool_use(value={})), *inputs, block_stop(0), *message_end("tool_use")
    )
    got = await chat(reply, stream=True, tools=[tool()])
    arguments_sent = [p["function"]["arguments"] for d in got.deltas for p in d.get("tool_calls", ())]
    assert [arguments for arguments in arguments_sent if arguments] == ["{}"]
    assert fold_deltas(got.deltas)["tool_calls"][0]["function"]["arguments"] == "{}"


async def test_e3_input_of_a_server_tool_is_not_a_tool_call() -> None:
    """Argument pieces of a tool that the server runs are not a call for the client."""
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    got = await chat(reply_of(search, text("Found."), stream=True), stream=True, web_search_options={})
    assert b"tool_calls" not in got.response.body
    assert (got.message["content"], got.finish) == ("Found.", "stop")


@pytest.mark.parametrize("kind", ["text", "thinking", "mcp_tool_use", "of_next_year"])
async def test_e3_input_in_any_other_block_is_ignored(kind: str) -> None:
    """Argument pieces in a block that is not a tool call: nothing is called, and the text after them is complete."""
    odd: Json = {"type": kind, "text": "", "thinking": "", "id": "x", "name": "y", "input": {}}
    pieces = [
        block_start(0, odd),
        delta(0, "input_json_delta", partial_json='{"a":1}'),
        block_stop(0),
        *block_events(1, text("Hi")),
    ]
    got = await chat(stream_reply(message_start(), *pieces, *message_end()), stream=True)
    assert b"tool_calls" not in got.response.body
    assert (got.message["content"], got.finish) == ("Hi", "stop")


CITATION = {
    "type": "web_search_result_location",
    "url": "https://example.com/a",
    "title": "A",
    "cited_text": "blue",
    "encrypted_index": "x",
}


@pytest.mark.parametrize("stream", [False, True])
async def test_e62_web_search_shows_as_annotations(stream: bool) -> None:
    """The model searched the web: the client sees the text and its citations, and no call that it would have to
    answer."""
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "sky"}}
    search_result = {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [{"type": "web_search_result", "url": "https://example.com/a", "title": "A"}],
    }
    blocks = [text("I look. "), search, search_result, text("The sky is blue.", citations=[CITATION])]
    got = await chat(reply_of(*blocks, stream=stream), stream=stream, web_search_options={})
    assert got.sent["tools"] == [{"type": "web_search_20250305", "name": "web_search"}]
    assert (got.finish, got.message["content"]) == ("stop", "I look. The sky is blue.")
    assert "tool_calls" not in got.message
    cited = {"start_index": 8, "end_index": 24, "url": "https://example.com/a", "title": "A"}
    assert got.message["annotations"] == [{"type": "url_citation", "url_citation": cited}]


#: What arrives of a call that runs `rm -rf /tmp/build`: up to here it would remove more.
CUT = ["", '{"comm', 'and": "rm -rf /', "tmp"]


def cut_call(*rest: bytes) -> FakeReply:
    """A stream that stops in the middle of a tool's arguments."""
    pieces = [delta(0, "input_json_delta", partial_json=piece) for piece in CUT]
    return stream_reply(message_start(), block_start(0, tool_use(name="shell", value={})), *pieces, *rest)


async def test_e79_arguments_cut_by_the_token_limit_are_not_repaired() -> None:
    """Repaired to valid JSON they would look like a call to run; the finish reason says that something is missing."""
    reply = cut_call(block_stop(0), *message_end("max_tokens"))
    got = await chat(reply, stream=True, tools=[tool("shell")])
    assert got.finish == "length"
    assert [piece for piece in argument_pieces(got.chunks) if piece] == CUT[1:]
    assert got.message["tool_calls"][0]["function"]["arguments"] == "".join(CUT)


async def test_e79_cut_arguments_of_a_unary_response_are_not_repaired() -> None:
    """A unary response that is streamed upstream."""
    reply = cut_call(block_stop(0), *message_end("max_tokens"))
    got = await chat(reply, max_tokens=30_000, tools=[tool("shell")])
    assert got.upstream.calls[0].target.endswith(":streamRawPredict")
    assert got.finish == "length"
    assert got.message["tool_calls"][0]["function"]["arguments"] == "".join(CUT)


async def test_e79_stream_that_breaks_in_a_call_is_an_error() -> None:
    got = await chat(cut_call(), stream=True, tools=[tool("shell")])
    chunks, error = broken_stream(got)
    assert error["message"]
    assert finish_reasons(chunks) == []
    assert "".join(argument_pieces(chunks)) == "".join(CUT)


@pytest.mark.usefixtures("no_waiting")
async def test_e79_unary_response_that_breaks_in_a_call_is_retried() -> None:
    """The client has seen nothing: it is retried, and if that is no better the client gets an error, never half a
    call."""
    got = await chat(*[cut_call() for _ in range(9)], max_tokens=30_000, tools=[tool("shell")])
    assert (got.status, "choices" in got.response.json()) == (502, False)
    assert b"rm -rf" not in got.response.body
    complete = reply_of(tool_use(name="shell", value={"command": "ls"}), stop_reason="tool_use", stream=True)
    got = await chat(cut_call(), complete, max_tokens=30_000, tools=[tool("shell")])
    assert json.loads(got.message["tool_calls"][0]["function"]["arguments"]) == {"command": "ls"}


@pytest.mark.parametrize("pieces", [['{"a', '":', " [1,", "\n", "2"], ["nonsense"], ['{"a":1}', '{"b":2}'], ["\\u12"]])
async def test_e80_argument_pieces_are_forwarded_unparsed(pieces: list[str]) -> None:
    """Pieces are forwarded as they come, even where they never become JSON."""
    deltas = [delta(0, "input_json_delta", partial_json=piece) for piece in pieces]
    reply = stream_reply(
        message_start(), block_start(0, tool_use(value={})), *deltas, block_stop(0), *message_end("tool_use")
    )
    got = await chat(reply, stream=True, tools=[tool()])
    assert [piece for piece in argument_pieces(got.chunks) if piece] == pieces
    assert got.finish == "tool_calls"


async def test_e104_tool_call_is_streamed_before_the_finish_reason() -> None:
    """The name comes with the start of the block, and the finish reason in a chunk of its own after all arguments."""
    pieces = [block_start(0, tool_use(value={})), delta(0, "input_json_delta", partial_json='{"city":"Paris"}')]
    reply = stream_reply(message_start(), *pieces, block_stop(0), *message_end("tool_use"))
    got = await chat(reply, stream=True, tools=[tool()])
    *before, last = [choice for chunk in got.chunks for choice in chunk["choices"]]
    assert (last["finish_reason"], last["delta"]) == ("tool_calls", {})
    assert [c["finish_reason"] for c in before] == [None] * len(before)
    calls = [part for c in before for part in c["delta"].get("tool_calls", ())]
    assert (calls[0]["function"]["name"], calls[0]["id"]) == ("get_weather", "toolu_1")


async def test_g26_parallel_calls_are_not_merged() -> None:
    blocks = [text("Both."), tool_use("toolu_1"), tool_use("toolu_2", value={"city": "Rome"})]
    got = await chat(reply_of(*blocks, stop_reason="tool_use", stream=True), stream=True, tools=[tool()])
    assert [json.loads(call["function"]["arguments"])["city"] for call in got.message["tool_calls"]] == [
        "Paris",
        "Rome",
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_s26_texts_and_tool_calls_are_not_rewritten(stream: bool) -> None:
    value = {"command": 'rm -rf /tmp/x; echo "é\\n"', "n": 1.0, "deep": {"b": [None, True], "a": ""}}
    got: Outcome = await chat(
        reply_of(text("Run <b>this</b> \u202e now"), tool_use(value=value), stop_reason="tool_use", stream=stream),
        tools=[tool()],
        stream=stream,
    )
    assert got.message["content"] == "Run <b>this</b> \u202e now"
    (call,) = got.message["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == value
    assert call["function"]["name"] == "get_weather"
