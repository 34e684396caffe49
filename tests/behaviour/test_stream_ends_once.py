"""Risk: a stream that breaks looks complete, ends twice, or hides the error that ended it."""

from __future__ import annotations

import asyncio

import pytest

from modelmux.errors import UpstreamTimeout
from support.blocks import SONNET, Json, block_events, block_start, delta, message_end, message_start, reply_of, text
from support.chat import broken_stream, chat, finish_reasons, fold_deltas, token_count
from support.fakes import error_reply, event, stream_reply, text_events

pytestmark = pytest.mark.usefixtures("no_waiting")

NO_RETRIES = {"retries": {"max": 0}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "pieces", [[], [message_start()], [message_start(), block_start(0, text(""))]], ids=["none", "start", "block"]
)
async def test_e7_connection_closed_before_content_is_an_error_status(pieces: list[bytes], stream: bool) -> None:
    """The upstream closes before any content: another attempt is made; if that fails too, a 502, which clients
    retry."""
    got = await chat(stream_reply(*pieces), settings=NO_RETRIES, stream=stream, max_tokens=20_000)
    assert (got.status, got.error["code"]) == (502, "upstream_broken")
    assert got.response.headers.get("x-should-retry") != "false"
    again = await chat(stream_reply(*pieces), stream_reply(*text_events("Hello")), stream=stream, max_tokens=20_000)
    assert (again.status, again.message["content"]) == (200, "Hello")


async def test_e8_connection_closed_after_content_is_an_in_band_error() -> None:
    """The upstream closes in the middle of the text: the text so far, then an error, no ``[DONE]``; usage is
    counted."""
    usage = {"input_tokens": 70, "output_tokens": 1}
    reply = stream_reply(message_start(usage), block_start(0, text("")), delta(0, "text_delta", text="Once upon"))
    got = await chat(reply, stream=True)
    *chunks, last = got.response.events()
    assert fold_deltas([c["choices"][0]["delta"] for c in chunks])["content"] == "Once upon"
    assert all(c["choices"][0]["finish_reason"] is None for c in chunks)
    assert last["error"]["code"] == "upstream_broken"
    assert b"[DONE]" not in got.response.body
    sample = got.app.metrics.registry.get_sample_value
    assert sample("modelmux_tokens_total", {"route": SONNET, "type": "input"}) == 70


async def test_e8_connection_closed_during_a_unary_response_is_retried() -> None:
    """A unary response that is streamed upstream: nothing was sent yet, so it is retried; if that fails too, a 502,
    never half a message. Usage is counted."""
    pieces = [message_start({"input_tokens": 70}), block_start(0, text("")), delta(0, "text_delta", text="Once upon")]
    got = await chat(stream_reply(*pieces), reply_of(text("Whole."), stream=True), max_tokens=20_000)
    assert (got.status, got.message["content"], len(got.upstream.calls)) == (200, "Whole.", 2)
    got = await chat(stream_reply(*pieces), settings=NO_RETRIES, max_tokens=20_000)
    assert (got.status, got.error["code"]) == (502, "upstream_broken")
    sample = got.app.metrics.registry.get_sample_value
    assert sample("modelmux_tokens_total", {"route": SONNET, "type": "input"}) == 70


OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


TWO_LOCATIONS_CONFIG = {"vertex": {"models": [{"name": "m", "model": SONNET, "locations": ["global", "eu"]}]}}


async def test_e10_overload_after_content_is_one_error_and_no_retry() -> None:
    """An overload after the first words: one error object with message and type, and no second attempt."""
    reply = stream_reply(message_start(), block_start(0, text("")), delta(0, "text_delta", text="Once"), OVERLOADED)
    got = await chat(reply, stream_reply(*text_events("again")), settings=TWO_LOCATIONS_CONFIG, model="m", stream=True)
    last = got.response.events()[-1]
    assert last == {
        "error": {"message": "Overloaded", "type": "server_error", "param": None, "code": "overloaded"},
    }
    assert got.response.body.count(b'"error"') == 1
    assert len(got.upstream.calls) == 1


@pytest.mark.parametrize("begun", [False, True], ids=["before content", "after content"])
async def test_e11_quota_error_in_a_stream_ends_the_request(begun: bool) -> None:
    """429 inside a stream and no other deployment: one error, and no task keeps running afterwards."""
    limited = event("error", error={"type": "rate_limit_error", "message": "Quota"})
    content = [block_start(0, text("")), delta(0, "text_delta", text="Once")] if begun else []
    got = await chat(stream_reply(message_start(), *content, limited), settings=NO_RETRIES, stream=True)
    error = got.response.events()[-1]["error"] if begun else got.error
    assert got.status == (200 if begun else 429)
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert got.response.body.count(b'"error"') == 1
    assert len(got.upstream.calls) == 1
    assert got.upstream.replies[0].closed
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert got.app.metrics.registry.get_sample_value("modelmux_requests_in_flight") == 0


async def test_e90_a_second_message_start_is_ignored() -> None:
    """An upstream, or a proxy before it, starts the message twice: the client sees the role once, at the start."""
    counts = {"input_tokens": 7, "output_tokens": 1}
    reply = stream_reply(
        message_start(counts),
        *block_events(0, text("Hello")),
        message_start(counts),
        *block_events(1, text("!")),
        *message_end(),
    )
    got = await chat(reply, stream=True, stream_options={"include_usage": True})
    assert [index for index, piece in enumerate(got.deltas) if "role" in piece] == [0]
    assert got.message["content"] == "Hello!"
    assert got.usage["prompt_tokens"] == 7


OVERLOADED_ERROR: Json = {"type": "overloaded_error", "message": "Overloaded"}


async def test_e103_error_after_content_is_sent_in_band() -> None:
    """No finish reason, no ``[DONE]``, an error that clients raise on; counted as an error of the upstream."""
    reply = stream_reply(*text_events("Hel", "lo")[:-3], event("error", error=OVERLOADED_ERROR))
    got = await chat(reply, reply_of(text("Never."), stream=True), stream=True)
    chunks, error = broken_stream(got)
    assert finish_reasons(chunks) == []
    assert "".join(c["delta"].get("content", "") for chunk in chunks for c in chunk["choices"]) == "Hello"
    assert error["message"]
    assert error["type"] not in (None, "", "error")
    assert len(got.upstream.calls) == 1
    counted = got.app.metrics.expose().decode()
    assert f'{{outcome="upstream_error",route="{SONNET}"}} 1.0' in counted
    assert 'outcome="ok"' not in counted
    assert got.app.metrics.health()["failed_requests"] == 1


@pytest.mark.usefixtures("no_waiting")
async def test_e103_error_during_a_unary_response_is_a_status() -> None:
    """A unary response that is streamed upstream: an error inside the stream becomes a status."""
    failed = [stream_reply(*text_events("Hello")[:-3], event("error", error=OVERLOADED_ERROR)) for _ in range(9)]
    got = await chat(*failed, max_tokens=30_000)
    assert (got.status, "choices" in got.response.json()) == (503, False)
    got = await chat(*[error_reply(529, {"type": "error", "error": OVERLOADED_ERROR}) for _ in range(9)])
    assert (got.status, "choices" in got.response.json()) == (503, False)


async def test_g13_usage_of_a_broken_stream_is_counted() -> None:
    got = await chat(
        stream_reply(message_start(), block_start(0, text("")), delta(0, "text_delta", text="Hel")), stream=True
    )
    broken_stream(got)
    assert token_count(got.app, "input") == 7
    assert got.app.metrics.failed == 1
    assert sum(m.value for f in got.app.metrics.requests.collect() for m in f.samples if m.name.endswith("_total")) == 1


@pytest.mark.parametrize("count", [4, 5, 6])
async def test_g21_stream_without_message_stop_is_an_error(count: int) -> None:
    got = await chat(stream_reply(*text_events("Hello")[:count]), stream=True)
    chunks, error = broken_stream(got)
    assert error["code"] == "upstream_broken"
    assert b"[DONE]" not in got.response.body
    assert chunks


async def test_g25_idle_upstream_ends_in_a_timeout_error() -> None:
    start = text_events("Hello")[:4]
    got = await chat(stream_reply(*start, UpstreamTimeout("Nothing came for 300 s.", clock="idle")), stream=True)
    _, error = broken_stream(got)
    assert error["code"] == "upstream_timeout"
    assert 0 < got.upstream.calls[0].timeouts.idle <= 600
    assert 0 < got.upstream.calls[0].timeouts.first_byte <= 900
