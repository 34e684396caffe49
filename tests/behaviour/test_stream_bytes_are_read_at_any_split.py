"""Risk: the network's packets change what a client reads, delay it, or make reading slow."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from support.blocks import block_events, block_start, block_stop, delta, message_end, message_start, text, tool_use
from support.chat import chat, fold_deltas
from support.fakes import SSE_HEADERS, FakeReply, FakeUpstream, event, stream_reply, text_events
from support.gateway import PATH, ask, gateway
from support.work import TWICE, CountedCalls

pytestmark = pytest.mark.usefixtures("no_waiting")


async def test_e4_characters_split_by_the_network_are_intact() -> None:
    """Characters of two to four bytes arrive one byte at a time: the text is the same."""
    content = "héllo — 漢字 🎉👩‍👩‍👧 ü"
    stream = event("content_block_delta", index=0, delta={"type": "text_delta", "text": content})
    raw = stream.replace(json.dumps(content).encode(), json.dumps(content, ensure_ascii=False).encode())
    assert "漢".encode() in raw
    first, *_ = text_events("x")
    data = b"".join([first, block_start(0, text("")), raw, block_stop(0), *message_end()])
    got = await chat(stream_reply(*(data[i : i + 1] for i in range(len(data)))), stream=True)
    assert got.message["content"] == content


def without_ids(response: Any) -> list[Any]:
    """A stream's events without what differs between any two."""
    return [e if e == "[DONE]" else {k: v for k, v in e.items() if k not in ("id", "created")} for e in response]


async def test_e5_any_split_and_any_framing_give_the_same_stream() -> None:
    """The upstream's bytes split in two anywhere, with CR LF line ends, or with an event's data on several lines."""
    events = [
        message_start(),
        *block_events(0, text("Grüße, 漢")),
        *block_events(1, tool_use(value={"a": "b"})),
        *message_end("tool_use"),
    ]
    plain = b"".join(events)
    expected = without_ids((await chat(stream_reply(plain), stream=True)).response.events())
    assert fold_deltas([e["choices"][0]["delta"] for e in expected[:-1]])["content"] == "Grüße, 漢"
    crlf = plain.replace(b"\n", b"\r\n")
    several = plain.replace(b', "', b',\ndata: "')
    assert several.count(b"data:") > plain.count(b"data:")
    app = gateway(FakeUpstream([]))
    for framed in (plain, crlf, several):
        for cut in range(len(framed)):
            got = await chat(stream_reply(framed[:cut], framed[cut:]), app=app, stream=True)
            assert without_ids(got.response.events()) == expected, (cut, framed[:cut][-40:])


def one_event(size: int) -> bytes:
    """A stream whose text comes in one event."""
    delta_event = delta(0, "text_delta", text="x" * size)
    return b"".join([message_start(), block_start(0, text("")), delta_event, block_stop(0), *message_end()])


async def test_e6_a_huge_event_in_small_pieces_costs_linear_time() -> None:
    """One event of a megabyte that arrives in kilobytes: no piece costs more than another, and four times the size
    costs four times as much. (That bytes are not copied again for each piece is tested with the decoder.)"""

    async def run(size: int) -> tuple[int, int]:
        data, most = one_event(size), 0

        class Counting(FakeReply):
            async def _iterate(self) -> Any:
                nonlocal most
                for start in range(0, len(data), 1024):
                    before = work.calls
                    yield data[start : start + 1024]
                    most = max(most, work.calls - before)

        with CountedCalls() as work:
            got = await chat(Counting(200, stream_reply().headers, []), stream=True)
        assert len(got.message["content"]) == size
        return work.calls, most

    await run(1)
    small, most_of_small = await run(1 << 20)
    large, most_of_large = await run(1 << 22)
    assert large <= 2 * TWICE * small
    assert most_of_large <= most_of_small + 100


async def test_g23_each_event_is_forwarded_before_the_next_is_read() -> None:
    """Every event is with the client before the upstream has sent the next."""
    pieces, seen = text_events(*"abcdefgh"), []
    body = bytearray()

    class Watched(FakeReply):
        async def _iterate(self) -> Any:
            for piece in pieces:
                seen.append(body.count(b'"content":"') - body.count(b'"content":""'))
                yield piece

    app = gateway(FakeUpstream([Watched(200, SSE_HEADERS, [])]), streaming={"mode": "standard"})
    raw = json.dumps(ask(stream=True)).encode()

    async def receive() -> Any:
        if not seen:
            return {"type": "http.request", "body": raw, "more_body": False}
        await asyncio.Event().wait()
        return None

    async def send(message: Any) -> None:
        body.extend(message.get("body", b""))

    scope = {"type": "http", "method": "POST", "path": PATH, "headers": [], "query_string": b"", "http_version": "1.1"}
    await app(scope, receive, send)
    assert body.endswith(b"data: [DONE]\n\n")
    forwarded = seen[4:12]  # when the second piece of text is read, the first has been sent, and so on
    assert forwarded == sorted(forwarded)
    assert forwarded[-1] >= 7
    assert forwarded[0] <= 1


async def test_g27_cost_is_linear_in_the_number_of_pieces() -> None:
    data, work = one_event(400_000), []
    for size in (len(data), 1000, 500):
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        with CountedCalls() as counted:
            got = await chat(stream_reply(*pieces), stream=True)
        work.append(counted.calls)
        assert len(got.message["content"]) == 400_000
    assert work[2] <= TWICE * work[1] + 100
