"""Risk: the network's packets change what a client reads, delay it, or make reading slow."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from support.blocks import block_events, block_start, block_stop, delta, message_end, message_start, text, tool_use
from support.chat import chat, fold_deltas
from support.fakes import SSE_HEADERS, FakeReply, FakeUpstream, event, stream_reply, text_events
from support.gateway import PATH, ask, gateway

pytestmark = pytest.mark.usefixtures("no_waiting")


async def test_e4_characters_split_by_the_network_are_intact() -> None:
    """Characters of two to four bytes arrive one byte at a time: the text is the same."""
    said = "héllo — 漢字 🎉👩‍👩‍👧 ü"
    stream = event("content_block_delta", index=0, delta={"type": "text_delta", "text": said})
    raw = stream.replace(json.dumps(said).encode(), json.dumps(said, ensure_ascii=False).encode())
    assert "漢".encode() in raw
    first, *_ = text_events("x")
    whole = b"".join([first, block_start(0, text("")), raw, block_stop(0), *message_end()])
    got = await chat(stream_reply(*(whole[i : i + 1] for i in range(len(whole)))), stream=True)
    assert got.message["content"] == said


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


async def test_e6_a_huge_event_in_small_pieces_costs_linear_time() -> None:
    """One event of a megabyte that arrives in kilobytes: no piece holds the loop for 5 ms, four times the size takes
    about four times as long. CPU time of this thread, the best of several runs."""

    async def run(size: int) -> tuple[float, float]:
        data = b"".join(
            [
                message_start(),
                block_start(0, text("")),
                delta(0, "text_delta", text="x" * size),
                block_stop(0),
                *message_end(),
            ]
        )
        longest = [0.0]

        class Slow(FakeReply):
            async def _iterate(self) -> Any:
                for start in range(0, len(data), 1024):
                    before = time.thread_time()
                    yield data[start : start + 1024]
                    longest[0] = max(longest[0], time.thread_time() - before)

        slow = Slow(200, stream_reply().headers, [])
        before = time.thread_time()
        got = await chat(slow, stream=True)
        total = time.thread_time() - before
        assert len(got.message["content"]) == size
        return total, longest[0]

    small = [await run(1 << 20) for _ in range(4)]
    large = [await run(1 << 22) for _ in range(2)]
    assert min(longest for _, longest in small) < 0.005
    assert min(total for total, _ in large) < 10 * min(total for total, _ in small)


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
    told = seen[4:12]  # when the second piece of text is read, the first has been sent, and so on
    assert told == sorted(told)
    assert told[-1] >= 7
    assert told[0] <= 1


async def test_g27_cost_does_not_depend_on_the_size_of_the_pieces() -> None:
    whole = b"".join(
        [
            message_start(),
            block_start(0, text("")),
            delta(0, "text_delta", text="x" * 400_000),
            block_stop(0),
            *message_end(),
        ]
    )
    seconds = []
    for size in (len(whole), 1000):
        pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
        began = time.process_time()
        got = await chat(stream_reply(*pieces), stream=True)
        seconds.append(time.process_time() - began)
        assert len(got.message["content"]) == 400_000
    assert seconds[1] < 10 * seconds[0] + 0.5, "time grows with the square of an event's length"
