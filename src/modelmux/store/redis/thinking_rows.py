"""Remembered thinking on a Redis or Valkey server: sealed rows by key, which expire there. What the server evicts was
never remembered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from modelmux.config.redis_url import RedisUrl
from modelmux.store.base import StoreFailed
from modelmux.store.bounded_calls import BoundedCalls
from modelmux.store.own_loop import in_own_loop
from modelmux.store.redis.connection import CONNECT_TIMEOUT, Connection, silence, strange

#: In front of all keys. The braces keep them on one server of a cluster, which MGET needs.
PREFIX: Final = "modelmux:{thinking}:"
#: Seconds that a request waits for a look at most, and that a batch takes at most: as in a database.
FIND_BOUND: Final = 0.25
ADD_BOUND: Final = 5.0


class RedisThinkingRows:
    """See ``shared_thinking.ThinkingRows``. Bounded by the time that rows live, and by ``maxmemory`` of the server.

    :param ca_file: certificate authorities in place of the system's.
    :param now: Unix seconds. :param clock: monotonic seconds.
    :param find_bound, add_bound: seconds that a call takes at most, what waits before it and connecting included.
    """

    def __init__(
        self,
        url: RedisUrl,
        ca_file: str | None,
        now: Callable[[], float],
        *,
        clock: Callable[[], float] = time.monotonic,
        find_bound: float = FIND_BOUND,
        add_bound: float = ADD_BOUND,
    ) -> None:
        self.url = url
        self._ca_file = ca_file
        self._now = now
        self._reader = _BoundedConnection(Connection(url, None, ca_file), find_bound, clock)
        self._writer = _BoundedConnection(Connection(url, None, ca_file), add_bound, clock)

    def check(self) -> None:
        """Whether rows can be read and written: for a start. :raises StoreFailed:"""
        connection = Connection(self.url, CONNECT_TIMEOUT, self._ca_file)
        in_own_loop(lambda: check_rows(connection), "modelmux-thinking-check")

    async def add(self, rows: Sequence[tuple[bytes, bytes, float]]) -> None:
        """See ``ThinkingRows.add``. Rows live by the clock of the server, whatever those of the nodes say."""
        now = self._now()
        left = [(key, sealed, int(1000 * (expires_at - now))) for key, sealed, expires_at in rows]
        commands = [("SET", _name(key), sealed, "PX", ms) for key, sealed, ms in left if ms > 0]
        if commands:
            await self._writer.call(*commands)

    async def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """See ``ThinkingRows.find``."""
        (values,) = await self._reader.call(("MGET", *map(_name, keys)))
        if not isinstance(values, list) or len(values) != len(keys):
            raise StoreFailed(strange(self.url))
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}

    async def aclose(self) -> None:
        """See ``ThinkingRows.aclose``."""
        await self._reader.aclose()
        await self._writer.aclose()


class _BoundedConnection:
    """A connection whose calls follow each other. :param bound: seconds."""

    def __init__(self, connection: Connection, bound: float, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._bound = bound
        self._calls = BoundedCalls(silence(connection.url, bound), clock)
        self._turn = asyncio.Lock()

    async def call(self, *commands: Sequence[Any]) -> list[Any]:
        """:raises StoreFailed:"""

        async def call() -> list[Any]:
            async with self._turn:
                return await self._connection.call(*commands)

        return await self._calls.run(call, self._bound)

    async def aclose(self) -> None:
        await self._connection.aclose()


async def check_rows(connection: Connection) -> None:
    """Read and write a row that expires at once, and close the connection. :raises StoreFailed:"""
    try:
        name = f"{PREFIX}check"
        await connection.call(("MGET", name), ("SET", name, b"", "PX", 1))
    finally:
        await connection.aclose()


def _name(key: bytes) -> str:
    return PREFIX + key.hex()
