"""The connection to Redis: one for each process, opened when it is needed, and what its errors mean."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol

from modelmux.config.conversations_check import THINKING
from modelmux.config.redis_url import LIMITS, RedisUrl
from modelmux.store.base import StoreFailed

#: Seconds that opening a connection may take. No request waits for it.
CONNECT_TIMEOUT: Final = 1.0
#: Seconds that closing waits for the other side.
CLOSE_TIMEOUT: Final = 0.5
REMEDY: Final = (
    "{setting} needs the package redis, which is not installed; run pip install 'modelmux-gateway[redis]', or {other}"
)
_OTHERS: Final = {THINKING: f'set {THINKING} to "memory"'}
_KEYS: Final = "or not on keys that begin with modelmux:; give it"
_PERMISSIONS: Final = {
    LIMITS: f"the user may not run scripts, {_KEYS} +@scripting and these keys",
    THINKING: f"the user may not run MGET and SET, {_KEYS} +mget +set and these keys",
}
_NAME: Final = "modelmux"


class Scripts(Protocol):
    """Runs a script on a server."""

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[str | int]) -> list[Any]:
        """:raises StoreFailed: for people."""
        ...

    async def aclose(self) -> None:
        """Idempotent; it may be used again after."""
        ...


def driver(setting: str = LIMITS) -> Any:
    """The module redis.asyncio. :param setting: that needs it. :raises StoreFailed: it is not installed."""
    try:
        import redis.asyncio  # an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        remedy = REMEDY.format(setting=setting, other=_OTHERS.get(setting, f"remove {setting}"))
        raise StoreFailed(remedy) from None
    return redis.asyncio


class Connection:
    """See ``Scripts``. One call at a time. One that fails, or is cancelled, closes the connection: the answer to one
    that was given up would be taken for that to the next one.

    :param timeout: seconds of a call on a connection that is open; None where who calls has a bound.
    :param ca_file: certificate authorities in place of the system's.
    """

    def __init__(self, url: RedisUrl, timeout: float | None, ca_file: str | None = None) -> None:
        self.url = url
        self._timeout = timeout
        self._ca_file = ca_file
        self._client: Any = None
        self._closing: set[asyncio.Task[None]] = set()

    async def run(
        self, script: str, keys: Sequence[str], arguments: Sequence[str | int], timeout: float | None = None
    ) -> list[Any]:
        seconds = timeout or (CONNECT_TIMEOUT if self._client is None else self._timeout)
        async with self._failing(seconds):
            answer = await self._evaluate(script, keys, arguments)
        return answer  # noqa: RET504 - the context may end what is in it

    async def call(self, *commands: Sequence[Any]) -> list[Any]:
        """The answers to commands, which are sent together. :raises StoreFailed: one of them failed."""
        async with self._failing(self._timeout):
            pipeline = self._opened().pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            # What it raises itself would quote the command.
            try:
                answers: list[Any] = await pipeline.execute(raise_on_error=False)
            except (ValueError, TypeError, IndexError):  # of the library, about what it has read
                raise StoreFailed(strange(self.url)) from None
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers

    async def info(self, section: str) -> dict[str, Any]:
        """What the server says of itself. :raises StoreFailed:"""
        async with self._failing(CONNECT_TIMEOUT):
            answer: dict[str, Any] = await self._opened().info(section)
        return answer

    @contextlib.asynccontextmanager
    async def _failing(self, seconds: float | None) -> AsyncIterator[None]:
        """:raises StoreFailed: what is within has failed, or took longer."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except BaseException as error:
            self._give_up()
            if isinstance(error, TimeoutError) and seconds is not None:
                raise StoreFailed(silence(self.url, seconds)) from None
            if is_of_redis(error):
                raise StoreFailed(f"{self.url}: {problem_of(error, self.url.setting)}") from None
            raise

    async def _evaluate(self, script: str, keys: Sequence[str], arguments: Sequence[str | int]) -> list[Any]:
        client, rest = self._opened(), (len(keys), *keys, *arguments)
        digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            answer: list[Any] = await client.execute_command("EVALSHA", digest, *rest)
        except Exception as error:
            if type(error).__name__ != "NoScriptError":
                raise
            answer = await client.execute_command("EVAL", script, *rest)
        return answer

    def _opened(self) -> Any:
        if self._client is None:
            module, url = driver(self.url.setting), self.url
            from redis.asyncio.retry import Retry  # type: ignore[import-not-found, unused-ignore]
            from redis.backoff import NoBackoff  # type: ignore[import-not-found, unused-ignore]

            tls = {"ssl": True, "ssl_ca_certs": self._ca_file} if url.is_tls else {}
            self._client = module.Redis(
                host=url.host, port=url.port, db=url.database, username=url.user, password=url.password,
                socket_timeout=None, socket_connect_timeout=None, retry=Retry(NoBackoff(), 0), protocol=2,
                max_connections=1, client_name=_NAME, **tls,
            )  # fmt: skip
        return self._client

    def _give_up(self) -> None:
        """Close beside what goes on: the end of TLS waits for a server that may be silent."""
        client, self._client = self._client, None
        if client is not None:
            task = asyncio.get_running_loop().create_task(_closed(client))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """See ``Scripts.aclose``. Ends soon."""
        self._give_up()
        tasks = list(self._closing)
        if tasks:
            _, silent = await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT)
            for task in silent:
                task.cancel()
            if silent:
                await asyncio.wait(silent, timeout=CLOSE_TIMEOUT)


async def _closed(client: Any) -> None:
    with contextlib.suppress(Exception):
        await client.aclose()


def silence(url: RedisUrl, seconds: float) -> str:
    """That a server has not answered, for people."""
    return f"{url} has not answered within {seconds * 1000:.0f} ms"


def strange(url: RedisUrl) -> str:
    """That what answers is not a Redis server, for people."""
    return f"{url} does not answer as Redis does; correct {url.setting}"


def is_of_redis(error: BaseException) -> bool:
    """Whether it comes from the server, or from the way to it."""
    return isinstance(error, OSError) or type(error).__module__.startswith("redis")


def problem_of(error: BaseException, setting: str = LIMITS) -> str:
    """One line for people, without a password: the library quotes none, but servers say what they like.

    :param setting: that names the server.
    """
    text = " ".join(str(error).split())
    name = type(error).__name__
    if "NOAUTH" in text or "authentication required" in text.lower():
        return f"it asks for a password; write it into {setting}"
    if name.startswith("Authentication") or "WRONGPASS" in text:
        return f"user or password is wrong; correct {setting}"
    if name == "NoPermissionError" or "NOPERM" in text:
        return _PERMISSIONS[setting]
    if name == "OutOfMemoryError" or "OOM" in text:
        return "it has no memory left; raise maxmemory"
    if name == "ReadOnlyError":
        return "it is a replica; name the primary"
    if name in ("ConnectionError", "TimeoutError") or isinstance(error, OSError):
        return "it cannot be reached; check host, port, TLS and firewall"
    return text[:100]
