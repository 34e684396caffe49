"""Risk: an unusual upstream reply loses content that is usable, or its error is hidden."""

from __future__ import annotations

import pytest

from modelmux.app import Gateway
from modelmux.config import Config
from support.blocks import block_start, delta, message_start, reply_of, text
from support.chat import chat
from support.clock import current_runtime
from support.fakes import (
    JSON_HEADERS,
    SSE_HEADERS,
    FakeReply,
    FakeTokens,
    FakeUpstream,
    event,
    stream_reply,
    text_events,
)
from support.log_lines import Lines

NO_RETRIES = {"retries": {"max": 0}}
GOOGLES = b'data: {"error":{"code":429,"message":"Quota is used up.","status":"RESOURCE_EXHAUSTED"}}\n\n'


@pytest.mark.parametrize("stream", [False, True])
async def test_counts_below_nothing_do_not_disturb_an_answer(stream: bool) -> None:
    """The response is complete before its tokens are counted: counting must not add an error to it."""
    usage = {"input_tokens": -7, "output_tokens": 3}
    got = await chat(reply_of(text("Hello"), usage=usage, stream=stream), stream=stream)
    assert got.status == 200
    assert got.message["content"] == "Hello"
    assert b"error" not in got.response.body
    sample = got.app.metrics.registry.get_sample_value
    assert sample("modelmux_requests_in_flight") == 0
    assert got.app.metrics.health()["failed_requests"] == 0


@pytest.mark.parametrize("begun", [False, True], ids=["before content", "after content"])
async def test_an_error_of_googles_own_in_a_stream_keeps_its_meaning(begun: bool) -> None:
    """Without Anthropic's type it is a quota error all the same, not a broken stream."""
    content = [block_start(0, text("")), delta(0, "text_delta", text="Once")] if begun else []
    got = await chat(stream_reply(message_start(), *content, GOOGLES), settings=NO_RETRIES, stream=True)
    error = got.response.events()[-1]["error"] if begun else got.error
    assert got.status == (200 if begun else 429)
    assert (error["code"], error["message"]) == ("rate_limit_exceeded", "Quota is used up.")
    assert b"[DONE]" not in got.response.body


async def test_half_a_character_costs_itself_and_not_the_answer() -> None:
    """An escaped surrogate without its other half, where a model or an encoder cut an emoji in two."""
    half = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a\ud83d"})
    assert b"\\ud83d" in half
    pieces = [message_start(), block_start(0, text("")), half, delta(0, "text_delta", text="b"), event("message_stop")]
    got = await chat(stream_reply(*pieces), stream=True)
    assert got.message["content"] == "a\ufffdb"
    unary = reply_of(text("a\ud83d"))
    got = await chat(unary)
    assert got.message["content"] == "a\ufffd"


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_no_error_inside_a_stream_names_the_project(stream: bool, begun: bool) -> None:
    content = [block_start(0, text("")), delta(0, "text_delta", text="Once")] if begun else []
    failure = event("error", error={"type": "overloaded_error", "message": "Quota of acme-prod used up"})
    settings = {"retries": {"max": 0}, "vertex": {"project": "acme-prod"}}
    got = await chat(
        stream_reply(message_start(), *content, failure), stream=stream, max_tokens=30_000, settings=settings
    )
    assert b"acme-prod" not in got.response.body
    assert b"Quota of ***" in got.response.body


NOTHING = [(b"{}", 502), (b'{"error":{"code":429,"message":"q","status":"RESOURCE_EXHAUSTED"}}', 429)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("body", "status"), NOTHING)
async def test_a_reply_that_says_nothing_is_no_empty_answer(body: bytes, status: int, stream: bool) -> None:
    settings = {"retries": {"max": 0}}
    got = await chat(FakeReply(200, JSON_HEADERS, [body]), stream=stream, settings=settings)
    assert got.status == status


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("glued", [False, True])
async def test_what_follows_the_end_is_not_looked_at(stream: bool, glued: bool) -> None:
    pieces = [*text_events("Hi"), b"data: [DONE]\n\n"]
    reply = FakeReply(200, SSE_HEADERS, [b"".join(pieces)] if glued else pieces)
    got = await chat(reply, stream=stream, max_tokens=30_000)
    assert got.message["content"] == "Hi"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_block_nobody_knows_is_logged_and_one_of_a_server_tool_is_not(stream: bool) -> None:
    blocks = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "hologram"},
        text("Hi"),
    ]
    log, upstream = Lines(), FakeUpstream([])
    app = Gateway(Config.from_dict({"vertex": {"project": "p", "location": "global"}}), log=log, upstream=upstream,
                  tokens=FakeTokens(), runtime=current_runtime())  # fmt: skip
    got = await chat(reply_of(*blocks, stream=stream), app=app, stream=stream)
    assert got.message["content"] == "Hi"
    assert [fields["types"] for _, fields in log.lines if "types" in fields] == [["block:hologram"]]
