"""Sites that serve files as a script says, names that lead to them, and fetchers that must leave nothing behind."""

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
from modelmux.upstream.downloads.url_guard import NotFetched
from support.http_peers import Wire, open_sockets, peer

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 40
PUBLIC = "93.184.215.14"
#: Words that a site says and no client may read.
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
    await wire.gone()


class Site:
    """Answers by path; ``routes`` may be changed while it runs. Keeps the heads of all requests."""

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


def rows(port: int, *addresses: str) -> Sequence[AddressInfo]:
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
        if ":" in address
        else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        for address in addresses
    ]


class Names:
    """A resolver. Each name has a list of answers, given in turn; the last one stays."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[AddressInfo]:
        self.asked.append(host)
        given = self.answers.get(host)
        if given is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return rows(port, *(given.pop(0) if len(given) > 1 else given[0]))


def loopback(*names: str) -> Names:
    """A resolver for which all ``names`` are this machine."""
    return Names(**{name.replace(".", "_"): [["127.0.0.1"]] for name in names})


@asynccontextmanager
async def fetcher(
    *sites: Site, resolver: Resolve | None = None, context: ssl.SSLContext | None = None, clock: Any = None,
    **settings: Any,
) -> AsyncIterator[Fetcher]:  # fmt: skip
    """A fetcher that may reach ``sites``, and must leave neither tasks nor sockets."""
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
    assert not running._flights
    for _ in range(200):
        if open_sockets() <= sockets and not [task for task in asyncio.all_tasks() - tasks if not task.done()]:
            break
        await asyncio.sleep(0.005)  # the sites' side ends after ours
    assert open_sockets() <= sockets
    assert not [task for task in asyncio.all_tasks() - tasks if not task.done()]


async def refusal(running: Fetcher, url: str) -> NotFetched:
    """The error that ``url`` meets, which must tell nothing of what was found behind it."""
    with pytest.raises(NotFetched) as caught:
        await running.fetch(url)
    discreet(caught.value)
    assert caught.value.url == url
    return caught.value


def discreet(error: NotFetched) -> None:
    """No address, no URL and no word of a server is in what a client may read."""
    shown = " ".join([error.public_message, str(error), repr(error), *map(str, error.args)])
    assert error.hint
    assert error.status == 400
    assert not re.search(r"\d+\.\d+|[0-9a-f]*:[0-9a-f]*:|://|/\w", shown), shown
    assert CANARY not in shown
    assert not re.search(r"\.example|internal\b|secret", shown.replace("the public internet", "")), shown


class Connects:
    """Instead of connecting where the dialler says, notes it and connects to a site."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
        from modelmux.upstream import connect

        self.addresses: list[str] = []
        real = connect._connect

        async def redirected(loop: asyncio.AbstractEventLoop, info: AddressInfo) -> socket.socket:
            self.addresses.append(str(info[4][0]))
            return await real(loop, rows(site.port, "127.0.0.1")[0])

        monkeypatch.setattr(connect, "_connect", redirected)
