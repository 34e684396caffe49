"""Selection of the proxy by the environment, and errors of the tunnel."""

from __future__ import annotations

import asyncio
import socket

import pytest

from modelmux.errors import UpstreamUnreachable
from modelmux.upstream.proxy import MAX_TUNNEL_HEAD, Proxies, Proxy, open_tunnel
from modelmux.wire.http import Origin

VERTEX = Origin("https", "us-east5-aiplatform.googleapis.com", 443)
PROXY = "http://proxy.example:3128"


def proxied(environment: dict[str, str], origin: Origin = VERTEX) -> str | None:
    proxy = Proxies.from_environment(environment).proxy_for(origin)
    return proxy and f"{proxy.host}:{proxy.port}"


@pytest.mark.parametrize(
    ("environment", "https", "http"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": PROXY}, "proxy.example:3128", None),
        ({"HTTP_PROXY": PROXY}, None, "proxy.example:3128"),
        ({"ALL_PROXY": PROXY}, "proxy.example:3128", "proxy.example:3128"),
        ({"HTTPS_PROXY": "http://a:1", "ALL_PROXY": "http://b:2"}, "a:1", "b:2"),
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:2"}, "lower:2", None),
        ({"https_proxy": ""}, None, None),
        ({"https_proxy": "proxy.example:3128"}, "proxy.example:3128", None),
        ({"https_proxy": "http://proxy.example"}, "proxy.example:80", None),
        ({"https_proxy": "http://[::1]:3128/"}, "::1:3128", None),
    ],
)
def test_environment_variables(environment: dict[str, str], https: str | None, http: str | None) -> None:
    assert proxied(environment) == https
    assert proxied(environment, Origin("http", "a.example", 80)) == http


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("*", "a.example", True),
        ("a.example", "a.example", True),
        ("a.example", "A.Example", True),
        ("A.EXAMPLE", "a.example", True),
        ("a.example", "a.example.", True),
        ("a.example", "sub.a.example", True),
        (".a.example", "sub.a.example", True),
        (".a.example", "a.example", True),
        ("*.a.example", "sub.a.example", True),
        ("a.example", "nota.example", False),
        ("sub.a.example", "a.example", False),
        ("b.example, a.example", "a.example", True),
        ("b.example a.example", "a.example", True),
        ("a.example:443", "a.example", True),
        ("a.example:8443", "a.example", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "10.example", False),
        ("2", "10.1.2.2", False),
        ("fd00::/8", "fd00::1", True),
        ("fd00::1", "fd00::1", True),
        ("[fd00::1]:443", "fd00::1", True),
        ("[fd00::1]:444", "fd00::1", False),
        ("", "a.example", False),
        (",", "a.example", False),
    ],
)
def test_no_proxy(no_proxy: str, host: str, direct: bool) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        proxy = proxied({"https_proxy": PROXY, name: no_proxy}, Origin("https", host, 443))
        assert (proxy is None) is direct


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_bypasses_the_proxy(host: str) -> None:
    assert proxied({"all_proxy": PROXY}, Origin("http", host, 8080)) is None


@pytest.mark.parametrize(
    "url", ["socks5://proxy:1080", "https://proxy:3128", "http://", "http://proxy:port", "http://a b:1", "http://[::1"]
)
def test_an_invalid_proxy_is_an_error_that_names_the_variable(url: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY must be the URL of an HTTP proxy"):
        Proxies.from_environment({"HTTPS_PROXY": url})


def test_the_credentials_of_a_proxy_are_sent_and_never_shown() -> None:
    proxy = Proxy.parse("http://us%40er:p%3Ass@proxy.example:3128", "https_proxy")
    assert proxy.authorization == "Basic dXNAZXI6cDpzcw=="
    assert "dXNA" not in repr(proxy)
    with pytest.raises(ValueError) as caught:
        Proxy.parse("socks5://user:secret@proxy.example", "https_proxy")
    assert "secret" not in str(caught.value)


async def tunnel(reply: bytes, *, proxy: Proxy | None = None, host: str = "up.example") -> bytes:
    """Open a tunnel through a peer that replies ``reply``; returns the request."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.sendall(reply)
        theirs.shutdown(socket.SHUT_WR)
        origin = Origin("https", host, 443)
        await open_tunnel(asyncio.get_running_loop(), ours, proxy or Proxy("proxy.example", 3128), origin)
        return theirs.recv(65536)


async def test_the_connect_request() -> None:
    ok = b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n"
    assert await tunnel(ok) == b"CONNECT up.example:443 HTTP/1.1\r\nhost: up.example:443\r\n\r\n"
    request = await tunnel(ok, proxy=Proxy("proxy.example", 3128, "Basic eA=="), host="::1")
    assert request == b"CONNECT [::1]:443 HTTP/1.1\r\nhost: [::1]:443\r\nproxy-authorization: Basic eA==\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "The proxy requires authentication."),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "The proxy did not open"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "The proxy did not open"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://login/\r\n\r\n", "The proxy did not open"),
        (b"HTTP/1.1 200 OK\r\n\r\nunasked", "The proxy did not open"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "The proxy did not open"),
        (b"HTTP/1.1 200 OK\r\n", "The proxy did not open"),
        (b"HTTP/2 200\r\n\r\n", "The proxy did not open"),
        (b"SSH-2.0\r\n\r\n", "The proxy did not open"),
        (b"", "The proxy did not open"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * MAX_TUNNEL_HEAD, "The proxy did not open"),
    ],
)
async def test_a_proxy_that_rejects_the_tunnel(reply: bytes, message: str) -> None:
    with pytest.raises(UpstreamUnreachable, match=message) as caught:
        await tunnel(reply, proxy=Proxy("proxy.example", 3128, "Basic c2VjcmV0"))
    assert caught.value.hint
    assert "example" not in caught.value.public_message
    assert "proxy.example:3128 to CONNECT up.example:443" in (caught.value.detail or "")
    assert "c2VjcmV0" not in f"{caught.value.detail}"
