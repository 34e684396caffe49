"""Clients that ask a gateway while a test does something else, and what became of each request."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, Self

from bench.client import Client, Response

from support.cluster import MODEL, until

_PATHS: Final = ("/v1/messages", "/v1/chat/completions", "/v1/responses")
#: Seconds after which a request counts as hanging.
_PATIENCE: Final = 100.0


def body_of(path: str, number: int, words: int) -> bytes:
    """A small request; every second one streams."""
    text = f"repeat after me: {number} {'word ' * (number % words + 1)}"
    body = {"model": MODEL, "stream": number % 2 == 0}
    if path.endswith("responses"):
        return json.dumps({**body, "input": text, "max_output_tokens": 40 + 2 * words}).encode()
    return json.dumps(
        {**body, "messages": [{"role": "user", "content": text}], "max_tokens": 40 + 2 * words}
    ).encode()  # fmt: skip


def outcome_of(response: Response) -> str:
    """The status; ``broken`` for what has no status, or not the end of a success: a stream that waited before it was
    refused has begun, and ends with an error."""
    if response.status not in (0, 200):
        return str(response.status)
    return "200" if response.complete and not response.failure and response.error is None else "broken"


async def ask(
    url: str,
    secret: str,
    number: int,
    words: int = 5,
    patience: float = _PATIENCE,
    connected: Callable[[], AbstractAsyncContextManager[object]] | None = None,
) -> Response:
    """One request over a connection of its own.

    :param patience: seconds after which it counts as hanging.
    :param connected: is entered when there is a connection, for as long as the request runs.
    """
    path = _PATHS[number % len(_PATHS)]
    client, body = Client(url, path, secret), body_of(path, number, words)
    try:
        if connected is None:
            connected = contextlib.nullcontext
        else:
            with contextlib.suppress(OSError):  # it is tried again
                await client.connect()
        async with connected(), asyncio.timeout(patience):
            return await client.send(body)
    finally:
        client.close()


async def ask_all(urls: list[str], secret: str, count: int, *, at_once: int, pause: float = 0.0) -> list[Response]:
    """Requests, spread over gateways. :param pause: seconds from one request of a client to its next one."""
    numbers = iter(range(count))

    async def client() -> list[Response]:
        responses = []
        for number in numbers:
            responses.append(await ask(urls[number % len(urls)], secret, number))
            await asyncio.sleep(pause)
        return responses

    return list(itertools.chain.from_iterable(await asyncio.gather(*(client() for _ in range(at_once)))))


class Traffic:
    """Clients of a gateway, each of which asks again when it has an answer, for the length of a ``with``."""

    def __init__(self, url: str, secret: str, *, clients: int = 6, words: int = 5) -> None:
        self._url, self._secret, self._clients, self._words = url, secret, clients, words
        self._numbers: Iterator[int] = itertools.count()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.responses: list[Response] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(map(outcome_of, list(self.responses)))

    def until_more(self, count: int, outcome: str | None = None) -> None:
        """Wait until so many further requests have ended. :param outcome: only those that have ended so."""

        def ended() -> int:
            return self.outcomes[outcome] if outcome is not None else len(self.responses)

        end = ended() + count
        until(lambda: ended() >= end, told=lambda: self.outcomes)

    async def _run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self._clients)))

    async def _client(self) -> None:
        while not self._is_over.is_set():
            response = await ask(self._url, self._secret, next(self._numbers), self._words)
            self.responses.append(response)
            if outcome_of(response) != "200":
                await asyncio.sleep(0.02)  # there may be no gateway at the moment
