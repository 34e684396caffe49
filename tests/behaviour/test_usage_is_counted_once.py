"""Risk: tokens are counted twice or not at all, for the client or in the metrics."""

from __future__ import annotations

import pytest

from support.asgi import request
from support.blocks import NEW, Json, block_events, message_start, reply_of, text, thinking_block, tool, tool_use
from support.chat import chat, token_count
from support.fakes import event, stream_reply

pytestmark = pytest.mark.usefixtures("no_waiting")

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
async def test_e16_usage_in_several_events_is_merged_not_added(start: Json, deltas: list[Json]) -> None:
    """Usage in the first event, in the last, in several, with nulls: a later value replaces an earlier one, a missing
    one does not."""
    pieces = [event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage) for usage in deltas]
    reply = stream_reply(message_start(start), *block_events(0, text("Hi")), *pieces, event("message_stop"))
    got = await chat(reply, stream=True, stream_options={"include_usage": True})
    assert (got.usage["prompt_tokens"], got.usage["completion_tokens"], got.usage["total_tokens"]) == (35, 9, 44)
    folded = await chat(
        stream_reply(message_start(start), *block_events(0, text("Hi")), *pieces, event("message_stop")),
        max_tokens=20_000,
    )
    assert folded.usage == got.usage


@pytest.mark.parametrize("stream", [False, True])
async def test_e17_prompt_tokens_include_cached_tokens(stream: bool) -> None:
    """Anthropic counts cached tokens separately, OpenAI within the prompt: the prompt is the sum of three, with
    details."""
    more = {"stream_options": {"include_usage": True}} if stream else {}
    got = await chat(reply_of(text("Hi"), usage=FULL, stream=stream), stream=stream, **more)
    assert got.usage["prompt_tokens"] == 35
    assert got.usage["completion_tokens"] == 9
    assert got.usage["total_tokens"] == 44
    assert got.usage["prompt_tokens_details"] == {"cached_tokens": 20, "cache_write_tokens": 5}


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": True}], ids=repr)
async def test_e18_usage_is_streamed_only_on_request(options: Json | None) -> None:
    """Not requested: the word usage does not appear. Requested: null in each chunk, then in one chunk without
    choices."""
    got = await chat(stream=True, stream_options=options)
    if not (options or {}).get("include_usage"):
        assert b"usage" not in got.response.body
        return
    *chunks, last = got.chunks
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 10


BLOCKS = [thinking_block(), text("Hello"), tool_use()]


async def test_e88_usage_chunk_has_an_empty_list_of_choices() -> None:
    """Exactly ``[]``: a gateway behind us counts tokens on its own if the list is missing or holds a choice."""
    got = await chat(
        reply_of(*BLOCKS, stop_reason="tool_use", stream=True), model=NEW, stream=True, tools=[tool()],
        stream_options={"include_usage": True},
    )  # fmt: skip
    *others, last = got.chunks
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]
    assert all(len(chunk["choices"]) == 1 and chunk.get("usage") is None for chunk in others)


async def test_e88_no_usage_chunk_unless_requested() -> None:
    got = await chat(reply_of(*BLOCKS, stop_reason="tool_use", stream=True), model=NEW, stream=True, tools=[tool()])
    assert all(chunk["choices"] and not chunk.get("usage") for chunk in got.chunks)


async def test_g11_each_token_is_counted_once() -> None:
    counts = {
        "input_tokens": 10,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 3000,
        "output_tokens": 4,
    }
    for stream in (False, True):
        more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        got = await chat(reply_of(text("Hello"), usage=counts, stream=stream), **more)
        usage = got.usage
        assert usage["prompt_tokens"] == 3210
        assert usage["completion_tokens"] == 4
        assert usage["total_tokens"] == 3214
        assert usage["prompt_tokens_details"]["cached_tokens"] == 200
        kinds = {kind: token_count(got.app, kind) for kind in ("input", "cache_read", "cache_write", "output")}
        assert kinds == {"input": 10, "cache_read": 200, "cache_write": 3000, "output": 4}


async def test_g12_metrics_show_cached_tokens_separately() -> None:
    counts = {"input_tokens": 1, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 4, "output_tokens": 8}
    got = await chat(reply_of(text("Hello"), usage=counts))
    page = (await request(got.app, "GET", "/metrics")).body.decode()
    for kind, count in (("input", 1), ("cache_read", 2), ("cache_write", 4), ("output", 8)):
        assert f'modelmux_tokens_total{{route="claude-sonnet-4-6",type="{kind}"}} {count}.0' in page
