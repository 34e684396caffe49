"""Connecting: order of addresses, distinct errors, no leaked socket."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from modelmux.errors import InvalidRequest, UpstreamTimeout, UpstreamUnreachable
from modelmux.upstream import connect as connect_module
from modelmux.upstream.connect import AddressInfo, Resolve, _interleave_families, connect, tls_context
from modelmux.wire.http import Origin, Timeouts
from support.http_peers import OK, Wire, always, call, fetch, on_both_loops, open_sockets, peer, pool_of, until


def at(*addresses: tuple[str, int]) -> Resolve:
    """A resolver that knows only these addresses."""

    async def resolver(host: str, port: int) -> list[AddressInfo]:
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, number))
            for address, number in addresses
        ]

    return resolver


class Recorder(asyncio.Protocol):
    """Stores its transport."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port that neither accepts nor refuses connections: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        time.sleep(0.01)
        try:
            yield port
        finally:
            for filler in fillers:
                filler.close()


@contextmanager
def refusing_port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound, not listening
        yield sock.getsockname()[1]


def test_address_families_alternate_starting_with_the_first() -> None:
    six = [(socket.AF_INET6, 1, 6, "", (f"::{n}", 1, 0, 0)) for n in range(3)]
    four = [(socket.AF_INET, 1, 6, "", (f"10.0.0.{n}", 1)) for n in range(2)]
    assert _interleave_families([*six, *four]) == [six[0], four[0], six[1], four[1], six[2]]
    assert _interleave_families([*four, *six])[0] == four[0]


@on_both_loops
async def test_the_socket_has_nodelay_and_keepalive() -> None:
    async with peer(always(OK)) as (origin, _), pool_of() as pool:
        await fetch(pool, call(origin))
        [connection] = pool.alive
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0


@on_both_loops
async def test_a_refused_address_is_skipped_without_a_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect_module, "ATTEMPT_DELAY", 60)
    async with peer(always(OK)) as (origin, _):
        with refusing_port() as port:
            resolver = at(("127.0.0.1", port), ("::1", port), ("127.0.0.1", origin.port))
            async with pool_of(resolver=resolver) as pool:
                assert await fetch(pool, call(Origin("http", "a.example", 80))) == (200, b"hello")


@on_both_loops
async def test_the_next_address_is_tried_after_the_attempt_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect_module.ATTEMPT_DELAY == 0.25, "RFC 8305"
    attempts: list[int] = []
    connect_address = connect_module._connect_address

    async def counted(loop: asyncio.AbstractEventLoop, info: AddressInfo) -> socket.socket:
        attempts.append(cast("int", info[4][1]))
        return await connect_address(loop, info)

    monkeypatch.setattr(connect_module, "_connect_address", counted)
    async with peer(always(OK)) as (origin, _):
        with deaf_port() as port:
            async with pool_of(resolver=at(("127.0.0.1", port), ("127.0.0.1", origin.port))) as pool:
                monkeypatch.setattr(connect_module, "ATTEMPT_DELAY", 60)
                with pytest.raises(UpstreamTimeout):
                    await pool.send(call(Origin("http", "a.example", 80), timeouts=Timeouts(connect=0.1)))
                assert attempts == [port], "not before the delay"
                monkeypatch.setattr(connect_module, "ATTEMPT_DELAY", 0.01)
                assert await fetch(pool, call(Origin("http", "a.example", 80))) == (200, b"hello")
                assert attempts == [port, port, origin.port]


@on_both_loops
async def test_an_unresponsive_address_is_a_connect_timeout() -> None:
    with deaf_port() as port:
        async with pool_of() as pool:
            origin = Origin("http", "127.0.0.1", port)
            with pytest.raises(UpstreamTimeout, match=r"within 0\.05 s") as caught:
                await pool.send(call(origin, timeouts=Timeouts(connect=0.05)))
            assert caught.value.clock == "connect"
            assert "127.0.0.1" not in caught.value.public_message
            assert caught.value.detail == f"127.0.0.1:{port}"


@on_both_loops
async def test_a_slow_name_server_is_a_connect_timeout() -> None:
    async def resolver(host: str, port: int) -> list[AddressInfo]:
        await asyncio.sleep(5)
        return []

    async with pool_of(resolver=resolver) as pool:
        with pytest.raises(UpstreamTimeout) as caught:
            await pool.send(call(Origin("http", "a.example", 80), timeouts=Timeouts(connect=0.03)))
        assert caught.value.clock == "connect"


@pytest.mark.parametrize("count", [1, 3])
@on_both_loops
async def test_all_causes_of_a_failure_are_for_the_operator_only(count: int) -> None:
    with refusing_port() as port:
        async with pool_of(resolver=at(*[("127.0.0.1", port)] * count)) as pool:
            with pytest.raises(UpstreamUnreachable) as caught:
                await pool.send(call(Origin("http", "secret.example", 80)))
    assert "example" not in caught.value.public_message
    assert caught.value.detail is not None
    assert caught.value.detail.startswith("secret.example:80: ")
    assert caught.value.detail.count("Errno") == count


@on_both_loops
async def test_an_unresolvable_name() -> None:
    async with pool_of() as pool:
        with pytest.raises(UpstreamUnreachable, match="could not be resolved") as caught:
            await pool.send(call(Origin("http", "no-such-host.invalid", 80)))
        assert "no-such-host.invalid" in (caught.value.detail or "")
        assert caught.value.hint


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
@on_both_loops
async def test_a_name_that_cannot_be_encoded(host: str) -> None:
    async with pool_of() as pool:
        with pytest.raises(UpstreamUnreachable):
            await pool.send(call(Origin("http", host, 80)))


async def test_a_host_without_addresses() -> None:
    async with pool_of(resolver=at()) as pool:
        with pytest.raises(UpstreamUnreachable):
            await pool.send(call(Origin("http", "a.example", 80)))


async def test_a_resolver_may_reject_a_host() -> None:
    async def resolver(host: str, port: int) -> list[AddressInfo]:
        raise InvalidRequest("That address is not public.")

    async with pool_of(resolver=resolver) as pool:
        with pytest.raises(InvalidRequest):
            await pool.send(call(Origin("http", "a.example", 80)))
        assert pool.open == 0


async def test_the_connection_uses_the_resolved_address() -> None:
    hosts: list[bytes] = []

    async def talk(wire: Wire) -> None:
        hosts.append((await wire.request())[0])
        await wire.send(OK)

    async with peer(talk) as (origin, _), pool_of(resolver=at(("127.0.0.1", origin.port))) as pool:
        await fetch(pool, call(Origin("http", "public.example", 80)))
        assert b"\r\nhost: public.example\r\n" in hosts[0]


@on_both_loops
async def test_attempts_cancelled_at_any_moment_leave_no_socket() -> None:
    async with peer(always(OK)) as (origin, _):
        before = open_sockets()
        with deaf_port() as port:
            during = open_sockets()
            resolver = at(("127.0.0.1", port), ("127.0.0.1", origin.port), ("::1", origin.port))
            for delay in range(12):
                task = asyncio.ensure_future(connect(Recorder, Origin("http", "a.example", 80), resolver=resolver))
                for _ in range(delay):
                    await asyncio.sleep(0)
                if delay > 8:
                    await asyncio.sleep(0.25)
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.result().transport.abort()
                await until(lambda: open_sockets() <= during)
        await until(lambda: open_sockets() <= before)


@pytest.mark.parametrize("scheme", ["http", "https"])
@on_both_loops
async def test_a_cancelled_attempt_does_not_close_a_reused_descriptor(scheme: str) -> None:
    context = tls_context() if scheme == "https" else None
    async with peer(always(OK)) as (origin, _):
        for turns in range(25):
            what = Origin(scheme, "127.0.0.1", origin.port)
            task = asyncio.ensure_future(connect(Recorder, what, context=context))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            ours, theirs = socket.socketpair()  # takes the lowest free descriptors
            with ours, theirs:
                await asyncio.sleep(0.003)
                assert ours.send(b"x") == 1, turns
                assert theirs.recv(1) == b"x", turns
            if not task.cancelled() and task.exception() is None:
                task.result().transport.abort()
                break
