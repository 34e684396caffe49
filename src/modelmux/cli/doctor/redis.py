"""What ``limits.redis`` and ``thinking.store`` depend on: the package, the server, and what it does when it is full."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Final

from modelmux.cli.doctor.result import Result
from modelmux.config import Config, ConfigError
from modelmux.config.redis_url import RedisUrl
from modelmux.store.base import StoreFailed
from modelmux.store.redis.connection import CONNECT_TIMEOUT, Connection
from modelmux.store.redis.limit_exchange import TIMEOUT
from modelmux.store.redis.open_redis import check_driver, redis_connection
from modelmux.store.redis.script import COMMON, SCRIPT
from modelmux.store.redis.thinking_rows import FIND_BOUND, check_rows

_CHECK: Final = "limits.redis"
_NO_EVICTION: Final = "set maxmemory-policy to noeviction: where leases are evicted, nodes may pass a limit together"
_SLOW: Final = "use a server that is near: a call that takes longer than 50 ms is given up"
_NAME: Final = "doctor"
_SLOW_LOOK: Final = "use a server that is near: a look that takes longer than 250 ms is given up, connecting included"
_UNBOUNDED: Final = (
    "set maxmemory, and maxmemory-policy allkeys-lru: what is remembered in two hours may be more than the machine has"
)
_FULL: Final = (
    "set maxmemory-policy to allkeys-lru, on a server that keeps nothing else: a full one takes nothing in place of "
    "what is old"
)


def check_redis(config: Config) -> Iterator[Result]:
    """Whether the script runs on the server. Nothing without the setting."""
    try:
        connect = redis_connection(config)
        if connect is not None:
            yield from asyncio.run(_check(connect()))
    except ConfigError as error:
        for problem in error.problems:
            yield Result(_CHECK, "fail", problem, error.hint)
    except StoreFailed as error:
        problem, _, remedy = str(error).partition("; ")
        yield Result(_CHECK, "fail", problem, remedy or "check that the server works; its log may say more")


def check_redis_thinking(url: RedisUrl, ca_file: str | None, name: str) -> Iterator[Result]:
    """Whether rows can be written and read. Nothing is left on the server.

    :param name: of the check.
    :raises ConfigError: the package is not installed.
    """
    check_driver(url.setting)
    try:
        yield from asyncio.run(_check_rows(Connection(url, CONNECT_TIMEOUT, ca_file), name))
    except StoreFailed as error:
        problem, _, remedy = str(error).partition("; ")
        yield Result(name, "warn", problem, remedy or "check that the server works; its log may say more")


async def _check_rows(connection: Connection, name: str) -> list[Result]:
    """:raises StoreFailed:"""
    began = time.monotonic()
    await check_rows(connection)
    seconds = time.monotonic() - began
    try:
        memory = await _memory(connection)
    finally:
        await connection.aclose()
    return [_judge_look(str(connection.url), seconds, name), *_judge_bound(memory, name)]


def _judge_look(url: str, seconds: float, name: str) -> Result:
    ms = round(1000 * seconds)
    if seconds > FIND_BOUND / 2:
        return Result(name, "warn", f"{url} takes {ms} ms for a look", _SLOW_LOOK, ms=ms)
    return Result(name, "ok", f"sealed in {url}", ms=ms)


def _judge_bound(memory: dict[str, Any], name: str) -> Iterator[Result]:
    """:param memory: empty where the user may not ask."""
    if memory.get("maxmemory") == 0:
        yield Result(name, "warn", "the server has no maxmemory", _UNBOUNDED)
    elif memory.get("maxmemory_policy") == "noeviction":
        yield Result(name, "warn", "maxmemory-policy is noeviction", _FULL)


async def _check(connection: Connection) -> list[Result]:
    """:raises StoreFailed:"""
    try:
        await connection.run(SCRIPT, COMMON, [_NAME, _NAME, 1, 0, 1], CONNECT_TIMEOUT)
        began = time.monotonic()
        await connection.run(SCRIPT, COMMON, [_NAME, _NAME, 1, 0, 1], CONNECT_TIMEOUT)
        seconds = time.monotonic() - began
        return [_judge_time(str(connection.url), seconds), *_judge_memory(await _memory(connection))]
    finally:
        await connection.aclose()


async def _memory(connection: Connection) -> dict[str, Any]:
    try:
        return await connection.info("memory")
    except StoreFailed:  # the user may not be allowed to ask
        return {}


def _judge_time(url: str, seconds: float) -> Result:
    ms = round(1000 * seconds)
    if seconds > TIMEOUT / 2:
        return Result(_CHECK, "warn", f"{url} takes {ms} ms for a call", _SLOW, ms=ms)
    return Result(_CHECK, "ok", f"{url} runs the script", ms=ms)


def _judge_memory(memory: dict[str, Any]) -> Iterator[Result]:
    policy = memory.get("maxmemory_policy", "noeviction")
    if memory.get("maxmemory") and policy != "noeviction":
        yield Result(_CHECK, "warn", f"maxmemory-policy is {policy}", _NO_EVICTION)
