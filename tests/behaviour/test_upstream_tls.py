"""Risk: a wrong certificate is trusted, a right one is not, or TLS changes how connections behave."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from modelmux.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from modelmux.upstream.connect import tls_context
from modelmux.upstream.pool import HttpPool
from modelmux.wire.http import Origin, Timeouts
from support.http_peers import (
    OK,
    Peer,
    Talk,
    Wire,
    always,
    call,
    fetch,
    keep_open,
    on_both_loops,
    peer,
    pool_of,
    replies,
    until,
)
from support.http_servers import Authority, asgi_server, needs_nginx, nginx_server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", params=["httptools", "hypercorn"])
def origin(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Origin]:
    with asgi_server(request.param, tls=authority.certificate("localhost")) as started:
        yield started


@pytest.fixture(scope="module")
def nginx(authority: Authority) -> Iterator[Origin]:
    with nginx_server("ssl_protocols TLSv1.2 TLSv1.3;", tls=authority.certificate("localhost")) as started:
        yield started


def server_side(authority: Authority, host: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.certificate(host))
    return context


@asynccontextmanager
async def served(
    talk: Talk, authority: Authority, host: str = "localhost"
) -> AsyncIterator[tuple[Origin, Peer, HttpPool]]:
    """A TLS peer that ``authority`` vouches for as ``host``, and a pool that trusts the authority."""
    tls = server_side(authority, host)
    async with peer(talk, tls=tls) as (origin, listener), pool_of(ca_file=authority.file) as pool:
        yield origin, listener, pool


@on_both_loops
async def test_calls_over_tls_share_a_connection(origin: Origin, authority: Authority) -> None:
    async with pool_of(ca_file=authority.file) as pool:
        for _ in range(10):
            status, body = await fetch(pool, call(origin, b"x" * 1000))
            assert (status, json.loads(body)["size"]) == (200, 1000)
        assert pool.created_total == 1


@on_both_loops
async def test_thirty_megabytes_each_way_over_tls(origin: Origin, authority: Authority) -> None:
    async with pool_of(ca_file=authority.file) as pool:
        body = bytes(range(256)) * (30_000_000 // 256)
        _, seen = await fetch(pool, call(origin, body))
        assert json.loads(seen)["sha256"] == hashlib.sha256(body).hexdigest()
        status, back = await fetch(pool, call(origin, target="/large?n=30000000"))
        assert (status, len(back)) == (200, 30_000_000)
        assert pool.created_total == 1


@on_both_loops
async def test_a_slow_reader_over_tls_does_not_fill_the_memory(origin: Origin, authority: Authority) -> None:
    async with pool_of(ca_file=authority.file) as pool:
        what = call(origin, target="/large?n=20000000&length=1")
        await fetch(pool, call(origin))
        tracemalloc.start()
        try:
            reply = await pool.send(what)
            size = 0
            async for part in reply:
                size += len(part)
                if size < 2_000_000:
                    await asyncio.sleep(0.02)
            await reply.aclose()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert size == 20_000_000
        assert peak < 5_000_000


@needs_nginx
@on_both_loops
async def test_nginx_over_tls(nginx: Origin, authority: Authority) -> None:
    async with pool_of(ca_file=authority.file, max_connections=4) as pool:
        what = call(nginx, b"", method="GET", target="/hello")
        assert set(await asyncio.gather(*(fetch(pool, what) for _ in range(100)))) == {(200, b"hello")}
        _, body = await fetch(pool, call(nginx, b"", method="GET", target="/files/large"))
        assert len(body) == 30_000_000


@on_both_loops
async def test_an_unknown_authority_is_not_trusted(authority: Authority) -> None:
    async with peer(always(OK), tls=server_side(authority)) as (origin, _), pool_of() as pool:
        with pytest.raises(UpstreamUnreachable, match="certificate was not accepted") as caught:
            await pool.send(call(origin))
        assert "CA certificate" in (caught.value.hint or "")
        assert "localhost" not in caught.value.public_message
        assert f"localhost:{origin.port}" in (caught.value.detail or "")


@on_both_loops
async def test_a_certificate_for_another_host_is_not_accepted(authority: Authority) -> None:
    async with served(always(OK), authority, "other.example") as (origin, _, pool):
        with pytest.raises(UpstreamUnreachable, match="certificate was not accepted"):
            await pool.send(call(origin))


@on_both_loops
async def test_the_handshake_names_the_host_and_http_1_1(authority: Authority) -> None:
    names: list[str | None] = []
    context = server_side(authority)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    context.set_alpn_protocols(["h2", "http/1.1"])
    spoken: list[str | None] = []

    async def talk(wire: Wire) -> None:
        spoken.append(wire.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await always(OK)(wire)

    async with peer(talk, tls=context) as (origin, _), pool_of(ca_file=authority.file) as pool:
        assert await fetch(pool, call(origin)) == (200, b"hello")
        assert (names, spoken) == (["localhost"], ["http/1.1"])


def test_nothing_older_than_tls_1_2_and_hosts_are_checked(authority: Authority) -> None:
    context = tls_context(authority.file)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_further_authorities_are_further_not_instead(authority: Authority) -> None:
    more, usual = tls_context(authority.file).cert_store_stats(), tls_context().cert_store_stats()
    assert more["x509_ca"] == usual["x509_ca"] + 1


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_is_none_is_an_error_at_once(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OSError):
        tls_context(str(file))


@on_both_loops
async def test_a_server_that_speaks_no_tls(authority: Authority) -> None:
    async def talk(wire: Wire) -> None:
        await wire.reader.read(10)
        await wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with peer(talk) as (plain, _), pool_of(ca_file=authority.file) as pool:
        with pytest.raises(UpstreamUnreachable, match="Could not establish a TLS connection"):
            await pool.send(call(Origin("https", "localhost", plain.port)))


@pytest.mark.parametrize("reset", [False, True])
@on_both_loops
async def test_a_server_that_leaves_in_the_handshake(reset: bool) -> None:
    async def talk(wire: Wire) -> None:
        await wire.reader.read(10)
        if reset:
            wire.reset()

    async with peer(talk) as (plain, _), pool_of() as pool:
        with pytest.raises(UpstreamUnreachable):
            await pool.send(call(Origin("https", "localhost", plain.port)))


@on_both_loops
async def test_a_handshake_that_does_not_end_runs_the_connect_clock_out() -> None:
    async with peer(keep_open) as (plain, listener), pool_of() as pool:
        with pytest.raises(UpstreamTimeout) as caught:
            await pool.send(call(Origin("https", "localhost", plain.port), timeouts=Timeouts(connect=0.1)))
        assert caught.value.clock == "connect"
        await until(lambda: listener.open == 0)


@on_both_loops
async def test_a_call_cancelled_in_the_handshake_leaves_nothing() -> None:
    async with peer(keep_open) as (plain, listener), pool_of() as pool:
        task = asyncio.ensure_future(pool.send(call(Origin("https", "localhost", plain.port))))
        await until(lambda: listener.open == 1)
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
        assert pool.open == 0
        await until(lambda: listener.open == 0)


@on_both_loops
async def test_a_call_cancelled_in_its_reply_leaves_nothing(authority: Authority) -> None:
    async with served(replies(OK[:-1], then=keep_open), authority) as (origin, listener, pool):
        task = asyncio.ensure_future(fetch(pool, call(origin)))
        await until(lambda: listener.open == 1)
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        assert pool.open == 0
        await until(lambda: listener.open == 0)


@on_both_loops
async def test_a_tls_connection_that_ends_early_is_an_error(authority: Authority) -> None:
    async with served(replies(OK[:-1]), authority) as (origin, _, pool):
        with pytest.raises(UpstreamBroken) as caught:
            await fetch(pool, call(origin))
        assert caught.value.reply_started


@on_both_loops
async def test_a_connection_closed_while_idle_over_tls_is_not_used(authority: Authority) -> None:
    async with served(replies(OK), authority) as (origin, listener, pool):
        for number in (1, 2):
            assert await fetch(pool, call(origin)) == (200, b"hello")
            await until(lambda: pool.open == 0)
            assert listener.accepted == number


@pytest.mark.parametrize("size", [2, 500_000])
@on_both_loops
async def test_a_call_on_a_closing_tls_connection_is_sent_again(authority: Authority, size: int) -> None:
    async def talk(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        if wire.number > 1:
            await wire.send(OK)

    async with peer(talk, tls=server_side(authority)) as (origin, listener), pool_of(ca_file=authority.file) as pool:
        await fetch(pool, call(origin))
        assert await fetch(pool, call(origin, b"x" * size)) == (200, b"hello")
        assert listener.accepted == 2


@on_both_loops
async def test_a_tls_peer_that_does_not_take_the_request_runs_send_out(authority: Authority) -> None:
    release = asyncio.Event()

    async def talk(wire: Wire) -> None:
        wire.writer.transport.pause_reading()
        await release.wait()

    async with peer(talk, tls=server_side(authority)) as (origin, _), pool_of(ca_file=authority.file) as pool:
        with pytest.raises(UpstreamTimeout) as caught:
            await fetch(pool, call(origin, b"x" * 20_000_000, timeouts=Timeouts(send=0.2, first_byte=9)))
        assert caught.value.clock == "send"
        assert pool.open == 0
        release.set()
