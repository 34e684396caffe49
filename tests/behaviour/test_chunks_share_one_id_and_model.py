"""Risk: chunks of one stream cannot be matched to each other, or name a model that the client did not request."""

from __future__ import annotations

import pytest

from support.blocks import NEW, Json, reply_of, text, thinking_block, tool, tool_use
from support.chat import chat

pytestmark = pytest.mark.usefixtures("no_waiting")


async def test_e19_all_chunks_have_one_id_time_and_model() -> None:
    """Every chunk, the one with the usage too, has the same id, creation time and model."""
    blocks = [thinking_block(), text("Hello"), tool_use()]
    reply = reply_of(*blocks, stop_reason="tool_use", stream=True)
    got = await chat(reply, stream=True, tools=[tool()], stream_options={"include_usage": True})
    identities = {(c["id"], c["created"], c["model"], c["object"]) for c in got.chunks}
    assert len(got.chunks) > 8
    assert len(identities) == 1
    assert next(iter(identities))[0].startswith("chatcmpl-")


BLOCKS = [thinking_block(), text("Hello"), tool_use()]


async def test_e89_usage_chunk_has_the_id_of_the_stream() -> None:
    """The usage chunk too, which is the one that is logged."""
    options: Json = {"model": NEW, "stream": True, "tools": [tool()], "stream_options": {"include_usage": True}}
    first = await chat(reply_of(*BLOCKS, stop_reason="tool_use", stream=True), **options)
    second = await chat(reply_of(*BLOCKS, stop_reason="tool_use", stream=True), app=first.app, **options)
    for got in (first, second):
        assert got.chunks[-1]["usage"]
        ((id, created, kind),) = {(chunk["id"], chunk["created"], chunk["object"]) for chunk in got.chunks}
        assert id.startswith("chatcmpl-")
        assert (type(created), kind) == (int, "chat.completion.chunk")
    assert first.chunks[0]["id"] != second.chunks[0]["id"]


WAYS = [False, True]


def _counted(stream: bool) -> Json:
    return {"stream_options": {"include_usage": True}} if stream else {}


@pytest.mark.parametrize("stream", WAYS)
@pytest.mark.parametrize("name", ["claude-sonnet-4-5", "anthropic/claude-sonnet-4-5", "fast"])
async def test_e91_response_names_the_model_as_the_client_does(name: str, stream: bool) -> None:
    """The requested name everywhere in the response, the resolved one only in a header."""
    id = "claude-sonnet-4-5@20250929"
    settings = {"vertex": {"models": [{"name": "fast", "model": id}]}}
    reply = reply_of(text("Hello"), stream=stream, **({} if stream else {"model": "claude-sonnet-4-5-20250929"}))
    got = await chat(reply, model=name, stream=stream, settings=settings, **_counted(stream))
    answered = {chunk["model"] for chunk in got.chunks} if stream else {got.response.json()["model"]}
    assert answered == {name}
    assert b"20250929" not in got.response.body
    assert got.response.headers["x-modelmux-model"] == id
