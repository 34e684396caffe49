"""Sites that serve scripted files, names that resolve to them, and fetchers that must leave no resources behind."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from modelmux.upstream.connect import AddressInfo, Resolve
from modelmux.upstream.downloads.fetcher import Fetcher, FetchSettings
from modelmux.upstream.downloads.url_guard import DownloadRefused
from support.http_peers import Wire, open_sockets, peer

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 40
PUBLIC = "93.184.215.14"
#: Text sent by a site that no client may see.
CANARY = "canary-of-the-internal-site"

Answer = bytes | Callable[[Wire], Awaitable[None]]


def ok(data: bytes = PNG, content_type: str = "image/png") -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data


def moved(location: str, status: int = 302) -> bytes:
    head = f"HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: {len(CANARY)}\r\n\r\n"
    return head.encode() + CANARY.encode()


def status(code: int) -> bytes:
    return f"HTTP/1.1 {code} Said\r\ncontent-length: {len(CANARY)}\r\n\r\n{CANARY}".encode()


async def hang(wire: Wire) -> None:
    await wire.wait_closed()


class Site:
    """Replies by path; ``routes`` may be changed while it runs. Records the heads of all requests."""

    def __init__(self, routes: Mapping[str, Answer]) -> None:
        self.routes = dict(routes)
        self.heads: list[bytes] = []
        self.port = 0
        self.open = 0

    @property
    def paths(self) -> list[str]:
        return [head.split(b" ")[1].decode() for head in self.heads]

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def talk(self, wire: Wire) -> None:
        self.open += 1
        try:
            while True:
                head, _ = await wire.request()
                self.heads.append(head)
                answer = self.routes[self.paths[-1]]
                if isinstance(answer, bytes):
                    await wire.send(answer)
                else:
                    await answer(wire)
                    return
        finally:
            self.open -= 1


@asynccontextmanager
async def site(routes: Mapping[str, Answer], *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    """A site on 127.0.0.1."""
    running = Site(routes)
    async with peer(running.talk, tls=tls) as (origin, _):
        running.port = origin.port
        yield running


def address_infos(port: int, *addresses: str) -> Sequence[AddressInfo]:
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
        if ":" in address
        else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        for address in addresses
    ]


class Names:
    """A resolver. Each name has a list of results, returned in turn; the last one is repeated."""

    def __init__(self, **addresses: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): list(results) for name, results in addresses.items()}
        self.queries: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[AddressInfo]:
        self.queries.append(host)
        addresses = self.answers.get(host)
        if addresses is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return address_infos(port, *(addresses.pop(0) if len(addresses) > 1 else addresses[0]))


def loopback(*names: str) -> Names:
    """A resolver that maps all ``names`` to loopback."""
    return Names(**{name.replace(".", "_"): [["127.0.0.1"]] for name in names})


@asynccontextmanager
async def fetcher(
    *sites: Site, resolver: Resolve | None = None, context: ssl.SSLContext | None = None, clock: Any = None,
    **settings: Any,
) -> AsyncIterator[Fetcher]:  # fmt: skip
    """A fetcher that may connect to ``sites``, and must leave neither tasks nor sockets behind."""
    sockets, tasks = open_sockets(), asyncio.all_tasks()
    settings = {
        "allow_private": ("127.0.0.0/8",) if sites else (),
        "extra_ports": tuple(one.port for one in sites),
        **settings,
    }
    more = {} if clock is None else {"clock": clock}
    running = Fetcher(FetchSettings(**settings), resolver=resolver, ssl_context=context, **more)
    try:
        yield running
    finally:
        await running.aclose()
    assert not running._tasks
    assert not running._downloads
    for _ in range(200):
        if open_sockets() <= sockets and not [task for task in asyncio.all_tasks() - tasks if not task.done()]:
            break
        await asyncio.sleep(0.005)  # the side of the sites ends later
    assert open_sockets() <= sockets
    assert not [task for task in asyncio.all_tasks() - tasks if not task.done()]


async def refusal(running: Fetcher, url: str) -> DownloadRefused:
    """The error for ``url``, which must disclose nothing about its server."""
    with pytest.raises(DownloadRefused) as caught:
        await running.fetch(url)
    assert_discloses_nothing(caught.value)
    assert caught.value.url == url
    return caught.value


def assert_discloses_nothing(error: DownloadRefused) -> None:
    """The public text of an error contains no address, no URL and no text of a server."""
    shown = " ".join([error.public_message, str(error), repr(error), *map(str, error.args)])
    assert error.hint
    assert error.status == 400
    assert not re.search(r"\d+\.\d+|[0-9a-f]*:[0-9a-f]*:|://|/\w", shown), shown
    assert CANARY not in shown
    assert not re.search(r"\.example|internal\b|secret", shown.replace("the public internet", "")), shown


class RedirectedConnects:
    """Records the addresses that would be connected to, and connects to a site instead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
        from modelmux.upstream import connect

        self.addresses: list[str] = []
        real = connect._connect_address

        async def redirected(loop: asyncio.AbstractEventLoop, info: AddressInfo) -> socket.socket:
            self.addresses.append(str(info[4][0]))
            return await real(loop, address_infos(site.port, "127.0.0.1")[0])

        monkeypatch.setattr(connect, "_connect_address", redirected)
