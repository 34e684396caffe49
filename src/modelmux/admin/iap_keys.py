"""The public keys of the Identity-Aware Proxy: fetched when they are needed, kept, and asked for again within bounds.

Whoever sends assertions chooses the ids of keys in them, so an unknown id alone must not lead to a fetch each time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit

from modelmux.admin.errors import SigningKeysUnavailable
from modelmux.admin.iap import read_keys
from modelmux.upstream.google_auth.transport import http_transport
from modelmux.upstream.trust import Trust

#: Seconds after which keys are fetched anew in the background, and after which they are not believed any more.
REFRESH_AFTER: Final = 3600.0
KEEP: Final = 24 * 3600.0
#: Seconds between two fetches: after one that worked, and after one that did not.
_PAUSE: Final = 60.0
_PAUSE_AFTER_FAILURE: Final = 5.0
#: Seconds for which a fetch is waited for, and after which its thread gives up one read, and the whole.
_LONGEST: Final = 10.0
_LONGEST_READ: Final = 10.0
#: The most that is read of an answer, which has a few keys, and how much of it at once: time is looked at in between.
_MAX_BYTES: Final = 64 * 1024
_CHUNK: Final = 16
_OK: Final = 200
_REDIRECTS: Final = range(300, 400)


class SigningKeys:
    """
    :param fetch: returns keys in PEM by their ids; raises ``KeysNotFetched``. :param clock: monotonic seconds.
    :param on_failure: is told why a fetch failed, in the middle of a sentence.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Mapping[str, str]]],
        clock: Callable[[], float],
        on_failure: Callable[[str], None],
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._on_failure = on_failure
        self._keys: Mapping[str, str] = {}
        self._fetched: float | None = None
        self._next = float("-inf")
        self._failure: str | None = None
        self._task: asyncio.Task[None] | None = None

    def is_of(self, url: str, trust: Trust) -> bool:
        """Whether its keys come from there."""
        return isinstance(self._fetch, KeyFetch) and (self._fetch.url, self._fetch.trust) == (url, trust)

    async def find(self, kid: str) -> str | None:
        """The key of an id; None if there is none.

        :raises SigningKeysUnavailable: whether there is one could not be found out.
        """
        known = self._known(kid)
        if known is None or self._age() > REFRESH_AFTER:
            task = self._refresh()
            if known is None and task is not None:
                await asyncio.shield(task)
                known = self._known(kid)
        if known is None and self._failure is not None:
            raise SigningKeysUnavailable.of(self._failure)
        return known

    def _known(self, kid: str) -> str | None:
        return self._keys.get(kid) if self._age() <= KEEP else None

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self._clock() - self._fetched

    def _refresh(self) -> asyncio.Task[None] | None:
        """The fetch that runs, or a new one; None if the last one is too recent."""
        if self._task is None and self._clock() >= self._next:
            self._task = asyncio.create_task(self._fetch_once())
        return self._task

    async def _fetch_once(self) -> None:
        try:
            async with asyncio.timeout(_LONGEST):
                self._keys = await self._fetch()
            self._fetched, self._failure = self._clock(), None
        except (KeysNotFetched, TimeoutError) as error:
            self._failure = str(error) or "it did not answer in time"
            self._on_failure(self._failure)
        finally:
            self._next = self._clock() + (_PAUSE if self._failure is None else _PAUSE_AFTER_FAILURE)
            self._task = None


class KeysNotFetched(Exception):
    """Why, for people: without anything that an endpoint has sent."""


class KeyFetch:
    """Fetches keys, in a thread of its own: others wait for those of the event loop. One at a time, since a thread
    cannot be ended: who asks while one runs that was given up waits for it.
    """

    def __init__(self, url: str, trust: Trust) -> None:
        self.url = url
        self.trust = trust
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="modelmux-iap-keys")
        self._running: Future[dict[str, str]] | None = None

    async def __call__(self) -> dict[str, str]:
        """:raises KeysNotFetched:"""
        if self._running is None or self._running.done():
            self._running = self._threads.submit(_fetch, self.url, self.trust)
        return await asyncio.wrap_future(self._running)


def _fetch(url: str, trust: Trust) -> dict[str, str]:
    try:
        with http_transport(trust) as transport:
            status, body = _get(transport.session, url)
    except KeysNotFetched:
        raise
    except Exception as error:  # noqa: BLE001 - whatever requests raises
        raise KeysNotFetched(f"it cannot be reached ({type(error).__name__})") from None
    if status in _REDIRECTS:
        raise KeysNotFetched(f"it answered with status {status}, and keys of another address are not believed")
    if status != _OK:
        raise KeysNotFetched(f"it answered with status {status}")
    try:
        return read_keys(body)
    except (ValueError, RecursionError):
        raise KeysNotFetched("it answered with something else than keys") from None


def _get(session: Any, url: str) -> tuple[int, bytes]:
    """Status and body. :param session: of requests. :raises KeysNotFetched: it takes too long, or is too much."""
    # A proxy of the environment takes HTTP to this machine elsewhere, and what it returns is not protected as by TLS.
    session.trust_env = urlsplit(url).scheme == "https"
    deadline, body = time.monotonic() + _LONGEST_READ, bytearray()
    options = {"allow_redirects": False, "stream": True, "timeout": _LONGEST_READ}
    with session.get(url, auth=_no_credentials, **options) as reply:
        for part in reply.iter_content(_CHUNK):
            body += part
            if len(body) > _MAX_BYTES:
                raise KeysNotFetched(f"it answered with more than {_MAX_BYTES // 1024} KiB")
            if time.monotonic() > deadline:
                raise KeysNotFetched("it did not answer in time")
        return reply.status_code, bytes(body)


def _no_credentials(request: Any) -> Any:
    """Else requests sends what ``~/.netrc`` has for a host."""
    return request
