"""Downloads images and documents that clients reference by URL. Vertex AI accepts no URLs, so the bytes are inlined.

The URLs are untrusted: ``url_guard`` decides where a connection may go, initially and at every redirect, and there are
limits for size, time, redirects, concurrent downloads and the cache. Nothing of the client's request is sent: no
cookies, no authorization, and a constant User-Agent. Connections are always direct, whatever proxy the environment
names, because a proxy would resolve the name again and connect where the guard cannot check. Each connection serves one
download.

Not in this module: rules about addresses (``url_guard``), file types (the caller inspects the bytes).
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from modelmux.errors import (
    CertificateNotAccepted,
    GatewayDraining,
    GatewayOverloaded,
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
)
from modelmux.upstream.base import Reply
from modelmux.upstream.connect import Resolve
from modelmux.upstream.downloads.cache import DownloadCache, Fetched
from modelmux.upstream.downloads.slots import MAX_CONCURRENT, DownloadSlots
from modelmux.upstream.downloads.url_guard import DownloadRefused, Target, UrlGuard, parse_url
from modelmux.upstream.name_lookups import NameLookUps
from modelmux.upstream.pool import HttpPool
from modelmux.upstream.trust import REMEDY
from modelmux.wire.http import Headers, HttpCall, Timeouts, find_raw_header

#: Base64 adds a third, and Vertex AI accepts bodies of 30 MB: this fits, with room for the conversation.
MAX_BYTES: Final = 20 * 1024 * 1024
#: Different URLs in one request: as many images as Claude takes in one.
MAX_URLS: Final = 100
#: Concurrent downloads of one request, as many as browsers use per host.
MAX_CONCURRENT_PER_REQUEST: Final = 8
#: Names that are looked up at the same time: twice the slots, because a look-up may outlive the download it is for.
DNS_THREADS: Final = 2 * MAX_CONCURRENT
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS: Final[Headers] = [
    (b"user-agent", b"ModelMux-Fetch/1"),
    (b"accept", b"image/*, application/pdf, text/plain"),
]
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")


class FetchSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[fetch]``. Hosts are written as ``example.com`` or ``*.example.com`` (its subdomains)."""

    enabled: bool = True
    #: Allowed hosts; empty for all public hosts.
    allow: tuple[str, ...] = ()
    #: Denied hosts; takes precedence over ``allow``.
    deny: tuple[str, ...] = ()
    #: Size limit in bytes of one file, and of all files of one request together.
    max_bytes: int = MAX_BYTES
    #: Seconds per URL, including redirects and waiting.
    timeout: float = 15.0
    max_redirects: int = 3
    #: Private networks (``10.20.0.0/16``) that are allowed. Metadata services never are.
    allow_private: tuple[str, ...] = ()
    #: Allowed ports in addition to 80 and 443.
    extra_ports: tuple[int, ...] = ()


class _Download:
    """A running download, and the number of callers that wait for it."""

    __slots__ = ("task", "waiters")

    def __init__(self, task: asyncio.Task[Fetched]) -> None:
        self.task = task
        self.waiters = 0


class Fetcher:
    """Downloads URLs; caches results and shares running downloads. Bound to one event loop; construction does no I/O.

    :param resolver: host, port -> addresses; by default look-ups in threads that only downloads use.
    :param ssl_context: by default with the system's certificate authorities.
    :param clock: monotonic seconds, for the age of cache entries. Timeouts use the event loop's clock.
    :raises ValueError: an invalid setting; the message names it.
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
        self._guard = UrlGuard(
            resolver=resolver or NameLookUps(DNS_THREADS, "modelmux-fetch-dns"),
            allow=settings.allow,
            deny=settings.deny,
            allow_private=settings.allow_private,
            ports=(80, 443, *settings.extra_ports),
        )
        self._pool = HttpPool(max_idle=0, ssl_context=ssl_context, resolver=self._guard.resolve)
        self._slots = DownloadSlots(MAX_CONCURRENT)
        self._cache = DownloadCache(clock)
        self._downloads: dict[str, _Download] = {}
        self._tasks: set[asyncio.Task[Fetched]] = set()
        self._closed = False

    async def fetch(self, url: str, owner: str = "") -> Fetched:
        """The content of ``url``, from the cache or a download that is shared with concurrent callers.

        :param owner: the client, whose share of the slots the download takes if it is not running yet.
        :raises DownloadRefused: (400) the download failed or is not allowed.
        :raises GatewayOverloaded: too many downloads are running.
        :raises GatewayDraining: the fetcher was closed.
        """
        if not self._settings.enabled:
            raise DownloadRefused("disabled", url=url)
        if self._closed:
            raise _draining()
        if (cached := self._cache.get(url)) is not None:
            return cached
        download = self._downloads.get(url) or self._start(url, owner)
        download.waiters += 1
        try:
            await asyncio.wait([download.task])
        finally:
            download.waiters -= 1
            if not download.waiters and not download.task.done():
                await self._cancel(url, download)
        if download.task.cancelled():
            raise _draining()
        return _result(download.task, url)

    async def fetch_all(self, urls: Iterable[str], owner: str = "") -> dict[str, Fetched]:
        """The contents of all ``urls``, in order and without duplicates. The first failure cancels the others.

        :raises DownloadRefused: as for ``fetch``, with ``url``; also for more than MAX_URLS, and if the total size
            exceeds the limit. If one of them is not allowed, none is fetched.
        """
        unique = list(dict.fromkeys(urls))
        if self._settings.enabled:
            self._check_all(unique)
        contents: dict[str, Fetched] = {}
        slots = asyncio.Semaphore(MAX_CONCURRENT_PER_REQUEST)
        bytes_left = self._settings.max_bytes

        async def fetch(url: str) -> None:
            nonlocal bytes_left
            async with slots:
                contents[url] = await self.fetch(url, owner)
            bytes_left -= len(contents[url].data)
            if bytes_left < 0:
                raise DownloadRefused(
                    "too_large", url=url, own_message="The files referenced by URL exceed the total size limit."
                )

        try:
            async with asyncio.TaskGroup() as group:
                for url in unique:
                    group.create_task(fetch(url))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {url: contents[url] for url in unique}

    def _check_all(self, urls: list[str]) -> None:
        if len(urls) > MAX_URLS:
            raise DownloadRefused("too_many", url=urls[MAX_URLS])
        for url in urls:
            try:
                self._guard.check(parse_url(url))
            except DownloadRefused as error:
                error.url = url
                raise

    def forget(self, url: str) -> None:
        """Drop ``url`` from the cache, because its content is unusable, such as an error page."""
        self._cache.drop(url)

    async def aclose(self) -> None:
        """Cancel all downloads and clear the cache. Idempotent."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._pool.aclose()
        self._cache.clear()

    # Shared downloads

    def _start(self, url: str, owner: str) -> _Download:
        task = asyncio.get_running_loop().create_task(self._run(url, owner))
        download = self._downloads[url] = _Download(task)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return download

    def _on_done(self, task: asyncio.Task[Fetched]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # mark it as retrieved: there may be no waiter any more

    async def _cancel(self, url: str, download: _Download) -> None:
        """Cancel a download without waiters."""
        del self._downloads[url]  # new callers must not join a cancelled download
        download.task.cancel()
        await asyncio.wait([download.task])

    async def _run(self, url: str, owner: str) -> Fetched:
        task = asyncio.current_task()
        try:
            fetched = await self._download(url, owner)
            self._cache.put(url, fetched)
            return fetched
        finally:
            download = self._downloads.get(url)
            if download is not None and download.task is task:
                del self._downloads[url]

    # One download

    async def _download(self, url: str, owner: str) -> Fetched:
        target = parse_url(url)
        self._guard.check(target)  # before waiting for a slot
        started = False
        try:
            async with asyncio.timeout(self._settings.timeout):
                await self._slots.acquire(owner, target.origin.host)
                started = True
                try:
                    return await self._follow(target)
                finally:
                    self._slots.release(owner, target.origin.host)
        except (TimeoutError, UpstreamTimeout) as error:
            if not started:
                raise _overloaded() from None
            detail = getattr(error, "detail", None) or target.origin.host
            raise DownloadRefused("timeout", detail=detail) from None
        except UpstreamBroken as error:
            detail = f"{target.origin.host}: {error.message} {error.detail or ''}"
            raise DownloadRefused("broken", detail=detail) from None
        except CertificateNotAccepted as error:
            message = "The TLS certificate of the host of the URL was not accepted."
            raise DownloadRefused("unreachable", own_message=message, own_hint=REMEDY, detail=error.detail) from None
        except UpstreamError as error:
            raise DownloadRefused("unreachable", detail=error.detail) from None

    async def _follow(self, target: Target) -> Fetched:
        seconds = self._settings.timeout
        limits = Timeouts(connect=seconds, pool=seconds, send=seconds, first_byte=seconds, idle=seconds)
        for _ in range(self._settings.max_redirects + 1):
            self._guard.check(target)
            reply = await self._pool.send(HttpCall(target.origin, target.path, _HEADERS, b"", limits, "GET"))
            try:
                location = _header_text(reply, b"location") if reply.status in _REDIRECTS else ""
                if not location:
                    return await self._read(reply, target)
            finally:
                await reply.aclose()
            target = target.redirected(location)
        raise DownloadRefused("redirects", detail=target.origin.host)

    async def _read(self, reply: Reply, target: Target) -> Fetched:
        host = target.origin.host
        if reply.status != 200:
            message = f"The server of the URL returned status {reply.status}."
            raise DownloadRefused("status", own_message=message, detail=host)
        size, limit, parts = 0, self._settings.max_bytes, []
        announced = _header_text(reply, b"content-length")  # llhttp has validated that it is a number
        if announced and int(announced) > limit:
            raise DownloadRefused("too_large", detail=f"{host} announced {announced} bytes, the limit is {limit}")
        async for part in reply:
            size += len(part)
            if size > limit:
                raise DownloadRefused("too_large", detail=f"{host} sent more than {limit} bytes")
            parts.append(part)
        media_type = _header_text(reply, b"content-type").partition(";")[0].strip().lower()
        return Fetched(b"".join(parts), media_type if _MEDIA_TYPE.fullmatch(media_type) else "")


def _result(task: asyncio.Task[Fetched], url: str) -> Fetched:
    """The result of a finished download. Each waiter gets its own exception, to which it may add details."""
    error = task.exception()
    if isinstance(error, DownloadRefused):
        raise error.copy_for(url)
    if isinstance(error, GatewayOverloaded):
        raise _overloaded()
    return task.result()


def _header_text(reply: Reply, name: bytes) -> str:
    """A header as UTF-8 or Latin-1 text; "" if it is missing."""
    value = find_raw_header(reply.headers, name) or b""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _overloaded() -> GatewayOverloaded:
    return GatewayOverloaded("Too many downloads are running.", hint="Try again in a moment.")


def _draining() -> GatewayDraining:
    return GatewayDraining("The gateway is shutting down.", hint="Try again in a moment.")
