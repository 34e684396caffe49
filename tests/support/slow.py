"""Stand-ins for an upstream that takes its time."""

from __future__ import annotations

import asyncio
from typing import Any

from modelmux.errors import GatewayError
from modelmux.wire.http import HttpCall
from support.fakes import SSE_HEADERS, FakeReply, FakeUpstream


class SlowReply(FakeReply):
    """``pieces`` may hold seconds to wait."""

    def __init__(self, *pieces: bytes | float | GatewayError) -> None:
        super().__init__(200, SSE_HEADERS, [])
        self._slow = pieces

    async def _iterate(self) -> Any:
        for piece in self._slow:
            if isinstance(piece, GatewayError):
                raise piece
            if isinstance(piece, bytes):
                yield piece
            else:
                await asyncio.sleep(piece)


class SlowUpstream(FakeUpstream):
    """Waits before each answer's head, and counts the calls that run."""

    def __init__(self, script: Any, wait: float) -> None:
        super().__init__(script)
        self.wait = wait
        self.running = self.most = 0

    async def send(self, call: HttpCall) -> FakeReply:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.wait)
            return await super().send(call)
        finally:
            self.running -= 1


def slow(*pieces: bytes | float | GatewayError) -> FakeUpstream:
    return FakeUpstream([SlowReply(*pieces)])
