"""The URL of the gateway as a client has to write it."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from modelmux.config.server_schema import ServerConfig
from modelmux.wire.http import Origin

#: Ends of URLs that people copy from other settings; a client adds them itself.
_ENDPOINTS: Final = ("/chat/completions", "/messages", "/responses", "/models", "/v1")
#: Addresses that accept connections on every interface -> the loopback address of the same family.
_EVERY_INTERFACE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared


class BadUrl(ValueError):
    """A URL that no client can use: the problem, and what to do."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class GatewayUrl(Struct, frozen=True):
    """:param root: without a slash at the end, and without ``/v1``."""

    root: str

    @property
    def v1(self) -> str:
        return f"{self.root}/v1"

    @property
    def host(self) -> str:
        return urlsplit(self.root).hostname or ""

    @property
    def prefix(self) -> str:
        """The path of ``root``; empty if it has none."""
        return urlsplit(self.root).path

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def is_encrypted(self) -> bool:
        return self.root.startswith("https://")


def configured_url(server: ServerConfig) -> GatewayUrl:
    """The URL of the configured address, for clients on the same machine.

    :raises BadUrl: the port is chosen at the start.
    """
    if server.port == 0:
        raise BadUrl("server.port is 0, so the port changes at each start", "Set server.port, or pass --url.")
    host = server.host.strip("[]")
    host = _EVERY_INTERFACE.get(host, host)
    return GatewayUrl(f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}")


def listens_everywhere(server: ServerConfig) -> bool:
    """Whether other machines can reach the gateway under an address that the configuration does not name."""
    return server.host.strip("[]") in _EVERY_INTERFACE


def parse_url(text: str) -> GatewayUrl:
    """A URL from the command line, with or without ``/v1`` and the path of an endpoint.

    :raises BadUrl: it is not an http(s) URL, or has parts that a base URL cannot have.
    """
    example = "The URL of a gateway looks like http://127.0.0.1:3000 or https://gateway.example.com."
    url = text.strip().rstrip("/")
    try:
        origin = Origin.parse(url)
        parts = urlsplit(url)
    except ValueError:
        raise BadUrl("--url is not an http(s) URL", example) from None
    if parts.username is not None or parts.password is not None:
        raise BadUrl("--url contains a user or a password", "Leave it out; clients send the key in a header.")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise BadUrl("--url contains a query or a fragment", example)
    if not url.isprintable() or any(character in url for character in " \"'\\{}"):
        raise BadUrl("--url contains characters that a URL cannot contain", example)
    path = parts.path.rstrip("/")
    for end in _ENDPOINTS:
        path = path.removesuffix(end)
    return GatewayUrl(f"{origin.scheme}://{origin.authority}{path.rstrip('/')}")
