"""From an origin to a connected transport: name resolution, TCP, proxy, TLS.

Everything before TLS happens on a bare socket, so that it is the same on every event loop: dual-stack hosts are tried
in the way of RFC 8305 (uvloop's ``create_connection`` cannot), and a tunnel is asked for before there is a transport.

What must not come in here: HTTP, pooling, clocks (the caller bounds the whole).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest
from typing import Final, TypeVar

from modelmux.errors import UpstreamUnreachable
from modelmux.upstream.proxy import Proxy, open_tunnel
from modelmux.wire.http import Origin

#: Seconds before the next address is tried beside one that has not answered yet (RFC 8305, section 5).
STAGGER: Final = 0.25
#: Seconds of silence before TCP asks whether the other end is still there: below the timeouts of NATs and balancers.
KEEPALIVE_AFTER: Final = 60
#: Addresses tried for one connection.
MAX_ADDRESSES: Final = 8

#: One row of ``getaddrinfo``: family, type, protocol, canonical name, socket address.
AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
#: host, port -> addresses to try. May raise a GatewayError to forbid the host.
Resolve = Callable[[str, int], Awaitable[Sequence[AddressInfo]]]

_P = TypeVar("_P", bound=asyncio.Protocol)


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later, the system's authorities, host names checked.

    :param ca_file: PEM file of further authorities, for proxies that inspect TLS.
    :raises OSError: ``ca_file`` cannot be read, or (``ssl.SSLError``) holds no certificates.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


async def resolve(host: str, port: int) -> Sequence[AddressInfo]:
    """What the system says."""
    try:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None


async def dial(
    factory: Callable[[], _P],
    origin: Origin,
    *,
    proxy: Proxy | None = None,
    context: ssl.SSLContext | None = None,
    resolver: Resolve = resolve,
) -> _P:
    """Connect to ``origin`` and give its transport to a protocol of ``factory``.

    :param context: for https origins.
    :param resolver: for the origin; the proxy's own name is always asked of the system.
    :raises UpstreamUnreachable: with addresses and causes in ``detail`` only.
    """
    loop = asyncio.get_running_loop()
    where = f"{origin.host}:{origin.port}"
    try:
        if proxy is None:
            sock = await _connect_any(loop, await resolver(origin.host, origin.port))
        else:
            where += f" by proxy {proxy.host}:{proxy.port}"
            sock = await _connect_any(loop, await resolve(proxy.host, proxy.port))
            await open_tunnel(loop, sock, proxy, origin)
        transport, protocol = await _hand_over(loop, factory, sock)
        if context is not None:
            await _encrypt(loop, transport, protocol, context, origin.host)
    except OSError as error:
        raise _unreachable(error, where) from None
    return protocol


async def _hand_over(
    loop: asyncio.AbstractEventLoop, factory: Callable[[], _P], sock: socket.socket
) -> tuple[asyncio.Transport, _P]:
    """Give ``sock`` to a transport. This takes two turns of the loop, waits for nothing outside, and is not cancelled
    half-way: uvloop before 0.23 would close the descriptor a second time, when it may be someone else's."""
    handing = loop.create_task(loop.create_connection(factory, sock=sock))
    try:
        return await asyncio.shield(handing)
    except asyncio.CancelledError:
        await asyncio.wait([handing])
        if handing.exception() is None:
            handing.result()[0].abort()
        raise


async def _encrypt(
    loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, protocol: _P, context: ssl.SSLContext, host: str
) -> None:
    try:
        if transport.is_closing():
            raise ConnectionResetError("closed before the TLS handshake")  # noqa: TRY301
        encrypted = await loop.start_tls(transport, protocol, context, server_hostname=host)
        if encrypted is None:
            raise ConnectionResetError("closed in the TLS handshake")  # noqa: TRY301
    except BaseException:
        transport.abort()
        raise
    protocol.connection_made(encrypted)


def _unreachable(error: OSError, where: str) -> UpstreamUnreachable:
    detail = f"{where}: {error}"
    if isinstance(error, socket.gaierror):
        return UpstreamUnreachable(
            "The upstream's name could not be resolved.", hint="Check the host name and DNS.", detail=detail
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return UpstreamUnreachable(
            "The upstream's TLS certificate was not accepted.",
            hint="If TLS is inspected on the way, add the inspector's CA certificate to those the gateway trusts.",
            detail=f"{where}: {error.verify_message}",
        )
    if isinstance(error, ssl.SSLError):
        return UpstreamUnreachable("No TLS connection to the upstream could be made.", detail=detail)
    return UpstreamUnreachable("No connection to the upstream could be made.", detail=detail)


async def _connect_any(loop: asyncio.AbstractEventLoop, addresses: Sequence[AddressInfo]) -> socket.socket:
    """The first of ``addresses`` that answers, families taking turns, each next one started after STAGGER or as soon
    as all before it have failed.

    :raises OSError: none did; the text has every cause.
    """
    waiting = deque(_alternate(addresses)[:MAX_ADDRESSES])
    attempts: list[asyncio.Task[socket.socket]] = []
    try:
        while True:
            if waiting:
                attempts.append(loop.create_task(_connect(loop, waiting.popleft())))
            pending = [attempt for attempt in attempts if not attempt.done()]
            if pending:
                stagger = STAGGER if waiting else None
                await asyncio.wait(pending, timeout=stagger, return_when=asyncio.FIRST_COMPLETED)
            won = next((attempt.result() for attempt in attempts if _succeeded(attempt)), None)
            if won is not None:
                await _let_go(attempts, keep=won)
                return won
            if not waiting and all(attempt.done() for attempt in attempts):
                raise OSError("; ".join(str(attempt.exception()) for attempt in attempts) or "no address")  # noqa: TRY301
    except BaseException:
        await _let_go(attempts, keep=None)
        raise


async def _let_go(attempts: list[asyncio.Task[socket.socket]], *, keep: socket.socket | None) -> None:
    """End all attempts and close their sockets, but for one. The closing does not wait, so no cancellation stops it."""
    pending = [attempt for attempt in attempts if not attempt.done()]
    for attempt in pending:
        attempt.cancel()  # closes its socket by itself
    for attempt in attempts:
        if _succeeded(attempt) and attempt.result() is not keep:
            attempt.result().close()
    if pending:
        await asyncio.wait(pending)


def _succeeded(attempt: asyncio.Task[socket.socket]) -> bool:
    return attempt.done() and not attempt.cancelled() and attempt.exception() is None


def _alternate(addresses: Sequence[AddressInfo]) -> list[AddressInfo]:
    """Families by turns, the first one's first: one that leads nowhere then costs one STAGGER."""
    by_family: dict[int, list[AddressInfo]] = {}
    for address in addresses:
        by_family.setdefault(address[0], []).append(address)
    return [address for turn in zip_longest(*by_family.values()) for address in turn if address is not None]


async def _connect(loop: asyncio.AbstractEventLoop, info: AddressInfo) -> socket.socket:
    family, kind, protocol, _, address = info
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_AFTER)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
