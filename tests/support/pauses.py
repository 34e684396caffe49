"""An upstream that pauses, and an application whose output is timed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from modelmux.errors import GatewayError
from support.fakes import SSE_HEADERS, FakeReply

#: As a piece: nothing follows.
SILENCE = float("inf")


class PausingReply(FakeReply):
    """A stream whose pieces may be pauses, in seconds or until an event is set.

    ``silent`` is set when it reaches a pause without end, ``left`` when it is closed.
    """

    def __init__(self, *pieces: bytes | GatewayError | float | asyncio.Event) -> None:
        super().__init__(200, SSE_HEADERS, [])
        self._steps: Sequence[bytes | GatewayError | float | asyncio.Event] = pieces
        self.silent = asyncio.Event()
        self.left: asyncio.Event = asyncio.Event()

    async def _iterate(self) -> AsyncIterator[bytes]:
        try:
            for step in self._steps:
                if isinstance(step, GatewayError):
                    raise step
                if isinstance(step, bytes):
                    yield step
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                elif step == SILENCE:
                    self.silent.set()
                    await asyncio.Event().wait()
                else:
                    await asyncio.sleep(step)
        finally:
            self.left.set()


class Watched:
    """An application, with the seconds after which it sent each part of its last response."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.parts: list[tuple[float, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        self.parts.clear()

        async def noted(message: Any) -> None:
            if body := message.get("body"):
                self.parts.append((loop.time() - start, body))
            await send(message)

        await self._app(scope, receive, noted)

    def when(self, text: bytes) -> float:
        """When the part with ``text`` was sent."""
        return next(time for time, part in self.parts if text in part)
