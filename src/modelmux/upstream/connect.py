"""Connects to an origin: name resolution, TCP, proxy tunnel, TLS.

Everything before TLS uses a bare socket, so that it works the same on every event loop: addresses are tried as RFC 8305
("happy eyeballs") describes, which uvloop's ``create_connection`` does not support, and a proxy tunnel is opened before
there is a transport.

Not in this module: HTTP, pooling, timeouts (set by the caller).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest
from typing import Final, TypeVar

from modelmux.errors import CertificateNotAccepted, UpstreamUnreachable
from modelmux.upstream.proxy import Proxy, open_tunnel
from modelmux.upstream.trust import REMEDY
from modelmux.upstream.trust import tls_context as tls_context
from modelmux.wire.http import Origin

#: Seconds until the next address is tried in parallel to pending ones (RFC 8305, section 5).
ATTEMPT_DELAY: Final = 0.25
#: Idle seconds before TCP keep-alive probes start: below the timeouts of NATs and load balancers.
KEEPALIVE_AFTER: Final = 60
#: Limit of addresses tried for one connection.
MAX_ADDRESSES: Final = 8

#: One result of ``getaddrinfo``: family, type, protocol, canonical name, socket address.
AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
#: host, port -> addresses to try. May raise a GatewayError to reject the host.
Resolve = Callable[[str, int], Awaitable[Sequence[AddressInfo]]]

_P = TypeVar("_P", bound=asyncio.Protocol)


async def resolve(host: str, port: int) -> Sequence[AddressInfo]:
    """Resolve with the system resolver."""
    try:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None


async def connect(
    factory: Callable[[], _P],
    origin: Origin,
    *,
    proxy: Proxy | None = None,
    context: ssl.SSLContext | None = None,
    resolver: Resolve = resolve,
    proxy_resolver: Resolve = resolve,
) -> _P:
    """Connect to ``origin``; return the protocol of the new transport, made by ``factory``.

    :param context: for https origins.
    :param resolver: for the origin's name; without a proxy only.
    :param proxy_resolver: for the proxy's name.
    :raises UpstreamUnreachable: addresses and causes are only in ``detail``.
    """
    loop = asyncio.get_running_loop()
    destination = f"{origin.host}:{origin.port}"
    try:
        if proxy is None:
            sock = await _connect_any(loop, await resolver(origin.host, origin.port))
        else:
            destination += f" by proxy {proxy.host}:{proxy.port}"
            sock = await _connect_any(loop, await proxy_resolver(proxy.host, proxy.port))
            await open_tunnel(loop, sock, proxy, origin)
        transport, protocol = await _create_transport(loop, factory, sock)
        if context is not None:
            await _encrypt(loop, transport, protocol, context, origin.host)
    except OSError as error:
        raise _unreachable(error, destination) from None
    return protocol


async def _create_transport(
    loop: asyncio.AbstractEventLoop, factory: Callable[[], _P], sock: socket.socket
) -> tuple[asyncio.Transport, _P]:
    """Create a transport for a connected socket.

    Needs two iterations of the loop and no I/O. It is shielded from cancellation, because uvloop before 0.23 would
    close the file descriptor twice, the second time possibly after it was reused.
    """
    creation = loop.create_task(loop.create_connection(factory, sock=sock))
    try:
        return await asyncio.shield(creation)
    except asyncio.CancelledError:
        await asyncio.wait([creation])
        if creation.exception() is None:
            creation.result()[0].abort()
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


def _unreachable(error: OSError, destination: str) -> UpstreamUnreachable:
    detail = f"{destination}: {error}"
    if isinstance(error, socket.gaierror):
        return UpstreamUnreachable(
            "The upstream's host name could not be resolved.", hint="Check the host name and DNS.", detail=detail
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateNotAccepted(
            "The upstream's TLS certificate was not accepted.",
            hint=REMEDY,
            detail=f"{destination}: {error.verify_message}",
        )
    if isinstance(error, ssl.SSLError):
        return UpstreamUnreachable("Could not establish a TLS connection to the upstream.", detail=detail)
    return UpstreamUnreachable("Could not connect to the upstream.", detail=detail)


async def _connect_any(loop: asyncio.AbstractEventLoop, addresses: Sequence[AddressInfo]) -> socket.socket:
    """Connect to the first of ``addresses`` that accepts.

    Address families alternate. The next attempt starts after ATTEMPT_DELAY, or as soon as all earlier ones have failed.

    :raises OSError: all attempts failed; the message has every cause.
    """
    waiting = deque(_interleave_families(addresses)[:MAX_ADDRESSES])
    attempts: list[asyncio.Task[socket.socket]] = []
    try:
        while True:
            if waiting:
                attempts.append(loop.create_task(_connect_address(loop, waiting.popleft())))
            pending = [attempt for attempt in attempts if not attempt.done()]
            if pending:
                delay = ATTEMPT_DELAY if waiting else None
                await asyncio.wait(pending, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            winner = next((attempt.result() for attempt in attempts if _succeeded(attempt)), None)
            if winner is not None:
                await _close_attempts(attempts, keep=winner)
                return winner
            if not waiting and all(attempt.done() for attempt in attempts):
                raise OSError("; ".join(str(attempt.exception()) for attempt in attempts) or "no address")  # noqa: TRY301
    except BaseException:
        await _close_attempts(attempts, keep=None)
        raise


async def _close_attempts(attempts: list[asyncio.Task[socket.socket]], *, keep: socket.socket | None) -> None:
    """Cancel all attempts and close their sockets except one, before the first await, so that nothing can stop it."""
    pending = [attempt for attempt in attempts if not attempt.done()]
    for attempt in pending:
        attempt.cancel()  # closes its own socket
    for attempt in attempts:
        if _succeeded(attempt) and attempt.result() is not keep:
            attempt.result().close()
    if pending:
        await asyncio.wait(pending)


def _succeeded(attempt: asyncio.Task[socket.socket]) -> bool:
    return attempt.done() and not attempt.cancelled() and attempt.exception() is None


def _interleave_families(addresses: Sequence[AddressInfo]) -> list[AddressInfo]:
    """Alternate address families, starting with the first: a broken family then costs one ATTEMPT_DELAY."""
    by_family: dict[int, list[AddressInfo]] = {}
    for address in addresses:
        by_family.setdefault(address[0], []).append(address)
    return [address for turn in zip_longest(*by_family.values()) for address in turn if address is not None]


async def _connect_address(loop: asyncio.AbstractEventLoop, info: AddressInfo) -> socket.socket:
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
