"""The pool: which connection carries a call. The real ``Upstream``.

One lane for each origin: idle connections, last used first out; a bound on open ones; a queue of those who wait, first
come first served and bounded in time and number. A place in the lane is held by a connection, or by a coroutine that
is opening one, and always given back by ``gone``. There is no background task: one timer, which exists only while
something is idle, closes what has been idle too long.

What must not come in here: HTTP parsing, sockets, decisions about sending a request again after any byte of a reply.
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
from modelmux.upstream.connect import Resolve, dial, resolve, tls_context
from modelmux.upstream.http1 import Connection, Http1Reply
from modelmux.upstream.proxy import Proxies, Proxy
from modelmux.wire.http import HttpCall, Origin
from modelmux.wire.request_head import encode_head

#: Open connections for each origin: as many as requests may run by default, a stream has one for itself.
MAX_CONNECTIONS: Final = 4096
#: Idle connections kept for each origin: a TLS handshake costs as much CPU as 50 calls.
MAX_IDLE: Final = 128
#: Seconds an idle connection is kept: below the 60 s after which common balancers close theirs.
IDLE_EXPIRY: Final = 55.0
#: Calls that may wait for a connection of one origin.
MAX_WAITING: Final = 4096
#: Seconds by which an idle connection is given up before the upstream said it would.
_EARLY: Final = 1.0


class HttpPool:
    """Carries calls over pooled HTTP/1.1 connections. Belongs to one event loop; construction does no I/O.

    :param max_connections: per origin.
    :param max_idle: per origin.
    :param idle_expiry: seconds.
    :param ssl_context: for https origins; by default that of ``dial.tls_context``.
    :param resolver: host, port -> addresses, for origins reached directly; the system's by default.
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
        self._lanes: dict[Origin, _Lane] = {}
        #: Connections whose socket is not closed yet.
        self.alive: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._all_lost: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0  # in which it runs
        self._closed = False
        #: Connections made since the start, and calls that found one ready.
        self.created_total = 0
        self.reused_total = 0

    @property
    def open(self) -> int:
        """Places taken: connections open or being opened."""
        return sum(lane.open for lane in self._lanes.values())

    @property
    def idle(self) -> int:
        return sum(len(lane.idle) for lane in self._lanes.values())

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return sum(lane.waiting for lane in self._lanes.values())

    async def send(self, call: HttpCall) -> Http1Reply:
        """See ``base.Upstream``. A call that met a reused connection as it died, and got no byte of a reply, goes out
        again over another one.

        :raises ValueError: the call is malformed, see ``request_head.encode_head``.
        :raises GatewayDraining: the pool was closed.
        """
        head = encode_head(call)
        fresh = False
        while True:
            connection = await self._acquire(call, fresh=fresh)
            reused = connection.exchanges > 0
            try:
                reply = await connection.exchange(call, head)
            except UpstreamBroken as error:
                if error.reply_started or not reused:
                    raise
                fresh = True
            else:
                self.reused_total += reused
                return reply

    async def aclose(self) -> None:
        """Close all connections, those in use too, and turn those who wait away. Idempotent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for lane in self._lanes.values():
            lane.turn_away()
        for connection in list(self.alive):
            connection.close()
        if self.alive:
            if self._all_lost is None:
                self._all_lost = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._all_lost])

    async def _acquire(self, call: HttpCall, *, fresh: bool) -> Connection:
        """:param fresh: an idle connection just proved dead, so take none of the others if it can be helped."""
        if self._closed:
            raise _draining()
        if self._loop is None or self._thread != get_ident() or not self._loop.is_running():
            self._settle_in()  # else it is the running one: to ask asyncio for that is a system call
        lane = self._lanes.get(call.origin)
        if lane is None:
            self._lanes = {origin: lane for origin, lane in self._lanes.items() if lane.open or lane.waiting}
            lane = self._lanes[call.origin] = _Lane(self, call.origin, self._proxies.proxy_for(call.origin))
        if not fresh:
            if (ready := lane.pop(self.clock())) is not None:
                return ready
        elif lane.idle and lane.open >= self.max_connections:
            lane.idle[0].close()
        deadline = 0.0
        while lane.open >= self.max_connections:
            deadline = deadline or asyncio.get_running_loop().time() + call.timeouts.pool
            given = await lane.wait(deadline)
            if given is None:
                break
            if not given.closed:
                return given
        else:
            lane.open += 1
        return await self._open(lane, call)

    def _settle_in(self) -> None:
        """Belong to the running loop. What an earlier one left behind when it ended (a test client has one for each
        request) is dead."""
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("a pool belongs to one event loop, and its own is still there")
        self._loop, self._thread = asyncio.get_running_loop(), get_ident()
        self._lanes.clear()
        self.alive.clear()
        self._sweeper = None

    async def _open(self, lane: _Lane, call: HttpCall) -> Connection:
        """A new connection in a place that the caller has taken."""
        loop = asyncio.get_running_loop()
        context = None
        try:
            if lane.origin.scheme == "https":
                context = self._context = self._context or tls_context()
            async with asyncio.timeout(call.timeouts.connect):
                connection = await dial(
                    lambda: Connection(loop, lane), lane.origin, proxy=lane.proxy, context=context,
                    resolver=self._resolver,
                )  # fmt: skip
            self._adopt(connection)
        except BaseException as error:
            lane.leave()
            if isinstance(error, TimeoutError):
                raise UpstreamTimeout(
                    f"No connection to the upstream was made within {call.timeouts.connect:g} s.",
                    clock="connect",
                    detail=f"{lane.origin.host}:{lane.origin.port}",
                ) from None
            raise
        return connection

    def _adopt(self, connection: Connection) -> None:
        """From here on the connection holds its place itself."""
        if self._closed:
            connection.close()
            raise _draining()
        if connection.closed:
            raise UpstreamBroken("The upstream closed the connection without answering.", reply_started=False)
        self.alive.add(connection)
        self.created_total += 1

    # For the lanes

    def lost(self, connection: Connection) -> None:
        self.alive.discard(connection)
        if self._all_lost is not None and not self.alive and not self._all_lost.done():
            self._all_lost.set_result(None)

    def sweep_by(self, expires_at: float) -> None:
        """See to it that what expires then is closed soon after."""
        if self._sweeper is None and not self._closed:
            delay = max(0.0, expires_at - self.clock())
            self._sweeper = asyncio.get_running_loop().call_later(delay, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self.clock()
        idle = [connection for lane in self._lanes.values() for connection in lane.idle]
        for connection in idle:
            if connection.expires_at <= now:
                connection.close()
        if left := [connection.expires_at for connection in idle if not connection.closed]:
            self.sweep_by(min(left))


class _Lane:
    """The connections of one origin; their ``http1.Owner``."""

    __slots__ = ("_pool", "_queue", "idle", "open", "origin", "proxy", "waiting")

    def __init__(self, pool: HttpPool, origin: Origin, proxy: Proxy | None) -> None:
        self._pool = pool
        self._queue: deque[asyncio.Future[Connection | None]] = deque()
        self.origin = origin
        self.proxy = proxy
        self.idle: deque[Connection] = deque()  # last used last
        self.open = 0
        self.waiting = 0

    def pop(self, now: float) -> Connection | None:
        """The idle connection used last."""
        while self.idle:
            connection = self.idle.pop()
            if connection.expires_at > now:
                return connection
            connection.close()
        return None

    async def wait(self, deadline: float) -> Connection | None:
        """A connection that became free, maybe closed since; or None, which stands for a free place.

        :raises GatewayOverloaded: none until ``deadline``, or too many wait already.
        """
        if self.waiting >= self._pool.max_waiting:
            raise _overloaded()
        loop = asyncio.get_running_loop()
        place: asyncio.Future[Connection | None] = loop.create_future()
        self._queue.append(place)
        self.waiting += 1
        timer = loop.call_at(deadline, _give_up, place)
        try:
            return await place
        except BaseException:
            if place in self._queue:
                self._queue.remove(place)
            elif not place.cancelled() and place.exception() is None:  # given in the moment of the cancellation
                self._pass_on(place.result())
            raise
        finally:
            timer.cancel()
            self.waiting -= 1

    def turn_away(self) -> None:
        """The pool is closing."""
        while self._queue:
            place = self._queue.popleft()
            if not place.done():
                place.set_exception(_draining())

    def leave(self) -> None:
        """A place is free again."""
        if not self._give(None):
            self.open -= 1

    def ready(self, connection: Connection) -> None:
        if self._give(connection):
            return
        keep_for = min(self._pool.idle_expiry, max(connection.keep_for - _EARLY, connection.keep_for / 2))
        connection.expires_at = self._pool.clock() + keep_for
        self.idle.append(connection)
        if len(self.idle) > self._pool.max_idle:
            self.idle[0].close()
        self._pool.sweep_by(connection.expires_at)

    def gone(self, connection: Connection) -> None:
        if connection in self.idle:
            self.idle.remove(connection)
        if connection in self._pool.alive:  # else it never came so far, and who opened it still holds the place
            self.leave()

    def lost(self, connection: Connection) -> None:
        self._pool.lost(connection)

    def _give(self, given: Connection | None) -> bool:
        while self._queue:
            place = self._queue.popleft()
            if not place.done():
                place.set_result(given)
                return True
        return False

    def _pass_on(self, given: Connection | None) -> None:
        if given is None:
            self.leave()
        elif not given.closed:
            self.ready(given)


def _give_up(place: asyncio.Future[Connection | None]) -> None:
    if not place.done():
        place.set_exception(_overloaded())


def _overloaded() -> GatewayOverloaded:
    return GatewayOverloaded("All connections to the upstream are in use.", hint="Try again in a moment.")


def _draining() -> GatewayDraining:
    return GatewayDraining("The gateway is shutting down.", hint="Try again in a moment.")
