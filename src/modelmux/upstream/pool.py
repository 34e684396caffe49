"""The connection pool: the real ``Upstream``.

Per origin there are idle connections, last in first out; a limit of open connections; and a first-in-first-out queue
of waiting calls, limited in number and time. A slot belongs to a connection, or to the coroutine that is opening one,
and is released exactly once. There is no background task: one timer, which exists only while there are idle
connections, closes those that have expired.

Not in this module: HTTP parsing, sockets, repeating a request after any byte of a reply.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import Final

from modelmux.errors import GatewayDraining, GatewayOverloaded, UpstreamBroken, UpstreamTimeout
from modelmux.upstream.connect import Resolve, connect, resolve
from modelmux.upstream.http1 import Connection
from modelmux.upstream.http1_reply import Http1Reply
from modelmux.upstream.proxy import Proxies, Proxy
from modelmux.upstream.trust import tls_context
from modelmux.wire.http import HttpCall, Origin
from modelmux.wire.request_head import encode_head

#: Open connections per origin: the default limit of concurrent requests, since each stream occupies one.
MAX_CONNECTIONS: Final = 4096
#: Idle connections per origin; a TLS handshake costs as much CPU time as 50 calls.
MAX_IDLE: Final = 128
#: Seconds until an idle connection expires: below the 60 s of common load balancers.
IDLE_EXPIRY: Final = 55.0
#: Calls that may wait for a connection, per origin.
MAX_WAITING: Final = 4096
#: Seconds by which an idle connection expires before the upstream closes it.
_EXPIRY_MARGIN: Final = 1.0


class HttpPool:
    """Sends calls over pooled HTTP/1.1 connections. Bound to one event loop; construction does no I/O.

    :param max_connections: per origin.
    :param max_idle: per origin.
    :param idle_expiry: seconds.
    :param ssl_context: for https origins; by default ``trust.tls_context()``.
    :param resolver: host, port -> addresses, for origins without a proxy; the system resolver by default.
    :param proxy_resolver: the same for proxies.
    """

    def __init__(
        self,
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_idle: int = MAX_IDLE,
        idle_expiry: float = IDLE_EXPIRY,
        max_waiting: int = MAX_WAITING,
        ssl_context: ssl.SSLContext | None = None,
        proxies: Proxies | None = None,
        resolver: Resolve = resolve,
        proxy_resolver: Resolve = resolve,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_connections = max_connections
        self.max_idle = max_idle
        self.idle_expiry = idle_expiry
        self.max_waiting = max_waiting
        self.clock = clock
        self._context = ssl_context
        self._proxies = proxies or Proxies()
        self._resolver = resolver
        self._proxy_resolver = proxy_resolver
        self._origins: dict[Origin, _OriginPool] = {}
        #: Connections whose socket is not closed yet.
        self.alive: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._all_lost: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0  # the thread of that loop
        self._closed = False
        #: Connections opened since the start, and calls that reused one.
        self.created_total = 0
        self.reused_total = 0

    @property
    def open(self) -> int:
        """Slots in use: connections open or being opened."""
        return sum(origin_pool.open for origin_pool in self._origins.values())

    @property
    def idle(self) -> int:
        return sum(len(origin_pool.idle) for origin_pool in self._origins.values())

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return sum(origin_pool.waiting for origin_pool in self._origins.values())

    async def send(self, call: HttpCall) -> Http1Reply:
        """See ``base.Upstream``.

        If a reused connection turns out to be dead before any byte of the reply, the call is sent again over another;
        with ``call.resend`` off only if nothing of it was written.

        :raises ValueError: the call is malformed, see ``request_head.encode_head``.
        :raises GatewayDraining: the pool was closed.
        """
        head = encode_head(call)
        fresh = False
        while True:
            connection = await self._acquire(call, fresh=fresh)
            exchanges = connection.exchanges
            reused = exchanges > 0
            try:
                reply = await connection.exchange(call, head)
            except UpstreamBroken as error:
                was_sent = connection.exchanges > exchanges
                if error.reply_started or not reused or (was_sent and not call.resend):
                    raise
                fresh = True
            else:
                self.reused_total += reused
                return reply

    async def aclose(self) -> None:
        """Close all connections, including those in use, and fail all waiting calls. Idempotent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for origin_pool in self._origins.values():
            origin_pool.fail_waiters()
        for connection in list(self.alive):
            connection.close()
        if self.alive:
            if self._all_lost is None:
                self._all_lost = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._all_lost])

    async def _acquire(self, call: HttpCall, *, fresh: bool) -> Connection:
        """:param fresh: an idle connection was just dead, so avoid the other idle ones."""
        if self._closed:
            raise _draining()
        if self._loop is None or self._thread != get_ident() or not self._loop.is_running():
            self._bind_loop()  # checked first, because asyncio.get_running_loop() costs a system call
        origin_pool = self._origins.get(call.origin)
        if origin_pool is None:
            self._origins = {origin: pool for origin, pool in self._origins.items() if pool.open or pool.waiting}
            origin_pool = self._origins[call.origin] = _OriginPool(
                self, call.origin, self._proxies.proxy_for(call.origin)
            )
        if not fresh:
            if (idle := origin_pool.take_idle(self.clock())) is not None:
                return idle
        elif origin_pool.idle and origin_pool.open >= self.max_connections:
            origin_pool.idle[0].close()
        deadline = 0.0
        while origin_pool.open >= self.max_connections:
            deadline = deadline or asyncio.get_running_loop().time() + call.timeouts.pool
            connection = await origin_pool.wait(deadline)
            if connection is None:
                break
            if not connection.closed:
                return connection
        else:
            origin_pool.open += 1
        return await self._open(origin_pool, call)

    def _bind_loop(self) -> None:
        """Bind to the running loop. Connections of an earlier, closed loop are dead (a test client may use one loop per
        request)."""
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("the pool is bound to another event loop that is still open")
        self._loop, self._thread = asyncio.get_running_loop(), get_ident()
        self._origins.clear()
        self.alive.clear()
        self._sweeper = None

    async def _open(self, origin_pool: _OriginPool, call: HttpCall) -> Connection:
        """Open a connection in a slot that the caller has taken."""
        loop, origin = asyncio.get_running_loop(), origin_pool.origin
        context = None
        try:
            if origin.scheme == "https":
                context = self._context = self._context or tls_context()
            async with asyncio.timeout(call.timeouts.connect):
                connection = await connect(
                    lambda: Connection(loop, origin_pool),
                    origin,
                    proxy=origin_pool.proxy,
                    context=context,
                    resolver=self._resolver,
                    proxy_resolver=self._proxy_resolver,
                )
            self._register(connection)
        except BaseException as error:
            origin_pool.release_slot()
            if isinstance(error, TimeoutError):
                raise UpstreamTimeout(
                    f"No connection to the upstream within {call.timeouts.connect:g} s.",
                    clock="connect",
                    detail=f"{origin.host}:{origin.port}",
                ) from None
            raise
        return connection

    def _register(self, connection: Connection) -> None:
        """From here on the slot belongs to the connection."""
        if self._closed:
            connection.close()
            raise _draining()
        if connection.closed:
            raise UpstreamBroken("The upstream closed the connection without a reply.", reply_started=False)
        self.alive.add(connection)
        self.created_total += 1

    # Called by the origin pools

    def on_lost(self, connection: Connection) -> None:
        self.alive.discard(connection)
        if self._all_lost is not None and not self.alive and not self._all_lost.done():
            self._all_lost.set_result(None)

    def schedule_sweep(self, expires_at: float) -> None:
        """Make sure that connections expiring at that time are closed soon after."""
        if self._sweeper is None and not self._closed:
            delay = max(0.0, expires_at - self.clock())
            self._sweeper = asyncio.get_running_loop().call_later(delay, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self.clock()
        idle = [connection for origin_pool in self._origins.values() for connection in origin_pool.idle]
        for connection in idle:
            if connection.expires_at <= now:
                connection.close()
        if remaining := [connection.expires_at for connection in idle if not connection.closed]:
            self.schedule_sweep(min(remaining))


class _OriginPool:
    """The connections of one origin; their ``ConnectionOwner``."""

    __slots__ = ("_pool", "_waiters", "idle", "open", "origin", "proxy", "waiting")

    def __init__(self, pool: HttpPool, origin: Origin, proxy: Proxy | None) -> None:
        self._pool = pool
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self.origin = origin
        self.proxy = proxy
        self.idle: deque[Connection] = deque()  # most recently used last
        self.open = 0
        self.waiting = 0

    def take_idle(self, now: float) -> Connection | None:
        """The most recently used idle connection that has not expired."""
        while self.idle:
            connection = self.idle.pop()
            if connection.expires_at > now:
                return connection
            connection.close()
        return None

    async def wait(self, deadline: float) -> Connection | None:
        """Wait for an idle connection, which may be closed by now, or for a free slot (None).

        :raises GatewayOverloaded: none until ``deadline``, or too many calls are waiting already.
        """
        if self.waiting >= self._pool.max_waiting:
            raise _overloaded()
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiters.append(waiter)
        self.waiting += 1
        timer = loop.call_at(deadline, _time_out, waiter)
        try:
            return await waiter
        except BaseException:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:  # set at the moment of the cancellation
                self._return_unused(waiter.result())
            raise
        finally:
            timer.cancel()
            self.waiting -= 1

    def fail_waiters(self) -> None:
        """Fail all waiting calls, because the pool is closing."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(_draining())

    def release_slot(self) -> None:
        """Pass a free slot to the next waiting call."""
        if not self._pass_to_waiter(None):
            self.open -= 1

    def on_idle(self, connection: Connection) -> None:
        if self._pass_to_waiter(connection):
            return
        keep_for = min(self._pool.idle_expiry, max(connection.keep_for - _EXPIRY_MARGIN, connection.keep_for / 2))
        connection.expires_at = self._pool.clock() + keep_for
        self.idle.append(connection)
        if len(self.idle) > self._pool.max_idle:
            self.idle[0].close()
        self._pool.schedule_sweep(connection.expires_at)

    def on_closed(self, connection: Connection) -> None:
        if connection in self.idle:
            self.idle.remove(connection)
        if connection in self._pool.alive:  # otherwise the coroutine that opened it still owns the slot
            self.release_slot()

    def on_lost(self, connection: Connection) -> None:
        self._pool.on_lost(connection)

    def _pass_to_waiter(self, connection: Connection | None) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _return_unused(self, connection: Connection | None) -> None:
        if connection is None:
            self.release_slot()
        elif not connection.closed:
            self.on_idle(connection)


def _time_out(waiter: asyncio.Future[Connection | None]) -> None:
    if not waiter.done():
        waiter.set_exception(_overloaded())


def _overloaded() -> GatewayOverloaded:
    return GatewayOverloaded("All connections to the upstream are in use.", hint="Try again in a moment.")


def _draining() -> GatewayDraining:
    return GatewayDraining("The gateway is shutting down.", hint="Try again in a moment.")
