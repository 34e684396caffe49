"""A scripted upstream and token source: calls are recorded, replies come from a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from modelmux.errors import GatewayError, UpstreamBroken
from modelmux.wire.http import Headers, HttpCall

SSE_HEADERS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
JSON_HEADERS: Headers = [(b"content-type", b"application/json")]


class FakeReply:
    """A reply whose body comes in the given pieces; a GatewayError among them is raised in its place."""

    def __init__(self, status: int, headers: Headers, pieces: Sequence[bytes | GatewayError]) -> None:
        self.status = status
        self.headers = headers
        self._pieces = list(pieces)
        self.closed = 0
        self.read_pieces = 0

    def __repr__(self) -> str:  # names test cases: the same in every worker
        return f"{self.status} {b''.join(p for p in self._pieces if isinstance(p, bytes))[:60]!r}"

    async def _iterate(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, GatewayError):
                raise piece
            self.read_pieces += 1
            yield piece

    @property
    def is_complete(self) -> bool:
        return False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._iterate()

    async def read(self, limit: int) -> bytes:
        body = b"".join([piece async for piece in self])
        if len(body) > limit:
            raise UpstreamBroken("too long", reply_started=True)
        return body

    async def aclose(self) -> None:
        self.closed += 1


class FakeUpstream:
    """Answers calls from a script: replies, errors to raise, or a function of the call."""

    def __init__(self, script: Iterable[FakeReply | GatewayError | Callable[[HttpCall], FakeReply]]) -> None:
        self.script = list(script)
        self.calls: list[HttpCall] = []
        self.replies: list[FakeReply] = []

    async def send(self, call: HttpCall) -> FakeReply:
        self.calls.append(call)
        if call.on_sent is not None:
            call.on_sent()
        step = self.script.pop(0)
        if isinstance(step, GatewayError):
            raise step
        reply = step if isinstance(step, FakeReply) else step(call)
        self.replies.append(reply)
        return reply

    async def aclose(self) -> None:
        pass

    def body(self, index: int = -1) -> dict[str, Any]:
        """The body of a recorded call."""
        parsed: dict[str, Any] = json.loads(self.calls[index].body)
        return parsed


class HeldBack:
    """Has all calls of an upstream wait.

    :ivar began: set when the first one has come. :ivar answers: to be set; then they are answered.
    """

    def __init__(self, upstream: Any) -> None:
        self.began, self.answers = asyncio.Event(), asyncio.Event()
        self._send = upstream.send
        upstream.send = self._wait

    async def _wait(self, call: HttpCall) -> Any:
        self.began.set()
        await self.answers.wait()
        return await self._send(call)


class FakeTokens:
    """Tokens token-1, token-2, …: each renewal returns the next."""

    def __init__(self) -> None:
        self.number = 1

    async def token(self) -> str:
        return f"token-{self.number}"

    async def renew(self, rejected: str) -> str:
        self.number += 1
        return await self.token()

    async def aclose(self) -> None:
        pass


def message_reply(text: str = "Hello!", **changes: Any) -> FakeReply:
    """A Messages reply that is not streamed."""
    message = {
        "id": "msg_vrtx_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6",
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 3},
    }  # fmt: skip
    return FakeReply(200, JSON_HEADERS, [json.dumps(message | changes).encode()])


def event(kind: str, **fields: Any) -> bytes:
    """One framed Anthropic event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def text_events(*texts: str) -> list[bytes]:
    """The events of a reply of one text block."""
    usage = {"input_tokens": 7, "output_tokens": 1}
    return [
        event("message_start", message={"id": "msg_vrtx_1", "type": "message", "content": [], "usage": usage}),
        event("ping"),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in texts),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3}),
        event("message_stop"),
    ]


def stream_reply(*pieces: bytes | GatewayError) -> FakeReply:
    return FakeReply(200, SSE_HEADERS, pieces)


def error_reply(status: int, body: Any) -> FakeReply:
    return FakeReply(status, JSON_HEADERS, [json.dumps(body).encode()])


def quota_exceeded(retry_after: str | None = None) -> FakeReply:
    """Google's 429."""
    reply = error_reply(429, [{"error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED"}}])
    if retry_after is not None:
        reply.headers = [*reply.headers, (b"retry-after", retry_after.encode())]
    return reply
