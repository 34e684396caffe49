"""Risk: calls do not pass a forward proxy (tunnels, login, refusals), or use it for hosts that are excluded."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from modelmux.errors import UpstreamTimeout, UpstreamUnreachable
from modelmux.upstream.pool import HttpPool
from modelmux.upstream.proxy import Proxies
from modelmux.wire.http import Origin, Timeouts
from support.http_peers import OK, always, call, fetch, keep_open, on_both_loops, peer, pool_of, until
from support.http_proxy import TunnelProxy, tunnel_proxy
from support.http_servers import Authority

VERTEX = "us-east5-aiplatform.googleapis.com"


def proxies(port: int, login: str = "", **more: str) -> Proxies:
    return Proxies.from_environment({"ALL_PROXY": f"http://{login}127.0.0.1:{port}", **more})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def server_side(authority: Authority, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.certificate(host))
    return context


@asynccontextmanager
async def behind_proxy(
    *, tls: ssl.SSLContext | None = None, ca_file: str | None = None, needs: str | None = None, login: str = ""
) -> AsyncIterator[tuple[HttpPool, TunnelProxy]]:
    """A pool whose proxy leads to one peer, whatever is asked for.

    :param needs: the Proxy-Authorization that the proxy wants. :param login: ``user:password@`` of its URL.
    """
    async with peer(always(OK), tls=tls) as (upstream, _), tunnel_proxy(upstream.port, login=needs) as proxy:
        settings = proxies(proxy.port, login)
        async with pool_of(proxies=settings, ca_file=ca_file) as pool:
            yield pool, proxy


@on_both_loops
async def test_an_https_origin_is_reached_through_a_tunnel_and_checked_end_to_end(authority: Authority) -> None:
    tls = server_side(authority, VERTEX)
    async with behind_proxy(tls=tls, ca_file=authority.file) as (pool, proxy):
        origin = Origin("https", VERTEX, 443)
        for _ in range(5):
            assert await fetch(pool, call(origin, b"x" * 100_000)) == (200, b"hello")
        assert proxy.requests == [f"CONNECT {VERTEX}:443 HTTP/1.1\r\nhost: {VERTEX}:443\r\n\r\n"]


@on_both_loops
async def test_a_proxy_that_puts_another_server_in_is_not_trusted(authority: Authority) -> None:
    tls = server_side(authority, "evil.example")
    async with behind_proxy(tls=tls, ca_file=authority.file) as (pool, _):
        with pytest.raises(UpstreamUnreachable, match="certificate was not accepted"):
            await pool.send(call(Origin("https", VERTEX, 443)))


@on_both_loops
async def test_an_http_origin_uses_a_tunnel_too() -> None:
    async with behind_proxy() as (pool, proxy):
        for _ in range(3):
            assert await fetch(pool, call(Origin("http", "a.example", 8080))) == (200, b"hello")
        assert [head.split("\r\n")[0] for head in proxy.requests] == ["CONNECT a.example:8080 HTTP/1.1"]


@on_both_loops
async def test_the_login_in_the_url_is_used() -> None:
    async with behind_proxy(needs="Basic dXNlcjpwQHNz", login="user:p%40ss@") as (pool, _):
        assert await fetch(pool, call(Origin("http", "a.example", 80))) == (200, b"hello")


@on_both_loops
async def test_a_missing_login_is_reported() -> None:
    async with behind_proxy(needs="Basic x") as (pool, _):
        with pytest.raises(UpstreamUnreachable, match="requires authentication"):
            await pool.send(call(Origin("http", "a.example", 80)))


@on_both_loops
async def test_a_wrong_login_is_reported_and_not_shown() -> None:
    async with behind_proxy(needs="Basic x", login="user:secret@") as (pool, _):
        with pytest.raises(UpstreamUnreachable, match="requires authentication") as caught:
            await pool.send(call(Origin("http", "a.example", 80)))
        shown = f"{caught.value!r} {caught.value.public_message} {caught.value.detail}"
        assert "secret" not in shown
        assert "dXNlc" not in shown


@pytest.mark.parametrize("status", [b"502 Bad Gateway", b"403 Forbidden", b"503 Service Unavailable"])
@on_both_loops
async def test_a_refused_tunnel_is_an_unreachable_upstream(status: bytes) -> None:
    refuse = b"HTTP/1.1 " + status + b"\r\ncontent-length: 3\r\n\r\nno!"
    async with tunnel_proxy(1, refuse=refuse) as proxy, pool_of(proxies=proxies(proxy.port)) as pool:
        with pytest.raises(UpstreamUnreachable, match="did not open a tunnel") as caught:
            await pool.send(call(Origin("https", VERTEX, 443)))
        assert VERTEX not in caught.value.public_message
        assert f"status {status[:3].decode()}" in (caught.value.detail or "")
        assert pool.open == 0


@on_both_loops
async def test_a_proxy_that_is_not_there() -> None:
    async with pool_of(proxies=proxies(1)) as pool:
        with pytest.raises(UpstreamUnreachable) as caught:
            await pool.send(call(Origin("https", VERTEX, 443)))
        assert "proxy 127.0.0.1:1" in (caught.value.detail or "")


@on_both_loops
async def test_a_silent_proxy_runs_the_connect_clock_out() -> None:
    async with peer(keep_open) as (silent, listener), pool_of(proxies=proxies(silent.port)) as pool:
        with pytest.raises(UpstreamTimeout) as caught:
            await pool.send(call(Origin("https", VERTEX, 443), timeouts=Timeouts(connect=0.05)))
        assert caught.value.clock == "connect"
        await until(lambda: listener.open == 0)


@on_both_loops
async def test_a_call_cancelled_while_the_tunnel_opens_leaves_nothing() -> None:
    async with peer(keep_open) as (silent, listener), pool_of(proxies=proxies(silent.port)) as pool:
        task = asyncio.ensure_future(pool.send(call(Origin("https", VERTEX, 443))))
        await until(lambda: listener.open == 1)
        task.cancel()
        await asyncio.wait([task])
        assert pool.open == 0
        await until(lambda: listener.open == 0)


@on_both_loops
async def test_this_machine_is_reached_without_the_proxy() -> None:
    async with peer(always(OK)) as (origin, _), pool_of(proxies=proxies(1)) as pool:
        assert await fetch(pool, call(origin)) == (200, b"hello")


@on_both_loops
async def test_no_proxy_is_heeded() -> None:
    async with peer(always(OK)) as (upstream, _), tunnel_proxy(upstream.port) as proxy:

        async def resolver(host: str, port: int):  # type: ignore[no-untyped-def]
            return await asyncio.get_running_loop().getaddrinfo("127.0.0.1", upstream.port, type=1)

        settings = proxies(proxy.port, NO_PROXY="direct.example")
        async with pool_of(proxies=settings, resolver=resolver) as pool:
            assert await fetch(pool, call(Origin("http", "sub.direct.example", 80))) == (200, b"hello")
            assert proxy.requests == []
            assert await fetch(pool, call(Origin("http", "far.example", 80))) == (200, b"hello")
            assert len(proxy.requests) == 1
