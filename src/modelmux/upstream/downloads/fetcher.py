"""Downloads of the images and documents that clients name by URL: Vertex AI takes none, so the bytes go inline.

The URLs are a stranger's, so ``fetch_guard`` decides where a connection may go, at first and at every redirect, and
everything is bounded: size, time, redirects, downloads at once, what is remembered. Nothing of the client's request
goes along: no cookie, no authorization, a constant User-Agent. Connections are always direct, whatever proxy the
environment names, because a proxy would resolve the name anew and connect where the guard cannot see; and each serves
one download only.

What must not come in here: rules about addresses (``fetch_guard``), what an image is (the caller sniffs the bytes).
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from msgspec import Struct

from modelmux.errors import GatewayDraining, GatewayOverloaded, UpstreamBroken, UpstreamError, UpstreamTimeout
from modelmux.upstream.base import Reply
from modelmux.upstream.connect import AddressInfo, Resolve
from modelmux.upstream.downloads.url_guard import Guard, NotFetched, Target, parse_url
from modelmux.upstream.pool import HttpPool
from modelmux.wire.http import Headers, HttpCall, Timeouts, find_raw_header

#: Base64 adds a third, and Vertex AI takes bodies of 30 MB: this is what fits, with room for the conversation.
MAX_BYTES: Final = 20 * 1024 * 1024
#: Downloads at once for one request, as many as a browser would make; and for all requests together.
PER_REQUEST: Final = 8
AT_ONCE: Final = 32
#: Threads that ask the system for addresses. They are our own: names with slow servers must not hold up the
#: resolving of Vertex AI's, nor the threads that uvloop has for everything (four).
LOOKUPS: Final = 8
#: The cache: bytes, entries, and seconds after which a URL is fetched anew. An entry's own cost is a guess.
CACHE_BYTES: Final = 64 * 1024 * 1024
CACHE_ENTRIES: Final = 512
CACHE_AGE: Final = 3600.0
_ENTRY_COST: Final = 512

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS: Final[Headers] = [
    (b"user-agent", b"ModelMux-Fetch/1"),
    (b"accept", b"image/*, application/pdf, text/plain"),
]
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")


class FetchSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[fetch]``. Hosts are given as ``example.com`` or ``*.example.com`` (its subdomains)."""

    enabled: bool = True
    #: Hosts that may be fetched from; empty for all public ones.
    allow: tuple[str, ...] = ()
    #: Hosts that may not, whatever ``allow`` says.
    deny: tuple[str, ...] = ()
    #: Bytes of one URL's content, and of all contents of one request together.
    max_bytes: int = MAX_BYTES
    #: Seconds for one URL, redirects and waiting included.
    timeout: float = 15.0
    max_redirects: int = 3
    #: Networks (``10.20.0.0/16``) that may be reached although they are not public. Metadata services never may.
    allow_private: tuple[str, ...] = ()
    #: Ports besides 80 and 443.
    extra_ports: tuple[int, ...] = ()


class Fetched(NamedTuple):
    """The bytes, and the type the server claims for them: lower case, no parameters, "" if it claims none."""

    data: bytes
    media_type: str


class _Flight:
    """A download on its way, and how many wait for it."""

    __slots__ = ("task", "waiters")

    def __init__(self, task: asyncio.Task[Fetched]) -> None:
        self.task = task
        self.waiters = 0


class Fetcher:
    """Fetches URLs, each at most once at a time, and remembers what it got. Belongs to one event loop; construction
    does no I/O.

    :param resolver: host, port -> addresses; the system's by default.
    :param ssl_context: by default the system's authorities.
    :param clock: seconds, monotonic, for the age of what is remembered. Time limits are the event loop's.
    :raises ValueError: a setting that is none; the message names it.
    """

    def __init__(
        self,
        settings: FetchSettings,
        *,
        resolver: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="modelmux-fetch-dns")
        self._guard = Guard(
            resolver=resolver or self._look_up,
            allow=settings.allow,
            deny=settings.deny,
            allow_private=settings.allow_private,
            ports=(80, 443, *settings.extra_ports),
        )
        self._pool = HttpPool(max_idle=0, ssl_context=ssl_context, resolver=self._guard.resolve)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._cache = _Cache(clock)
        self._flights: dict[str, _Flight] = {}
        self._tasks: set[asyncio.Task[Fetched]] = set()
        self._closed = False

    async def fetch(self, url: str) -> Fetched:
        """The content of ``url``: remembered, or fetched together with all who ask for it now.

        :raises NotFetched: (400) it cannot be had, or must not be.
        :raises GatewayOverloaded: too many downloads are under way.
        :raises GatewayDraining: the fetcher was closed.
        """
        if not self._settings.enabled:
            raise NotFetched("disabled", url=url)
        if self._closed:
            raise _draining()
        if (cached := self._cache.get(url)) is not None:
            return cached
        flight = self._flights.get(url) or self._start(url)
        flight.waiters += 1
        try:
            await asyncio.wait([flight.task])
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                await self._abandon(url, flight)
        if flight.task.cancelled():
            raise _draining()
        return _result(flight.task, url)

    async def fetch_all(self, urls: Iterable[str]) -> dict[str, Fetched]:
        """The contents of all ``urls``, in their order, each once. The first failure ends the others.

        :raises NotFetched: as ``fetch``; its ``url`` says which one. Also if all together are too large.
        """
        wanted = list(dict.fromkeys(urls))
        found: dict[str, Fetched] = {}
        places = asyncio.Semaphore(PER_REQUEST)
        room = self._settings.max_bytes

        async def fetch(url: str) -> None:
            nonlocal room
            async with places:
                found[url] = await self.fetch(url)
            room -= len(found[url].data)
            if room < 0:
                raise NotFetched(
                    "too_large", url=url, said="The contents of the request's URLs are too large together."
                )

        try:
            async with asyncio.TaskGroup() as group:
                for url in wanted:
                    group.create_task(fetch(url))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {url: found[url] for url in wanted}

    def forget(self, url: str) -> None:
        """What ``url`` gave proved useless (an error page, say): fetch it anew when it is next asked for."""
        self._cache.drop(url)

    async def aclose(self) -> None:
        """End all downloads and forget everything. Idempotent."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._pool.aclose()
        self._cache.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    # Flights

    def _start(self, url: str) -> _Flight:
        task = asyncio.get_running_loop().create_task(self._fly(url))
        flight = self._flights[url] = _Flight(task)
        self._tasks.add(task)
        task.add_done_callback(self._landed)
        return flight

    def _landed(self, task: asyncio.Task[Fetched]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever waited for it may be gone

    async def _abandon(self, url: str, flight: _Flight) -> None:
        """No one waits for it any more."""
        del self._flights[url]  # who asks now must not join a download that is ending
        flight.task.cancel()
        await asyncio.wait([flight.task])

    async def _fly(self, url: str) -> Fetched:
        task = asyncio.current_task()
        try:
            fetched = await self._within_limits(url)
            self._cache.put(url, fetched)
            return fetched
        finally:
            flight = self._flights.get(url)
            if flight is not None and flight.task is task:
                del self._flights[url]

    # One download

    async def _within_limits(self, url: str) -> Fetched:
        target = parse_url(url)
        self._guard.check(target)  # what cannot be fetched needs no place
        begun = False
        try:
            async with asyncio.timeout(self._settings.timeout), self._places:
                begun = True
                return await self._follow(target)
        except (TimeoutError, UpstreamTimeout) as error:
            if not begun:
                raise _overloaded() from None
            detail = getattr(error, "detail", None) or target.origin.host
            raise NotFetched("timeout", detail=detail) from None
        except UpstreamBroken as error:
            detail = f"{target.origin.host}: {error.message} {error.detail or ''}"
            raise NotFetched("broken", detail=detail) from None
        except UpstreamError as error:
            raise NotFetched("unreachable", detail=error.detail) from None

    async def _follow(self, target: Target) -> Fetched:
        seconds = self._settings.timeout
        limits = Timeouts(connect=seconds, pool=seconds, send=seconds, first_byte=seconds, idle=seconds)
        for _ in range(self._settings.max_redirects + 1):
            self._guard.check(target)
            reply = await self._pool.send(HttpCall(target.origin, target.path, _HEADERS, b"", limits, "GET"))
            try:
                location = _header(reply, b"location") if reply.status in _REDIRECTS else ""
                if not location:
                    return await self._read(reply, target)
            finally:
                await reply.aclose()
            target = target.redirected(location)
        raise NotFetched("redirects", detail=target.origin.host)

    async def _read(self, reply: Reply, target: Target) -> Fetched:
        host = target.origin.host
        if reply.status != 200:
            said = f"The URL's server answered with status {reply.status}."
            raise NotFetched("status", said=said, detail=host)
        size, limit, parts = 0, self._settings.max_bytes, []
        announced = _header(reply, b"content-length")  # llhttp has checked that it is a number
        if announced and int(announced) > limit:
            raise NotFetched("too_large", detail=f"{host} announces {announced} bytes, the limit is {limit}")
        async for part in reply:
            size += len(part)
            if size > limit:
                raise NotFetched("too_large", detail=f"{host} sent more than {limit} bytes")
            parts.append(part)
        media_type = _header(reply, b"content-type").partition(";")[0].strip().lower()
        return Fetched(b"".join(parts), media_type if _MEDIA_TYPE.fullmatch(media_type) else "")

    async def _look_up(self, host: str, port: int) -> Sequence[AddressInfo]:
        def ask() -> Sequence[AddressInfo]:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)


class _Cache:
    """What was fetched, the least recently used out first. An entry's age counts from when it was fetched."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, Fetched]] = OrderedDict()
        self._size = 0

    def get(self, url: str) -> Fetched | None:
        entry = self._entries.get(url)
        if entry is None:
            return None
        if self._clock() - entry[0] >= CACHE_AGE:
            self.drop(url)
            return None
        self._entries.move_to_end(url)
        return entry[1]

    def put(self, url: str, fetched: Fetched) -> None:
        self.drop(url)
        cost = _cost(url, fetched)
        if cost > CACHE_BYTES:
            return
        self._entries[url] = (self._clock(), fetched)
        self._size += cost
        while self._size > CACHE_BYTES or len(self._entries) > CACHE_ENTRIES:
            self.drop(next(iter(self._entries)))

    def clear(self) -> None:
        self._entries.clear()
        self._size = 0

    def drop(self, url: str) -> None:
        entry = self._entries.pop(url, None)
        if entry is not None:
            self._size -= _cost(url, entry[1])


def _cost(url: str, fetched: Fetched) -> int:
    return len(fetched.data) + len(url) + _ENTRY_COST


def _result(task: asyncio.Task[Fetched], url: str) -> Fetched:
    """What a finished flight came to; a failure as an exception of its own for everyone, so that each may add to it."""
    error = task.exception()
    if isinstance(error, NotFetched):
        raise error.again(url)
    if isinstance(error, GatewayOverloaded):
        raise _overloaded()
    return task.result()


def _header(reply: Reply, name: bytes) -> str:
    """The first header of that name, "" without one."""
    value = find_raw_header(reply.headers, name) or b""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _overloaded() -> GatewayOverloaded:
    return GatewayOverloaded("Too many downloads are under way.", hint="Try again in a moment.")


def _draining() -> GatewayDraining:
    return GatewayDraining("The gateway is shutting down.", hint="Try again in a moment.")
