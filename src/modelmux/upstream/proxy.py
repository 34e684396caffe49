"""Selects the proxy for an origin and opens a tunnel through it.

The settings are passed in as an environment mapping: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, of which the
lower-case variants take precedence. All origins, http ones too, use CONNECT: one code path, and no proxy ever sees a
request.

Not in this module: opening sockets, TLS, reading ``os.environ``.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from modelmux.errors import UpstreamUnreachable
from modelmux.wire.http import Origin

#: Size limit of the reply to CONNECT.
MAX_TUNNEL_HEAD: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; ``authorization`` is the value of Proxy-Authorization."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, name: str) -> Self:
        """Parse the URL of a proxy.

        :param name: of the environment variable, for the message.
        :raises ValueError: not the URL of an HTTP proxy. The message does not quote it: it may contain a password.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme != "http" or not re.fullmatch(r"[0-9A-Za-z._\-:]+", host):
            raise ValueError(f"{name} must be the URL of an HTTP proxy, for example http://proxy.example:3128")
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        return cls(host, port or 80, authorization)


class Proxies:
    """The proxies of an environment.

    :param https: for https origins.
    :param http: for http origins.
    :param bypass: hosts without a proxy, in the form of NO_PROXY: ``*``, a host (with its subdomains), an address, a
        network (``10.0.0.0/8``), each with an optional ``:port``.
    """

    def __init__(self, https: Proxy | None = None, http: Proxy | None = None, bypass: str = "") -> None:
        self._by_scheme = {"https": https, "http": http}
        self._bypass = [rule.lower() for rule in re.split(r"[,\s]+", bypass) if rule]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """:raises ValueError: a variable is not the URL of an HTTP proxy; the message names it."""

        def proxy(*names: str) -> Proxy | None:
            for name in (variant for upper in names for variant in (upper.lower(), upper)):
                if url := environment.get(name, "").strip():
                    return Proxy.parse(url, name)
            return None

        bypass = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
        return cls(proxy("HTTPS_PROXY", "ALL_PROXY"), proxy("HTTP_PROXY", "ALL_PROXY"), bypass)

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """The proxy for ``origin``; None to connect directly, which loopback addresses always do."""
        proxy = self._by_scheme[origin.scheme]
        if proxy is None or self._bypassed(origin.host.lower().rstrip("."), origin.port):
            return None
        return proxy

    def _bypassed(self, host: str, port: int) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            address = None
        if host == "localhost" or (address is not None and address.is_loopback):
            return True
        return any(_matches(rule, host, address, port) for rule in self._bypass)


def _matches(rule: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
    if rule == "*":
        return True
    if match := re.fullmatch(r"(\[.+\]|[^:]+):(\d+)", rule):
        if int(match[2]) != port:
            return False
        rule = match[1]
    rule = rule.strip("[]")
    if address is not None:
        try:
            return address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    rule = rule.removeprefix("*").removeprefix(".")
    return host == rule or host.endswith("." + rule)


async def open_tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, proxy: Proxy, origin: Origin) -> None:
    """Open a tunnel to ``origin`` through the proxy connected to ``sock``. On failure the socket is closed.

    :raises UpstreamUnreachable: the proxy rejected the tunnel or did not reply with HTTP.
    :raises OSError: the connection to the proxy broke.
    """
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    target = f"{host}:{origin.port}"
    login = f"proxy-authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    try:
        request = f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{login}\r\n".encode("ascii")
        await loop.sock_sendall(sock, request)
        head = bytearray()
        while b"\r\n\r\n" not in head:
            data = await loop.sock_recv(sock, 4096)
            head += data
            if not data or len(head) > MAX_TUNNEL_HEAD:
                break
        _check_reply(bytes(head), proxy, target)
    except BaseException:
        sock.close()
        raise


def _check_reply(head: bytes, proxy: Proxy, target: str) -> None:
    match = re.match(rb"HTTP/1\.[01] (\d{3})[ \r]", head)
    end = head.find(b"\r\n\r\n")
    if match is None or end < 0:
        raise _tunnel_error(proxy, target, "invalid reply")
    if not match[1].startswith(b"2"):
        raise _tunnel_error(proxy, target, f"status {match[1].decode()}", needs_login=match[1] == b"407")
    if end + 4 != len(head):  # in TLS and HTTP the client sends first
        raise _tunnel_error(proxy, target, "unexpected data after the reply")


def _tunnel_error(proxy: Proxy, target: str, problem: str, *, needs_login: bool = False) -> UpstreamUnreachable:
    if needs_login:
        message, hint = (
            "The proxy requires authentication.",
            "Set or correct user name and password in the URL of the proxy.",
        )
    else:
        message, hint = "The proxy did not open a tunnel to the upstream.", "Check that the proxy allows CONNECT to it."
    return UpstreamUnreachable(message, hint=hint, detail=f"{proxy.host}:{proxy.port} to CONNECT {target}: {problem}")
