"""The pool: order of reuse, limits, queue, expiry; and no leaks whatever happens to a call."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import itertools
from collections.abc import Callable

import pytest
import uvloop
from msgspec.structs import replace

from modelmux.errors import (
    GatewayDraining,
    GatewayError,
    GatewayOverloaded,
    UpstreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from modelmux.upstream.base import Upstream
from modelmux.upstream.pool import HttpPool
from modelmux.wire.http import Origin, Timeouts
from support.http_peers import (
    OK,
    PATIENT,
    Wire,
    always,
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


def numbered(wire: Wire) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n%03d" % wire.number


async def say_number(wire: Wire) -> None:
    while True:
        await wire.request()
        await wire.send(numbered(wire))


class Gate:
    """A talk that replies only after it was opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.requested = 0

    async def __call__(self, wire: Wire) -> None:
        while True:
            await wire.request()
            self.requested += 1
            await self.opened.wait()
            await wire.send(numbered(wire))


def short(**clocks: float) -> Timeouts:
    return dataclasses.replace(PATIENT, **clocks)


def test_it_is_an_upstream() -> None:
    upstream: Upstream = HttpPool()
    assert upstream


# Reuse


@on_both_loops
async def test_one_connection_carries_consecutive_calls() -> None:
    async with peer(always(OK)) as (origin, listener), pool_of() as pool:
        for _ in range(20):
            assert await fetch(pool, call(origin)) == (200, b"hello")
        assert listener.accepted == 1
        assert (pool.created_total, pool.reused_total, pool.open, pool.idle) == (1, 19, 1, 1)


async def test_the_most_recently_used_connection_is_reused_first() -> None:
    gate = Gate()
    async with peer(gate) as (origin, _), pool_of() as pool:
        first = [asyncio.create_task(fetch(pool, call(origin))) for _ in range(3)]
        await until(lambda: gate.requested == 3)
        gate.opened.set()
        await asyncio.gather(*first)
        last = (await fetch(pool, call(origin)))[1]
        for _ in range(5):
            assert (await fetch(pool, call(origin)))[1] == last
        assert pool.idle == 3


async def test_origins_do_not_share_connections() -> None:
    async with (
        peer(always(OK)) as (one, _),
        peer(always(OK.replace(b"hello", b"other"))) as (two, _),
        pool_of() as pool,
    ):
        for _ in range(2):
            assert (await fetch(pool, call(one)))[1] == b"hello"
            assert (await fetch(pool, call(two)))[1] == b"other"
        assert pool.open == 2


async def test_excess_idle_connections_are_closed_oldest_first() -> None:
    gate = Gate()
    async with peer(gate) as (origin, listener), pool_of(max_idle=2) as pool:
        calls = [asyncio.create_task(fetch(pool, call(origin))) for _ in range(5)]
        await until(lambda: gate.requested == 5)
        gate.opened.set()
        await asyncio.gather(*calls)
        assert pool.idle == pool.open == 2
        await until(lambda: listener.open == 2)


@pytest.mark.parametrize(
    "reply",
    [
        OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        OK + b"garbage",
        OK + OK,
    ],
    ids=["connection: close", "HTTP/1.0", "garbage after", "second reply after"],
)
async def test_a_connection_in_an_uncertain_state_is_not_reused(reply: bytes) -> None:
    async with peer(replies(reply, then=keep_open)) as (origin, listener), pool_of() as pool:
        for number in (1, 2, 3):
            assert await fetch(pool, call(origin)) == (200, b"hello")
            assert listener.accepted == number
            assert pool.open == pool.idle == 0


async def test_bytes_that_arrive_on_an_idle_connection_close_it() -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await asyncio.sleep(0.02)
        await wire.send(OK.replace(b"hello", b"wrong"))
        await wire.wait_closed()

    async with peer(talk) as (origin, _), pool_of() as pool:
        assert (await fetch(pool, call(origin)))[1] == b"hello"
        await until(lambda: pool.open == 0)
        assert (await fetch(pool, call(origin)))[1] == b"hello"


async def test_an_unfinished_reply_closes_the_connection() -> None:
    async with peer(replies(OK[:-1], then=keep_open)) as (origin, _), pool_of() as pool:
        reply = await pool.send(call(origin))
        assert (pool.open, pool.idle) == (1, 0)
        await reply.aclose()
        assert pool.open == 0


# Age


async def test_an_expired_connection_is_not_reused() -> None:
    now = [0.0]
    async with peer(say_number) as (origin, _), pool_of(idle_expiry=10, clock=lambda: now[0]) as pool:
        for at, connection in ((0, b"001"), (9.9, b"001"), (19.8, b"001"), (29.9, b"002")):
            now[0] = at
            assert (await fetch(pool, call(origin)))[1] == connection
            assert (pool.open, pool.idle, len(pool.alive)) == (1, 1, 1)


async def test_an_idle_connection_is_closed_when_it_expires() -> None:
    async with peer(always(OK)) as (origin, listener), pool_of(idle_expiry=0.05) as pool:
        await asyncio.gather(*(fetch(pool, call(origin)) for _ in range(3)))
        assert pool.idle > 0
        await until(lambda: pool.open == 0)
        await until(lambda: listener.open == 0)


async def test_the_sweep_continues_while_there_are_idle_connections() -> None:
    async with peer(always(OK)) as (one, _), peer(always(OK)) as (two, _), pool_of(idle_expiry=0.06) as pool:
        await fetch(pool, call(one))
        await asyncio.sleep(0.03)
        await fetch(pool, call(two))
        await until(lambda: pool.open == 1)
        await until(lambda: pool.open == 0)


@pytest.mark.parametrize(
    ("header", "seconds"), [(b"timeout=5, max=100", 4), (b"timeout=1", 0.5), (b"max=3", 10), (b"", 10)]
)
async def test_the_keep_alive_header_sets_the_expiry(header: bytes, seconds: float) -> None:
    now = [0.0]
    reply = OK.replace(b"\r\n\r\n", b"\r\nkeep-alive: " + header + b"\r\n\r\n")
    async with peer(always(reply)) as (origin, listener), pool_of(idle_expiry=10, clock=lambda: now[0]) as pool:
        await fetch(pool, call(origin))
        now[0] = seconds - 0.01
        await fetch(pool, call(origin))
        assert listener.accepted == 1
        now[0] += seconds + 0.01
        await fetch(pool, call(origin))
        assert listener.accepted == 2


# A reused connection that turns out dead


def dies_on(*numbers: int, with_reset: bool = False):  # type: ignore[no-untyped-def]
    """A talk: one good reply, then each connection in ``numbers`` dies on its second request."""

    async def talk(wire: Wire) -> None:
        await wire.request()
        await wire.send(numbered(wire))
        while True:
            await wire.request()
            if wire.number in numbers:
                if with_reset:
                    wire.reset()
                return
            await wire.send(numbered(wire))

    return talk


@pytest.mark.parametrize("with_reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("size", [2, 300_000], ids=["small", "large"])
@on_both_loops
async def test_a_call_on_a_dead_connection_is_sent_again(size: int, with_reset: bool) -> None:
    body = b"x" * size
    async with peer(dies_on(1, with_reset=with_reset)) as (origin, listener), pool_of() as pool:
        assert (await fetch(pool, call(origin)))[1] == b"001"
        assert (await fetch(pool, call(origin, body)))[1] == b"002"
        assert listener.accepted == 2
        assert (pool.open, pool.idle, pool.reused_total, pool.created_total) == (1, 1, 0, 2)


@pytest.mark.parametrize("with_reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("size", [2, 300_000], ids=["small", "large"])
@on_both_loops
async def test_a_call_that_may_be_sent_once_is_not_sent_again(size: int, with_reset: bool) -> None:
    async with peer(dies_on(1, with_reset=with_reset)) as (origin, listener), pool_of() as pool:
        assert (await fetch(pool, call(origin)))[1] == b"001"
        with pytest.raises(UpstreamBroken) as caught:
            await fetch(pool, call(origin, b"x" * size, resend=False))
        assert not caught.value.reply_started
        assert (listener.accepted, pool.open, pool.idle) == (1, 0, 0)


@pytest.mark.parametrize("size", [2, 300_000], ids=["small", "large"])
async def test_a_call_reports_when_it_begins_to_leave(size: int) -> None:
    sent: list[str] = []
    async with peer(say_number) as (origin, _), pool_of() as pool:
        request = replace(call(origin, b"x" * size), on_sent=lambda: sent.append("sent"))
        assert (await fetch(pool, request))[1] == b"001"
        assert sent == ["sent"]


async def test_a_call_without_a_connection_never_reports_it() -> None:
    sent: list[str] = []
    async with peer(keep_open) as (origin, listener), pool_of() as pool:
        encrypted = origin._replace(scheme="https")  # TCP is accepted, and the handshake never answered
        request = replace(call(encrypted), on_sent=lambda: sent.append("sent"))
        task = asyncio.create_task(pool.send(request))
        await until(lambda: listener.accepted == 1)
        task.cancel()
        await asyncio.wait([task])
        assert sent == []


async def test_a_call_of_which_nothing_was_sent_may_be_sent() -> None:
    """The connection ended between the choice and the first byte."""
    async with peer(say_number) as (origin, listener), pool_of() as pool:
        assert (await fetch(pool, call(origin)))[1] == b"001"
        (connection,) = pool.alive
        connection.closed = True
        assert (await fetch(pool, call(origin, resend=False)))[1] == b"002"
        assert listener.accepted == 2
        connection.closed = False
        connection.close()


async def test_after_a_dead_connection_other_idle_ones_are_not_used() -> None:
    gate, dead = Gate(), itertools.count(1)

    async def talk(wire: Wire) -> None:
        await wire.request()
        gate.requested += 1
        await gate.opened.wait()
        await wire.send(numbered(wire))
        await wire.request()
        if wire.number <= 3:
            next(dead)
            return
        await wire.send(numbered(wire))

    async with peer(talk) as (origin, _), pool_of(max_connections=3) as pool:
        first = [asyncio.create_task(fetch(pool, call(origin))) for _ in range(3)]
        await until(lambda: gate.requested == 3)
        gate.opened.set()
        await asyncio.gather(*first)
        assert (await fetch(pool, call(origin)))[1] == b"004"
        assert next(dead) == 2
        assert pool.open == 3


async def test_a_call_on_a_new_connection_is_not_sent_again() -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()

    async with peer(talk) as (origin, listener), pool_of() as pool:
        with pytest.raises(UpstreamBroken) as caught:
            await fetch(pool, call(origin))
        assert not caught.value.reply_started
        assert listener.accepted == 1


@pytest.mark.parametrize("first", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", OK[:20], OK[:-1]])
async def test_a_call_with_a_started_reply_is_never_sent_again(first: bytes) -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        await wire.send(first)

    async with peer(talk) as (origin, listener), pool_of() as pool:
        await fetch(pool, call(origin))
        with pytest.raises(UpstreamBroken) as caught:
            await fetch(pool, call(origin))
        assert caught.value.reply_started
        assert listener.accepted == 1


async def test_a_silent_reused_connection_is_a_timeout_and_no_retry() -> None:
    async with peer(replies(OK, then=keep_open)) as (origin, listener), pool_of() as pool:
        await fetch(pool, call(origin))
        with pytest.raises(UpstreamTimeout):
            await fetch(pool, call(origin, timeouts=short(first_byte=0.03)))
        assert listener.accepted == 1


async def test_a_connection_closed_while_idle_is_not_used() -> None:
    async with peer(replies(OK)) as (origin, _), pool_of() as pool:
        await fetch(pool, call(origin))
        await until(lambda: pool.open == 0)
        await fetch(pool, call(origin))
        assert (pool.created_total, pool.reused_total) == (2, 0)


async def test_a_call_that_needs_a_new_connection_evicts_an_idle_one() -> None:
    async with peer(say_number) as (origin, _), pool_of(max_connections=1) as pool:
        assert (await fetch(pool, call(origin)))[1] == b"001"
        fresh = await pool._acquire(call(origin), fresh=True)
        assert (fresh.exchanges, pool.open, pool.idle) == (0, 1, 0)
        fresh.close()


# Bounds


@on_both_loops
async def test_a_thousand_calls_share_the_limited_connections() -> None:
    most = 0

    async def talk(wire: Wire) -> None:
        nonlocal most
        while True:
            await wire.request()
            most = max(most, pool.open)
            await wire.send(OK)

    async with peer(talk) as (origin, listener), pool_of(max_connections=20) as pool:
        results = await asyncio.gather(*(fetch(pool, call(origin)) for _ in range(1000)))
        assert results == [(200, b"hello")] * 1000
        assert listener.accepted == most == pool.created_total == 20
        assert pool.reused_total == 980


async def test_waiting_calls_are_served_in_order() -> None:
    order: list[bytes] = []

    async def talk(wire: Wire) -> None:
        while True:
            order.append((await wire.request())[1])
            await wire.send(OK)

    async with peer(talk) as (origin, _), pool_of(max_connections=1) as pool:
        bodies = [b"%d" % number for number in range(30)]
        await asyncio.gather(*(fetch(pool, call(origin, body)) for body in bodies))
        assert order == bodies


async def test_no_connection_in_time_is_a_gateway_overload() -> None:
    gate = Gate()
    async with peer(gate) as (origin, _), pool_of(max_connections=1) as pool:
        first = asyncio.create_task(fetch(pool, call(origin)))
        await until(lambda: gate.requested == 1)
        with pytest.raises(GatewayOverloaded, match="in use"):
            await fetch(pool, call(origin, timeouts=short(pool=0.03)))
        assert pool.waiting == 0
        gate.opened.set()
        assert await first == (200, b"001")


async def test_the_queue_is_limited() -> None:
    gate = Gate()
    async with peer(gate) as (origin, _), pool_of(max_connections=1, max_waiting=2) as pool:
        calls = [asyncio.create_task(outcome(pool, call(origin))) for _ in range(4)]
        await until(lambda: gate.requested == 1 and pool.waiting == 2)
        gate.opened.set()
        results = await asyncio.gather(*calls)
        assert [isinstance(result, GatewayOverloaded) for result in results] == [False, False, False, True]


async def test_the_slot_of_a_dead_connection_is_passed_to_the_next_waiting_call() -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()
        await asyncio.sleep(0.01)
        if wire.number != 1:
            await wire.send(numbered(wire))

    async with peer(talk) as (origin, _), pool_of(max_connections=1) as pool:
        results = await asyncio.gather(*(outcome(pool, call(origin)) for _ in range(3)))
        assert isinstance(results[0], UpstreamBroken)
        assert results[1:] == [(200, b"002"), (200, b"003")]


async def test_the_slot_of_a_failed_connection_is_passed_to_the_next_waiting_call() -> None:
    tries = itertools.count(1)
    async with peer(always(OK)) as (origin, _):

        async def resolver(host: str, port: int):  # type: ignore[no-untyped-def]
            await asyncio.sleep(0.01)
            if next(tries) == 1:
                raise OSError("no route")
            return await asyncio.get_running_loop().getaddrinfo(host, port, type=1)

        async with pool_of(max_connections=1, resolver=resolver) as pool:
            results = await asyncio.gather(*(outcome(pool, call(origin)) for _ in range(3)))
            assert isinstance(results[0], UpstreamUnreachable)
            assert results[1:] == [(200, b"hello")] * 2


# Nothing is lost


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 4\r\n\r\nwait",
        b"HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\ncontent-length: 4\r\n\r\noops",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
        b"nonsense",
        b"",
    ],
    ids=["429", "500 and close", "cut short", "no HTTP", "nothing"],
)
async def test_a_thousand_failures_leave_the_pool_balanced(reply: bytes) -> None:
    async def talk(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(reply)
            if not reply.startswith(b"HTTP/1.1 429"):
                return

    async with peer(talk) as (origin, _), pool_of(max_connections=10) as pool:
        for _ in range(10):
            results = await asyncio.gather(*(outcome(pool, call(origin)) for _ in range(100)))
            assert all(isinstance(result, GatewayError) or result[0] in {429, 500} for result in results)
            assert pool.open == pool.idle
        assert pool.waiting == 0


async def test_a_thousand_unread_error_replies_leave_the_pool_empty() -> None:
    reply = b"HTTP/1.1 429 Too Many Requests\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwait\r\n"
    async with peer(replies(reply, then=keep_open)) as (origin, listener), pool_of(max_connections=10) as pool:

        async def leave() -> None:
            await (await pool.send(call(origin))).aclose()

        await asyncio.gather(*(leave() for _ in range(1000)))
        assert pool.open == 0
        await until(lambda: listener.open == 0)


@pytest.mark.parametrize("after", [0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03])
@on_both_loops
async def test_calls_cancelled_at_any_time_release_everything(after: float) -> None:
    async def talk(wire: Wire) -> None:
        while True:
            await wire.request()
            await asyncio.sleep(0.004)
            await wire.send(OK[:-3])
            await asyncio.sleep(0.004)
            await wire.send(OK[-3:])

    async with peer(talk) as (origin, listener), pool_of(max_connections=4) as pool:
        calls = [asyncio.ensure_future(fetch(pool, call(origin, b"x" * 100_000))) for _ in range(20)]
        for number, task in enumerate(calls):
            if number % 3 == 0:
                await asyncio.sleep(after / 7)
            task.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) or result == (200, b"hello") for result in results)
        assert pool.waiting == 0
        assert pool.open == pool.idle
        assert await fetch(pool, call(origin)) == (200, b"hello")
    assert listener.open == 0


async def test_a_connection_for_a_just_cancelled_call_is_passed_to_the_next() -> None:
    gate = Gate()
    async with peer(gate) as (origin, listener), pool_of(max_connections=1) as pool:
        first = asyncio.create_task(pool.send(call(origin)))
        await until(lambda: gate.requested == 1)
        second = asyncio.create_task(pool.send(call(origin)))
        third = asyncio.create_task(fetch(pool, call(origin)))
        await until(lambda: pool.waiting == 2)
        [connection] = pool.alive
        connection.data_received(OK)  # gives the connection to the second caller, which has not run yet
        second.cancel()
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert await (await first).read(9) == b"hello"
        assert await third == (200, b"001")  # the peer's answer to what the first caller had requested
        assert listener.accepted == 1


async def test_a_connection_that_dies_before_the_waiting_call_resumes_is_replaced() -> None:
    gate = Gate()
    async with peer(gate) as (origin, listener), pool_of(max_connections=1) as pool:
        first = asyncio.create_task(pool.send(call(origin)))
        await until(lambda: gate.requested == 1)
        second = asyncio.create_task(fetch(pool, call(origin)))
        await until(lambda: pool.waiting == 1)
        [connection] = pool.alive
        connection.data_received(OK)  # gives the connection to the second caller, which has not run yet
        connection.close()
        gate.opened.set()
        assert await (await first).read(9) == b"hello"
        assert await second == (200, b"002")
        assert listener.accepted == 2


async def test_timed_out_calls_leave_the_queue() -> None:
    gate = Gate()
    async with peer(gate) as (origin, _), pool_of(max_connections=1) as pool:
        first = asyncio.create_task(fetch(pool, call(origin)))
        await until(lambda: gate.requested == 1)
        waiting = [asyncio.create_task(outcome(pool, call(origin, timeouts=short(pool=0.02)))) for _ in range(50)]
        await until(lambda: pool.waiting == 50)
        for task in waiting[::2]:
            task.cancel()
        await asyncio.wait(waiting)
        assert len(pool._origins[origin]._waiters) == pool.waiting == 0
        gate.opened.set()
        assert await first == (200, b"001")


async def test_a_cancelled_wait_leaves_the_queue() -> None:
    gate = Gate()
    async with peer(gate) as (origin, _), pool_of(max_connections=1) as pool:
        first = asyncio.create_task(fetch(pool, call(origin)))
        await until(lambda: gate.requested == 1)
        second, third = (asyncio.create_task(fetch(pool, call(origin))) for _ in range(2))
        await until(lambda: pool.waiting == 2)
        second.cancel()
        await asyncio.wait([second])
        assert pool.waiting == 1
        gate.opened.set()
        assert await first == await third == (200, b"001")


async def test_a_call_cancelled_while_connecting_releases_its_slot() -> None:
    entered = asyncio.Event()

    async def resolver(host: str, port: int):  # type: ignore[no-untyped-def]
        entered.set()
        await asyncio.sleep(9)

    async with pool_of(resolver=resolver) as pool:
        task = asyncio.create_task(pool.send(call(Origin("http", "a.example", 80))))
        await entered.wait()
        assert pool.open == 1
        task.cancel()
        await asyncio.wait([task])
        assert pool.open == 0


async def test_a_malformed_call_opens_no_connection() -> None:
    async with pool_of() as pool:
        with pytest.raises(ValueError):
            await pool.send(call(Origin("http", "a.example", 80), headers=[(b"x", b"a\r\nb: c")]))
        assert (pool.open, pool.created_total) == (0, 0)


# The end


@on_both_loops
async def test_closing_the_pool_ends_running_calls_and_fails_waiting_ones() -> None:
    gate = Gate()
    async with peer(gate) as (origin, listener), pool_of(max_connections=2) as pool:
        calls = [asyncio.create_task(outcome(pool, call(origin))) for _ in range(4)]
        await until(lambda: gate.requested == 2 and pool.waiting == 2)
        await pool.aclose()
        results = await asyncio.gather(*calls)
        assert [type(result) for result in results] == [UpstreamBroken] * 2 + [GatewayDraining] * 2
        with pytest.raises(GatewayDraining):
            await pool.send(call(origin))
        await pool.aclose()
        gate.opened.set()
        await until(lambda: listener.open == 0)


async def test_closing_the_pool_causes_no_retry() -> None:
    async with peer(replies(OK, then=keep_open)) as (origin, listener), pool_of() as pool:
        await fetch(pool, call(origin))
        task = asyncio.create_task(outcome(pool, call(origin)))
        await asyncio.sleep(0.01)
        await pool.aclose()
        assert isinstance(await task, GatewayError)
        assert listener.accepted == 1


async def test_a_connection_opened_while_the_pool_closes_is_closed() -> None:
    closing = asyncio.Event()

    async with peer(always(OK)) as (origin, _):

        async def resolver(host: str, port: int):  # type: ignore[no-untyped-def]
            closing.set()
            await asyncio.sleep(0.01)
            return await asyncio.get_running_loop().getaddrinfo(host, port, type=1)

        async with pool_of(resolver=resolver) as pool:
            task = asyncio.create_task(outcome(pool, call(origin)))
            await closing.wait()
            await pool.aclose()
            assert isinstance(await task, GatewayDraining)
            assert pool.open == 0


async def test_unused_origins_are_dropped() -> None:
    async with peer(always(OK)) as (origin, _):

        async def resolver(host: str, port: int):  # type: ignore[no-untyped-def]
            return await asyncio.get_running_loop().getaddrinfo("127.0.0.1", origin.port, type=1)

        async with pool_of(resolver=resolver, idle_expiry=0.001) as pool:
            for number in range(20):
                assert (await fetch(pool, call(Origin("http", f"{number}.example", 80))))[1] == b"hello"
                await until(lambda: pool.open == 0)
            assert len(pool._origins) == 1


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the loop that ended left its transports open
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_pool_can_be_used_in_a_new_loop(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    pool = HttpPool()

    async def use() -> None:
        async with peer(always(OK)) as (origin, _):
            for _ in range(2):
                assert await fetch(pool, call(origin)) == (200, b"hello")
            assert (pool.open, pool.idle) == (1, 1)

    for _ in range(3):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(use())
    assert (pool.created_total, pool.reused_total) == (3, 3)
    gc.collect()


async def test_a_pool_rejects_a_second_running_loop() -> None:
    async with peer(always(OK)) as (origin, _), pool_of() as pool:
        await fetch(pool, call(origin))
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, pool.send(call(origin)))
        assert await fetch(pool, call(origin)) == (200, b"hello")


async def test_an_unused_pool_can_be_closed() -> None:
    pool = HttpPool()
    await pool.aclose()
    await pool.aclose()
