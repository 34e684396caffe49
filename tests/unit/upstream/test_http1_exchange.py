"""One exchange on one connection: bytes written, timeouts, flow control both ways, cancellation at every await."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from modelmux.errors import UpstreamBroken, UpstreamTimeout
from modelmux.upstream.http1 import JOIN_LIMIT, MAX_UNREAD, SEND_PIECE, Connection, Http1Reply
from modelmux.wire.http import HttpCall
from modelmux.wire.request_head import encode_head
from support.http_peers import on_both_loops
from support.http_transport import CountingOwner, FakeTransport, connected, request
from support.virtual_time import virtual_time

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def started(
    call: HttpCall,
) -> AsyncIterator[tuple[asyncio.Task[Http1Reply], Connection, FakeTransport, CountingOwner]]:
    connection, transport, owner = connected()
    task = asyncio.get_running_loop().create_task(connection.exchange(call, encode_head(call)))
    await asyncio.sleep(0)
    try:
        yield task, connection, transport, owner
    finally:
        task.cancel()
        await asyncio.wait([task])
        connection.close()
        await asyncio.sleep(0)
        assert owner.closed_count == owner.lost_count == transport.aborted == 1


# Writing


async def test_a_small_request_is_one_write() -> None:
    async with started(request(b"x" * JOIN_LIMIT)) as (_, _, transport, _):
        [written] = transport.written
        assert written == encode_head(request(b"x" * JOIN_LIMIT)) + b"x" * JOIN_LIMIT


async def test_a_large_body_is_sent_in_parts_one_after_the_other() -> None:
    body = bytes(range(256)) * 4096 + b"rest"
    connection, transport, _ = connected()
    transport.full = True
    call = request(body)
    task = asyncio.get_running_loop().create_task(connection.exchange(call, encode_head(call)))
    for count in range(5):
        await asyncio.sleep(0)
        assert len(transport.written) == 2 + count  # the head, then no more than one piece at a time
        assert sum(map(len, transport.written[1:])) <= SEND_PIECE * (count + 1)
        connection.resume_writing()
    await asyncio.sleep(0)
    connection.data_received(OK)
    reply = await task
    assert b"".join(transport.written) == encode_head(call) + body
    assert await reply.read(5) == b"hello"
    assert not connection.closed
    connection.close()


# One read, one item


async def test_all_bytes_of_one_read_are_one_item() -> None:
    async with started(request()) as (task, connection, _, _):
        connection.data_received(HEAD + chunk(b"a") + chunk(b"b"))
        reply = aiter(await task)
        assert await anext(reply) == b"ab"
        connection.data_received(chunk(b"c") + chunk(b"d") + chunk(b"e"))
        connection.data_received(chunk(b"f"))
        assert await anext(reply) == b"cdef"


async def test_a_single_chunk_is_not_copied() -> None:
    async with started(request()) as (task, connection, _, _):
        connection.data_received(HEAD)
        reply = aiter(await task)
        waiting = asyncio.ensure_future(anext(reply))
        await asyncio.sleep(0)
        piece = b"piece"
        connection.on_body(piece)
        connection.data_received(b"1")
        assert await waiting is piece


async def test_a_complete_reply_frees_the_connection_before_it_is_read() -> None:
    async with started(request()) as (task, connection, _, owner):
        connection.data_received(OK)
        assert owner.idle_count == 1
        reply = await task
        second = asyncio.get_running_loop().create_task(connection.exchange(request(), encode_head(request())))
        await asyncio.sleep(0)
        connection.data_received(OK.replace(b"hello", b"other"))
        assert await reply.read(5) == b"hello"
        await reply.aclose()
        assert await (await second).read(5) == b"other"
        assert not connection.closed


# Clocks


@pytest.mark.parametrize(
    ("clock", "arrived"),
    [
        ("first_byte", [b""]),
        ("first_byte", [b"HTTP/1.1 200 OK\r\n", b"a: b\r\n", b"c: d\r\n"]),
        ("first_byte", [b"HTTP/1.1 100 Continue\r\n\r\n"]),
    ],
    ids=["silence", "header drip", "interim reply only"],
)
@on_both_loops
async def test_the_head_must_arrive_within_first_byte(clock: str, arrived: list[bytes]) -> None:
    async with started(request(first_byte=0.05)) as (task, connection, _, owner):
        for data in arrived:
            await asyncio.sleep(0.01)
            if data:
                connection.data_received(data)
        with pytest.raises(UpstreamTimeout, match=r"did not start to reply within 0\.05 s") as caught:
            await task
        assert caught.value.clock == clock
        assert owner.closed_count == 1


@on_both_loops
async def test_an_idle_timeout_in_the_body_comes_after_the_bytes_that_arrived() -> None:
    async with started(request(idle=0.05)) as (task, connection, _, owner):
        connection.data_received(HEAD + chunk(b"some"))
        reply = await task
        with pytest.raises(UpstreamTimeout, match=r"sent nothing for 0\.05 s") as caught:
            assert await reply.read(100)
        assert caught.value.clock == "idle"
        assert owner.closed_count == 1


@virtual_time
async def test_body_bytes_reset_the_idle_timeout_and_framing_does_not() -> None:
    async with started(request(idle=0.08)) as (task, connection, _, _):
        connection.data_received(HEAD)
        reply = aiter(await task)
        begun = asyncio.get_running_loop().time()
        for _ in range(3):
            asyncio.get_running_loop().call_later(0.05, connection.data_received, chunk(b"x"))
            assert await anext(reply) == b"x"
        assert asyncio.get_running_loop().time() - begun == pytest.approx(0.15), "longer than the timeout"
        for number in range(6):
            asyncio.get_running_loop().call_later(0.02 * number, connection.data_received, b"0")
        with pytest.raises(UpstreamTimeout):
            await anext(reply)


@virtual_time
async def test_a_slow_reader_causes_no_idle_timeout() -> None:
    async with started(request(idle=0.03)) as (task, connection, _, _):
        connection.data_received(HEAD + chunk(b"x"))
        reply = aiter(await task)
        await asyncio.sleep(0.06)
        assert await anext(reply) == b"x"
        connection.data_received(chunk(b"y"))
        await asyncio.sleep(0.06)
        assert await anext(reply) == b"y"


@pytest.mark.parametrize("body", [b"small", b"x" * (JOIN_LIMIT + 1)])
@virtual_time
async def test_a_peer_that_does_not_read_the_request_is_a_send_timeout(body: bytes) -> None:
    connection, transport, owner = connected()
    transport.full = True
    call = request(body, send=0.03, first_byte=9)
    with pytest.raises(UpstreamTimeout) as caught:
        await connection.exchange(call, encode_head(call))
    assert caught.value.clock == "send"
    assert owner.closed_count == transport.aborted == 1


@virtual_time
async def test_the_send_timeout_covers_the_complete_request() -> None:
    connection, transport, _ = connected()
    transport.full = True
    call = request(b"x" * SEND_PIECE * 50, send=0.06)
    task = asyncio.get_running_loop().create_task(connection.exchange(call, encode_head(call)))
    for _ in range(20):
        await asyncio.sleep(0.01)
        if task.done():
            break
        connection.resume_writing()
    with pytest.raises(UpstreamTimeout):
        await task
    assert len(transport.written) < 20


@pytest.mark.parametrize("idle", [False, True])
@virtual_time
async def test_a_timer_of_an_earlier_exchange_does_not_end_the_next_one(idle: bool) -> None:
    connection, _, _ = connected()
    loop = asyncio.get_running_loop()
    call = request(first_byte=0.04)
    first = loop.create_task(connection.exchange(call, encode_head(call)))
    await asyncio.sleep(0)
    connection.data_received(OK)
    await (await first).read(5)
    if idle:
        await asyncio.sleep(0.06)  # it fires while there is nothing to wait for
        assert not connection.closed
    begun = loop.time()
    call = request(first_byte=0.1)
    with pytest.raises(UpstreamTimeout):
        await connection.exchange(call, encode_head(call))
    assert loop.time() - begun == pytest.approx(0.1)


async def test_timeouts_use_one_timer_for_many_exchanges() -> None:
    connection, _, _ = connected()
    loop = asyncio.get_running_loop()
    timers = 0
    call_at = loop.call_at

    def counting(*args, **kwargs):  # type: ignore[no-untyped-def]
        nonlocal timers
        timers += 1
        return call_at(*args, **kwargs)

    loop.call_at = counting  # type: ignore[method-assign]
    for _ in range(50):
        task = loop.create_task(connection.exchange(request(), encode_head(request())))
        await asyncio.sleep(0)
        connection.data_received(OK)
        await (await task).read(5)
    connection.close()
    assert timers <= 2


# Flow control


async def test_an_unread_body_pauses_reading() -> None:
    async with started(request()) as (task, connection, transport, _):
        connection.data_received(HEAD)
        reply = aiter(await task)
        piece = chunk(b"x" * 65536)
        sent = 0
        while transport.reading:
            connection.data_received(piece)
            sent += 65536
        assert MAX_UNREAD <= sent <= MAX_UNREAD + 65536
        connection.data_received(piece)  # call was already on its way
        assert len(await anext(reply)) == sent + 65536
        assert transport.reading


async def test_the_end_of_the_reply_does_not_pause_reading() -> None:
    async with started(request()) as (task, connection, transport, owner):
        size = MAX_UNREAD + 10
        connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * (size - 1))
        assert not transport.reading
        connection.data_received(b"y")
        assert transport.reading
        assert owner.idle_count == 1
        assert len(await (await task).read(size)) == size


async def test_a_connection_lost_while_reading_is_paused_gives_the_received_bytes_and_the_error() -> None:
    async with started(request()) as (task, connection, transport, _):
        connection.data_received(HEAD + chunk(b"x" * (MAX_UNREAD + 1)))
        assert not transport.reading
        transport.lose(ConnectionResetError("reset by peer"))
        reply = aiter(await task)
        assert len(await anext(reply)) == MAX_UNREAD + 1
        with pytest.raises(UpstreamBroken):
            await anext(reply)


async def test_the_transport_reports_every_buffered_byte() -> None:
    connection, transport, _ = connected()
    assert transport.limits == (1, 0)
    connection.close()


# A reply before its time


@pytest.mark.parametrize("body", [b"small", b"x" * SEND_PIECE * 4])
async def test_an_error_reply_during_the_request_is_returned_and_closes_the_connection(body: bytes) -> None:
    connection, transport, owner = connected()
    transport.full = True
    call = request(body)
    task = asyncio.get_running_loop().create_task(connection.exchange(call, encode_head(call)))
    await asyncio.sleep(0)
    connection.data_received(b"HTTP/1.1 413 Too Large\r\ncontent-length: 4\r\n\r\nmuch")
    reply = await task
    assert reply.status == 413
    assert await reply.read(4) == b"much"
    assert owner.idle_count == 0
    assert owner.closed_count == transport.aborted == 1
    assert len(transport.written) <= 2


async def test_a_200_during_the_request_does_not_stop_it() -> None:
    connection, transport, owner = connected()
    transport.full = True
    call = request(b"x" * SEND_PIECE * 2)
    task = asyncio.get_running_loop().create_task(connection.exchange(call, encode_head(call)))
    await asyncio.sleep(0)
    connection.data_received(HEAD + chunk(b"early"))
    await asyncio.sleep(0)
    assert not task.done()
    for _ in range(2):
        connection.resume_writing()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    reply = await task
    connection.data_received(b"0\r\n\r\n")
    assert await reply.read(9) == b"early"
    assert owner.idle_count == 1
    connection.close()


# Giving up


@pytest.mark.parametrize("stage", ["send", "head", "body"])
async def test_a_cancelled_exchange_closes_at_once(stage: str) -> None:
    connection, transport, owner = connected()
    transport.full = stage == "send"
    call = request()

    async def go() -> None:
        reply = await connection.exchange(call, encode_head(call))
        async for _ in reply:
            pass

    task = asyncio.get_running_loop().create_task(go())
    await asyncio.sleep(0)
    if stage == "body":
        connection.data_received(HEAD + chunk(b"x"))
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert transport.aborted == owner.closed_count == 1
    assert owner.idle_count == 0


async def test_cancelling_as_the_head_arrives_closes_the_connection() -> None:
    async with started(request()) as (task, connection, transport, _):
        connection.data_received(HEAD)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transport.aborted == 1


async def test_cancelling_as_the_reply_ends_does_not_affect_the_next_exchange() -> None:
    async with started(request()) as (task, connection, transport, _):
        connection.data_received(OK)
        second = asyncio.get_running_loop().create_task(connection.exchange(request(), encode_head(request())))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert not transport.aborted
        connection.data_received(OK)
        assert (await second).status == 200


async def test_closing_an_unread_reply_closes_the_connection_and_a_second_close_does_nothing() -> None:
    async with started(request()) as (task, connection, transport, owner):
        connection.data_received(HEAD + chunk(b"x"))
        reply = await task
        await reply.aclose()
        await reply.aclose()
        assert transport.aborted == owner.closed_count == 1
        with pytest.raises(UpstreamBroken):
            await reply.read(9)


async def test_closing_a_complete_reply_keeps_the_connection_and_drops_the_body() -> None:
    async with started(request()) as (task, connection, _, owner):
        connection.data_received(OK)
        reply = await task
        await reply.aclose()
        assert owner.idle_count == 1
        assert not connection.closed
        with pytest.raises(UpstreamBroken):
            await reply.read(9)


async def test_closing_an_earlier_reply_does_not_affect_the_running_exchange() -> None:
    async with started(request()) as (task, connection, transport, _):
        connection.data_received(OK)
        old = await task
        await old.read(5)
        second = asyncio.get_running_loop().create_task(connection.exchange(request(), encode_head(request())))
        await asyncio.sleep(0)
        await old.aclose()
        assert not transport.aborted
        connection.data_received(OK)
        assert await (await second).read(5) == b"hello"


async def test_a_reply_over_the_limit_is_closed_and_not_buffered() -> None:
    async with started(request()) as (task, connection, transport, _):
        connection.data_received(HEAD + chunk(b"x" * 11))
        reply = await task
        with pytest.raises(UpstreamBroken, match="exceeds the limit of 10 bytes"):
            await reply.read(10)
        assert transport.aborted == 1


@pytest.mark.parametrize("started_", [False, True])
async def test_the_error_of_a_broken_connection_tells_whether_the_reply_had_started(started_: bool) -> None:
    async with started(request()) as (task, connection, transport, owner):
        if started_:
            connection.data_received(b"HTTP")
        transport.lose(ConnectionResetError("reset by peer"))
        with pytest.raises(UpstreamBroken) as caught:
            await task
        assert caught.value.reply_started is started_
        assert caught.value.detail == "ConnectionResetError: reset by peer"
        assert owner.closed_count == 1


@pytest.mark.parametrize("size", [2, SEND_PIECE * 3])
async def test_nothing_is_written_after_a_failed_write(size: int) -> None:
    connection, transport, owner = connected()
    transport.breaks_on_write = True
    call = request(b"x" * size)
    with pytest.raises(UpstreamBroken) as caught:
        await connection.exchange(call, encode_head(call))
    assert not caught.value.reply_started
    assert len(transport.written) == owner.closed_count == 1


async def test_a_body_without_framing_that_ends_by_a_reset_is_incomplete() -> None:
    async with started(request()) as (task, connection, transport, _):
        connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nsome")
        reply = await task
        transport.lose(ConnectionResetError("reset by peer"))
        with pytest.raises(UpstreamBroken):
            await reply.read(100)


async def test_a_closed_connection_accepts_no_exchange() -> None:
    connection, transport, _ = connected()
    task = asyncio.get_running_loop().create_task(connection.exchange(request(), encode_head(request())))
    await asyncio.sleep(0)
    connection.data_received(OK)
    await task
    connection.data_received(b"unasked")
    assert transport.aborted == 1
    with pytest.raises(UpstreamBroken) as caught:
        await connection.exchange(request(), encode_head(request()))
    assert not caught.value.reply_started  # the reply to this request, that is
    assert len(transport.written) == 1
