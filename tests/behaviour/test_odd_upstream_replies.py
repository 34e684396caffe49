"""Upstream replies that are almost right: the client gets what can be saved, or one honest error."""

from __future__ import annotations

import pytest

from support.fakes import event, stream_reply
from support.lessons import answer, ask, begin, delta, opening, text

NO_RETRIES = {"server": {"enable_retries": False}}
GOOGLES = b'data: {"error":{"code":429,"message":"Quota is used up.","status":"RESOURCE_EXHAUSTED"}}\n\n'


@pytest.mark.parametrize("stream", [False, True])
async def test_counts_below_nothing_do_not_disturb_an_answer(stream: bool) -> None:
    """The answer is complete when its tokens are counted: counting must not add a second, failed one to it."""
    usage = {"input_tokens": -7, "output_tokens": 3}
    got = await ask(answer(text("Hello"), usage=usage, stream=stream), stream=stream)
    assert got.status == 200
    assert got.message["content"] == "Hello"
    assert b"error" not in got.response.body
    sample = got.app.metrics.registry.get_sample_value
    assert sample("modelmux_requests_in_flight") == 0
    assert got.app.metrics.health()["failed_requests"] == 0


@pytest.mark.parametrize("begun", [False, True], ids=["before content", "after content"])
async def test_an_error_of_googles_own_in_a_stream_keeps_its_meaning(begun: bool) -> None:
    """Without Anthropic's type, and a quota all the same: nobody should read of a broken stream."""
    said = [begin(0, text("")), delta(0, "text_delta", text="Once")] if begun else []
    got = await ask(stream_reply(opening(), *said, GOOGLES), settings=NO_RETRIES, stream=True)
    error = got.response.events()[-1]["error"] if begun else got.error
    assert got.status == (200 if begun else 429)
    assert (error["code"], error["message"]) == ("rate_limit_exceeded", "Quota is used up.")
    assert b"[DONE]" not in got.response.body


async def test_half_a_character_costs_itself_and_not_the_answer() -> None:
    """An escaped surrogate without its other half, where a model or an encoder cut an emoji in two."""
    half = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a\ud83d"})
    assert b"\\ud83d" in half
    pieces = [opening(), begin(0, text("")), half, delta(0, "text_delta", text="b"), event("message_stop")]
    got = await ask(stream_reply(*pieces), stream=True)
    assert got.message["content"] == "a\ufffdb"
    whole = answer(text("a\ud83d"))
    got = await ask(whole)
    assert got.message["content"] == "a\ufffd"
