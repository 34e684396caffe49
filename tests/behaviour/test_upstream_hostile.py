"""Risk: an upstream that misbehaves causes a hang, a wrong reply, an unnamed error or a leak. Over real sockets."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmux.errors import UpstreamBroken, UpstreamError, UpstreamTimeout
from modelmux.wire.http import Timeouts
from support.http_peers import (
    OK,
    Talk,
    Wire,
    call,
    fetch,
    keep_open,
    on_both_loops,
    outcome,
    peer,
    pool_of,
    replies,
    until,
)

STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'1b\r\nevent: ping\ndata: {"a":1}\n\n\r\n7\r\ndata: \xe2\r\n4\r\n\x82\xac\n\n\r\n0\r\n\r\n'
)
BODY = b'event: ping\ndata: {"a":1}\n\ndata: \xe2\x82\xac\n\n'
QUICK = Timeouts(connect=3, pool=3, send=3, first_byte=0.15, idle=0.15)


def in_pieces(*pieces: bytes) -> Talk:
    """Replies to every request in these writes, each one read of the client (as far as the kernel allows)."""

    async def talk(wire: Wire) -> None:
        while True:
            await wire.request()
            for piece in pieces:
                wire.writer.write(piece)
                await asyncio.sleep(0)

    return talk


@on_both_loops
async def test_a_reply_split_at_any_byte() -> None:
    cut = 0

    async def talk(wire: Wire) -> None:
        while True:
            await wire.request()
            wire.writer.write(STREAM[:cut])
            await asyncio.sleep(0.0005)
            wire.writer.write(STREAM[cut:])

    async with peer(talk) as (origin, _), pool_of() as pool:
        for cut in range(1, len(STREAM)):
            assert await fetch(pool, call(origin)) == (200, BODY), cut
        assert pool.created_total == 1


@on_both_loops
async def test_a_reply_of_single_bytes() -> None:
    async with peer(in_pieces(*(bytes([byte]) for byte in STREAM))) as (origin, _), pool_of() as pool:
        for _ in range(3):
            assert await fetch(pool, call(origin)) == (200, BODY)
        assert pool.created_total == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=8))
def test_a_reply_in_any_pieces(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]

    async def run() -> None:
        pieces = [STREAM[start:end] for start, end in itertools.pairwise(edges)]
        async with peer(in_pieces(*pieces)) as (origin, _), pool_of() as pool:
            assert await fetch(pool, call(origin)) == (200, BODY)

    asyncio.run(run())


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@on_both_loops
async def test_an_end_at_any_byte_is_an_error_or_before_the_first_byte_a_second_try(reset: bool) -> None:
    cut = 0

    async def talk(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        if cut:
            await wire.send(STREAM[:cut])
        if reset:
            if cut:
                await asyncio.sleep(0.002)  # or the kernel throws away what was sent
            wire.reset()

    async with peer(talk) as (origin, listener):
        for cut in range(len(STREAM)):
            before = listener.accepted
            async with pool_of() as pool:
                assert await fetch(pool, call(origin)) == (200, b"hello")
                result = await outcome(pool, call(origin))
                if cut == 0:
                    assert result == (200, b"hello")  # a fresh connection's first reply
                    assert listener.accepted == before + 2
                else:
                    assert isinstance(result, UpstreamBroken), cut
                    assert result.reply_started, cut
                    assert listener.accepted == before + 1, cut
                    assert pool.open == 0


@pytest.mark.parametrize("after", [b"garbage", OK, STREAM, b"HTTP/1.1 4"], ids=["garbage", "reply", "stream", "half"])
@pytest.mark.parametrize("pause", [0, 0.01], ids=["at once", "later"])
@on_both_loops
async def test_what_follows_a_reply_never_becomes_the_next_one(after: bytes, pause: float) -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()
        await wire.send(STREAM if pause else STREAM + after)
        if pause:
            await asyncio.sleep(pause)
            await wire.send(after)
        await wire.wait_closed()

    async with peer(talk) as (origin, listener), pool_of() as pool:
        for number in (1, 2, 3):
            assert await fetch(pool, call(origin)) == (200, BODY)
            await until(lambda: pool.open == 0)
            assert listener.accepted == number


@pytest.mark.parametrize(
    "flood",
    [b"x: " + b"y" * 60_000 + b"\r\n", b"x: y\r\n" * 1000, b"z" * 65536],
    ids=["long headers", "many headers", "one header without end"],
)
@on_both_loops
async def test_a_head_without_end_is_cut_off(flood: bytes) -> None:
    sent = 0

    async def talk(wire: Wire) -> None:
        nonlocal sent
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nA: ")
        while True:
            await wire.send(flood)
            sent += len(flood)
            await asyncio.sleep(0)

    async with peer(talk) as (origin, _), pool_of() as pool:
        with pytest.raises(UpstreamBroken):
            await fetch(pool, call(origin))
        assert sent < 20_000_000


@on_both_loops
async def test_a_body_without_end_is_cut_off_at_the_limit() -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await wire.send(b"x" * 65536)

    async with peer(talk) as (origin, _), pool_of() as pool:
        with pytest.raises(UpstreamBroken, match="exceeds the limit of 1000000 bytes"):
            await fetch(pool, call(origin), limit=1_000_000)
        assert pool.open == 0


@on_both_loops
async def test_a_body_longer_than_its_length_is_cut_and_the_rest_thrown_away() -> None:
    async with peer(replies(OK + b"more" * 100_000, then=keep_open)) as (origin, listener), pool_of() as pool:
        assert await fetch(pool, call(origin)) == (200, b"hello")
        assert await fetch(pool, call(origin)) == (200, b"hello")
        assert listener.accepted == 2


@pytest.mark.parametrize(
    ("received", "clock"),
    [
        (b"", "first_byte"),
        (b"HTTP/1.1 200 OK\r\nContent-", "first_byte"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "first_byte"),
        (OK[:-1], "idle"),
        (STREAM[:-5], "idle"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the connection ends", "idle"),
    ],
    ids=["nothing", "half a head", "interim only", "most of the body", "all but the last chunk", "no framing"],
)
@on_both_loops
async def test_silence_ends_by_the_clock_of_its_stage(received: bytes, clock: str) -> None:
    async with peer(replies(received, then=keep_open)) as (origin, listener), pool_of() as pool:
        begun = time.monotonic()
        with pytest.raises(UpstreamTimeout) as caught:
            await fetch(pool, call(origin, timeouts=QUICK))
        assert caught.value.clock == clock
        assert time.monotonic() - begun > 0.1
        await until(lambda: listener.open == 0)


@on_both_loops
async def test_a_drip_of_header_bytes_does_not_hold_a_call_longer_than_first_byte() -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 1000:
            await wire.send(bytes([byte]))
            await asyncio.sleep(0.01)

    async with peer(talk) as (origin, _), pool_of() as pool:
        with pytest.raises(UpstreamTimeout) as caught:
            await fetch(pool, call(origin, timeouts=QUICK))
        assert caught.value.clock == "first_byte"


@on_both_loops
async def test_a_body_that_comes_slowly_but_steadily_is_no_silence() -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()
        for at in range(0, len(STREAM), 20):
            await wire.send(STREAM[at : at + 20])
            await asyncio.sleep(0.03)

    async with peer(talk) as (origin, _), pool_of() as pool:
        assert await fetch(pool, call(origin, timeouts=QUICK)) == (200, BODY)


@on_both_loops
async def test_a_peer_that_never_reads_runs_send_out() -> None:
    release = asyncio.Event()

    async def talk(wire: Wire) -> None:
        wire.writer.transport.pause_reading()
        await release.wait()

    async with peer(talk) as (origin, _), pool_of() as pool:
        with pytest.raises(UpstreamTimeout) as caught:
            await fetch(pool, call(origin, b"x" * 30_000_000, timeouts=Timeouts(send=0.1)))
        assert caught.value.clock == "send"
        assert pool.open == 0
        release.set()


@on_both_loops
async def test_a_peer_that_reads_slowly_gets_everything() -> None:
    got = 0

    async def talk(wire: Wire) -> None:
        nonlocal got
        await wire.reader.readuntil(b"\r\n\r\n")
        while got < 5_000_000:
            got += len(await wire.reader.read(100_000))
            await asyncio.sleep(0.001)
        await wire.send(OK)
        await wire.wait_closed()

    async with peer(talk) as (origin, _), pool_of() as pool:
        assert await fetch(pool, call(origin, b"x" * 5_000_000)) == (200, b"hello")
        assert got == 5_000_000
        assert pool.idle == 1


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@on_both_loops
async def test_a_refusal_before_the_body_was_read(reset: bool) -> None:
    async def talk(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 4\r\n\r\nmuch")
        await asyncio.sleep(0.02)
        if reset:
            wire.reset()

    async with peer(talk) as (origin, _), pool_of() as pool:
        assert await fetch(pool, call(origin, b"x" * 20_000_000)) == (413, b"much")
        assert pool.open == 0


@pytest.mark.parametrize("size", [2, 5_000_000], ids=["small", "large"])
@pytest.mark.parametrize("when", ["before the request", "in the request", "after the request"])
@on_both_loops
async def test_a_reset_at_any_time_is_an_error_at_once(when: str, size: int) -> None:
    async def talk(wire: Wire) -> None:
        if when == "in the request":
            await wire.reader.read(1)
        elif when == "after the request":
            await wire.request()
        wire.reset()

    async with peer(talk) as (origin, listener), pool_of() as pool:
        for _ in range(5):
            with pytest.raises(UpstreamError) as caught:
                await fetch(pool, call(origin, b"x" * size))
            assert isinstance(caught.value, UpstreamBroken)
            assert not caught.value.reply_started
        assert listener.accepted == 5


@on_both_loops
async def test_a_peer_that_accepts_and_leaves() -> None:
    async def talk(wire: Wire) -> None:
        return

    async with peer(talk) as (origin, _), pool_of() as pool:
        results = await asyncio.gather(*(outcome(pool, call(origin)) for _ in range(50)))
        assert all(isinstance(result, UpstreamBroken) and not result.reply_started for result in results)
