"""What other gateways got wrong, one test a case, E1 to E13: streams, and failures in them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from support.fakes import FakeReply, FakeUpstream, error_reply, event, stream_reply, text_events
from support.gateway import gateway
from support.lessons import (
    SONNET,
    Json,
    answer,
    ask,
    begin,
    closing,
    delta,
    end,
    opening,
    text,
    together,
    told,
    tool,
    tool_use,
)

OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
NO_RETRIES = {"retries": {"max": 0}}
TWO_PLACES = {"vertex": {"models": [{"name": "m", "model": SONNET, "locations": ["global", "eu"]}]}}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(_: float) -> None:
        return None

    monkeypatch.setattr("modelmux.app.asyncio.sleep", sleep)


def same(response: Any) -> list[Any]:
    """A stream's events without what differs between any two."""
    return [e if e == "[DONE]" else {k: v for k, v in e.items() if k not in ("id", "created")} for e in response]


async def test_e01_parallel_calls_are_counted_not_named_by_block() -> None:
    """Two tool calls after a text block: their indexes are 0 and 1, although they are blocks 1 and 2."""
    blocks = [text("I look."), tool_use("toolu_a"), tool_use("toolu_b", value={"city": "Rome"})]
    got = await ask(answer(*blocks, stop_reason="tool_use", stream=True), stream=True, tools=[tool()])
    parts = [part for given in got.deltas for part in given.get("tool_calls", ())]
    assert [part["index"] for part in parts] == [0, 0, 0, 1, 1, 1]
    assert [(part["id"], part["index"]) for part in parts if "id" in part] == [("toolu_a", 0), ("toolu_b", 1)]


@pytest.mark.parametrize("pieces", [[], [""], ["", ""]], ids=["none", "one empty", "two empty"])
async def test_e02_a_call_without_arguments_has_an_empty_object(pieces: list[str]) -> None:
    """A tool call whose arguments never arrive: the whole stream says ``{}`` exactly once, not nothing, not twice."""
    inputs = [delta(0, "input_json_delta", partial_json=piece) for piece in pieces]
    reply = stream_reply(opening(), begin(0, tool_use(value={})), *inputs, end(0), *closing("tool_use"))
    got = await ask(reply, stream=True, tools=[tool()])
    given = [p["function"]["arguments"] for d in got.deltas for p in d.get("tool_calls", ())]
    assert [arguments for arguments in given if arguments] == ["{}"]
    assert together(got.deltas)["tool_calls"][0]["function"]["arguments"] == "{}"


async def test_e03_input_of_a_server_tool_is_no_tool_call() -> None:
    """Argument pieces that belong to a tool run by the server show the client no call of its own."""
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    got = await ask(answer(search, text("Found."), stream=True), stream=True, web_search_options={})
    assert b"tool_calls" not in got.response.body
    assert (got.message["content"], got.finish) == ("Found.", "stop")


@pytest.mark.parametrize("kind", ["text", "thinking", "mcp_tool_use", "of_next_year"])
async def test_e03_input_in_a_block_that_is_no_tool_call_is_left_out(kind: str) -> None:
    """Argument pieces where they do not belong: nothing is called, and the text after them is all there."""
    odd: Json = {"type": kind, "text": "", "thinking": "", "id": "x", "name": "y", "input": {}}
    pieces = [begin(0, odd), delta(0, "input_json_delta", partial_json='{"a":1}'), end(0), *told(1, text("Hi"))]
    got = await ask(stream_reply(opening(), *pieces, *closing()), stream=True)
    assert b"tool_calls" not in got.response.body
    assert (got.message["content"], got.finish) == ("Hi", "stop")


async def test_e04_characters_cut_by_the_network_stay_whole() -> None:
    """Characters of two to four bytes arrive one byte at a time: the text is the same."""
    said = "héllo — 漢字 🎉👩‍👩‍👧 ü"
    stream = event("content_block_delta", index=0, delta={"type": "text_delta", "text": said})
    raw = stream.replace(json.dumps(said).encode(), json.dumps(said, ensure_ascii=False).encode())
    assert "漢".encode() in raw
    first, *_ = text_events("x")
    whole = b"".join([first, begin(0, text("")), raw, end(0), *closing()])
    got = await ask(stream_reply(*(whole[i : i + 1] for i in range(len(whole)))), stream=True)
    assert got.message["content"] == said


async def test_e05_any_cut_and_any_framing_give_the_same_stream() -> None:
    """The upstream's bytes cut in two anywhere, with CR LF line ends, or with an event's data on several lines."""
    events = [opening(), *told(0, text("Grüße, 漢")), *told(1, tool_use(value={"a": "b"})), *closing("tool_use")]
    plain = b"".join(events)
    expected = same((await ask(stream_reply(plain), stream=True)).response.events())
    assert together([e["choices"][0]["delta"] for e in expected[:-1]])["content"] == "Grüße, 漢"
    crlf = plain.replace(b"\n", b"\r\n")
    several = plain.replace(b', "', b',\ndata: "')
    assert several.count(b"data:") > plain.count(b"data:")
    app = gateway(FakeUpstream([]))
    for framed in (plain, crlf, several):
        for cut in range(len(framed)):
            got = await ask(stream_reply(framed[:cut], framed[cut:]), app=app, stream=True)
            assert same(got.response.events()) == expected, (cut, framed[:cut][-40:])


async def test_e06_a_huge_event_in_small_pieces_costs_linear_time() -> None:
    """One event of a megabyte that arrives in kilobytes: no piece holds the loop for 5 ms, four times the size takes
    about four times as long. CPU time of this thread, the best of several runs."""

    async def run(size: int) -> tuple[float, float]:
        data = b"".join([opening(), begin(0, text("")), delta(0, "text_delta", text="x" * size), end(0), *closing()])
        longest = [0.0]

        class Slow(FakeReply):
            async def _iterate(self) -> Any:
                for start in range(0, len(data), 1024):
                    before = time.thread_time()
                    yield data[start : start + 1024]
                    longest[0] = max(longest[0], time.thread_time() - before)

        slow = Slow(200, stream_reply().headers, [])
        before = time.thread_time()
        got = await ask(slow, stream=True)
        total = time.thread_time() - before
        assert len(got.message["content"]) == size
        return total, longest[0]

    small = [await run(1 << 20) for _ in range(4)]
    large = [await run(1 << 22) for _ in range(2)]
    assert min(longest for _, longest in small) < 0.005
    assert min(total for total, _ in large) < 10 * min(total for total, _ in small)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("pieces", [[], [opening()], [opening(), begin(0, text(""))]], ids=["none", "start", "block"])
async def test_e07_an_early_end_is_an_error_status_not_an_empty_answer(pieces: list[bytes], stream: bool) -> None:
    """The upstream closes before it said anything: another attempt; failing that 502, which clients retry."""
    got = await ask(stream_reply(*pieces), settings=NO_RETRIES, stream=stream, max_tokens=20_000)
    assert (got.status, got.error["code"]) == (502, "upstream_broken")
    assert got.response.headers.get("x-should-retry") != "false"
    again = await ask(stream_reply(*pieces), stream_reply(*text_events("Hello")), stream=stream, max_tokens=20_000)
    assert (again.status, again.message["content"]) == (200, "Hello")


async def test_e08_an_end_in_the_middle_keeps_the_text_and_says_error() -> None:
    """The upstream closes in the middle of the text: what came stays, an error follows, no ``[DONE]``; it is billed."""
    usage = {"input_tokens": 70, "output_tokens": 1}
    reply = stream_reply(opening(usage), begin(0, text("")), delta(0, "text_delta", text="Once upon"))
    got = await ask(reply, stream=True)
    *chunks, last = got.response.events()
    assert together([c["choices"][0]["delta"] for c in chunks])["content"] == "Once upon"
    assert all(c["choices"][0]["finish_reason"] is None for c in chunks)
    assert last["error"]["code"] == "upstream_broken"
    assert b"[DONE]" not in got.response.body
    sample = got.app.metrics.registry.get_sample_value
    assert sample("modelmux_tokens_total", {"route": SONNET, "type": "input"}) == 70


async def test_e08_an_end_in_the_middle_of_a_folded_answer_is_no_answer() -> None:
    """The same where the stream is put together for a client that wants no stream: nothing was promised, so it is
    tried again; failing that 502, never half an answer. What was used is billed."""
    pieces = [opening({"input_tokens": 70}), begin(0, text("")), delta(0, "text_delta", text="Once upon")]
    got = await ask(stream_reply(*pieces), answer(text("Whole."), stream=True), max_tokens=20_000)
    assert (got.status, got.message["content"], len(got.upstream.calls)) == (200, "Whole.", 2)
    got = await ask(stream_reply(*pieces), settings=NO_RETRIES, max_tokens=20_000)
    assert (got.status, got.error["code"]) == (502, "upstream_broken")
    sample = got.app.metrics.registry.get_sample_value
    assert sample("modelmux_tokens_total", {"route": SONNET, "type": "input"}) == 70


@pytest.mark.parametrize("settings", [{}, TWO_PLACES], ids=["same place", "other place"])
async def test_e09_overload_before_content_is_never_seen(settings: Json) -> None:
    """A 200 stream that only says "Overloaded": tried again, elsewhere if there is one; the client sees one stream."""
    model = "m" if settings else SONNET
    replies = [stream_reply(opening(), OVERLOADED), stream_reply(*text_events("fine"))]
    got = await ask(*replies, settings=dict(settings), model=model, stream=True)
    assert got.message["content"] == "fine"
    assert [given["role"] for given in got.deltas if "role" in given] == ["assistant"]
    assert b"error" not in got.response.body
    hosts = [made.origin.host for made in got.upstream.calls]
    second = "aiplatform.eu.rep.googleapis.com" if settings else "aiplatform.googleapis.com"
    assert hosts == ["aiplatform.googleapis.com", second]


async def test_e10_overload_after_content_is_one_readable_error() -> None:
    """The same after the first words: an error object with message and type, and no second attempt."""
    reply = stream_reply(opening(), begin(0, text("")), delta(0, "text_delta", text="Once"), OVERLOADED)
    got = await ask(reply, stream_reply(*text_events("again")), settings=TWO_PLACES, model="m", stream=True)
    last = got.response.events()[-1]
    assert last == {
        "error": {"message": "Overloaded", "type": "server_error", "param": None, "code": "overloaded"},
    }
    assert got.response.body.count(b'"error"') == 1
    assert len(got.upstream.calls) == 1


@pytest.mark.parametrize("begun", [False, True], ids=["before content", "after content"])
async def test_e11_a_quota_error_in_a_stream_ends_the_work(begun: bool) -> None:
    """429 inside a stream and nowhere else to go: one error, and nothing keeps running afterwards."""
    limited = event("error", error={"type": "rate_limit_error", "message": "Quota"})
    said = [begin(0, text("")), delta(0, "text_delta", text="Once")] if begun else []
    got = await ask(stream_reply(opening(), *said, limited), settings=NO_RETRIES, stream=True)
    error = got.response.events()[-1]["error"] if begun else got.error
    assert got.status == (200 if begun else 429)
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert got.response.body.count(b'"error"') == 1
    assert len(got.upstream.calls) == 1
    assert got.upstream.replies[0].closed
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert got.app.metrics.registry.get_sample_value("modelmux_requests_in_flight") == 0


@pytest.mark.parametrize("pieces", [[opening(), OVERLOADED], [OVERLOADED]])
async def test_e12_switched_off_means_off_inside_a_stream_too(pieces: list[bytes]) -> None:
    """Retries switched off: no other place is tried, for an error status and for an error inside a stream alike."""
    settings = NO_RETRIES | TWO_PLACES
    spare = stream_reply(*text_events("elsewhere"))
    got = await ask(stream_reply(*pieces), spare, settings=dict(settings), model="m", stream=True)
    assert (got.status, got.error["code"], len(got.upstream.calls)) == (503, "overloaded", 1)
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    got = await ask(error_reply(529, body), spare, settings=dict(settings), model="m")
    assert (got.status, got.error["code"], len(got.upstream.calls)) == (503, "overloaded", 1)
    got = await ask(stream_reply(opening(), *told(0, text("Once")), OVERLOADED), spare, settings=dict(settings),
                    model="m", stream=True)  # fmt: skip
    assert (got.status, got.response.events()[-1]["error"]["code"], len(got.upstream.calls)) == (200, "overloaded", 1)


WHY = {"type": "refusal", "category": "cyber", "explanation": "That would help an attacker."}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("details", "said"),
    [
        (WHY, "That would help an attacker."),
        ({**WHY, "explanation": None}, "The model refused to answer."),
        (None, "The model refused to answer."),
    ],
    ids=["explained", "not explained", "no details"],
)
async def test_e13_a_refusal_is_a_refusal(details: Json | None, said: str, stream: bool) -> None:
    """The model refuses and says nothing: 200, ``content_filter``, and the reason in ``message.refusal``."""
    got = await ask(answer(stop_reason="refusal", stop_details=details, stream=stream), stream=stream)
    assert (got.status, got.finish) == (200, "content_filter")
    assert got.message["refusal"] == said
    assert not got.message["content"]
