"""Which proxy an origin is reached through, and the tunnel through it.

Settings come from an environment mapping that is passed in: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in
lower case first. Every origin, http ones too, is reached by CONNECT: one code path, and a proxy never sees a request.

What must not come in here: opening sockets, TLS, reading ``os.environ``.
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

#: Longest reply to CONNECT.
MAX_TUNNEL_HEAD: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy; ``authorization`` is the value of Proxy-Authorization."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, name: str) -> Self:
        """:param name: of the variable, for the message.
        :raises ValueError: not the URL of an http proxy. The URL is not quoted, it may hold a password.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme != "http" or not re.fullmatch(r"[0-9A-Za-z._\-:]+", host):
            raise ValueError(f"{name} must be the URL of an HTTP proxy, like http://proxy.example:3128")
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        return cls(host, port or 80, authorization)


class Proxies:
    """The proxies of an environment.

    :param https: for https origins. :param http: for http origins. :param bypass: hosts reached directly, in the form
        of NO_PROXY: ``*``, a host (with its subdomains), an address, a network (``10.0.0.0/8``), each maybe ``:port``.
    """

    def __init__(self, https: Proxy | None = None, http: Proxy | None = None, bypass: str = "") -> None:
        self._by_scheme = {"https": https, "http": http}
        self._bypass = [rule.lower() for rule in re.split(r"[,\s]+", bypass) if rule]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """:raises ValueError: a variable that is no URL of an HTTP proxy; the message names it."""

        def proxy(*names: str) -> Proxy | None:
            for name in (variant for upper in names for variant in (upper.lower(), upper)):
                if url := environment.get(name, "").strip():
                    return Proxy.parse(url, name)
            return None

        bypass = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
        return cls(proxy("HTTPS_PROXY", "ALL_PROXY"), proxy("HTTP_PROXY", "ALL_PROXY"), bypass)

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """The proxy for ``origin``; None to connect directly, as always to this machine itself."""
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
    if found := re.fullmatch(r"(\[.+\]|[^:]+):(\d+)", rule):
        if int(found[2]) != port:
            return False
        rule = found[1]
    rule = rule.strip("[]")
    if address is not None:
        try:
            return address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    rule = rule.removeprefix("*").removeprefix(".")
    return host == rule or host.endswith("." + rule)


async def open_tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, proxy: Proxy, origin: Origin) -> None:
    """Ask the proxy at the other end of ``sock`` for a tunnel to ``origin``. Without one, the socket is closed.

    :raises UpstreamUnreachable: it refused, or spoke no HTTP.
    :raises OSError: the connection to it broke.
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
    found = re.match(rb"HTTP/1\.[01] (\d{3})[ \r]", head)
    end = head.find(b"\r\n\r\n")
    if found is None or end < 0:
        raise _refused(proxy, target, "no proper reply")
    if not found[1].startswith(b"2"):
        raise _refused(proxy, target, f"status {found[1].decode()}", needs_login=found[1] == b"407")
    if end + 4 != len(head):  # behind the tunnel both TLS and HTTP let the client speak first
        raise _refused(proxy, target, "bytes from behind the tunnel that no one asked for")


def _refused(proxy: Proxy, target: str, what: str, *, needs_login: bool = False) -> UpstreamUnreachable:
    if needs_login:
        message, hint = "The proxy asks for a login.", "Set user and password in the proxy's URL, or mend them."
    else:
        message, hint = "The proxy did not open a way to the upstream.", "Check that the proxy allows it."
    return UpstreamUnreachable(message, hint=hint, detail=f"{proxy.host}:{proxy.port} to CONNECT {target}: {what}")
