"""A stream's way from the upstream's bytes to the client's, without a gateway around it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from modelmux.catalog import builtin
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.text_buffer import TextBuffer
from modelmux.dialects.base import ReplyEncoder
from modelmux.dialects.openai_chat.stream import ChatEncoder
from modelmux.errors import GatewayError
from modelmux.gateway.committed_stream import open_stream
from modelmux.gateway.event_source import BufferedEventSource, EventSource, RawEventSource
from modelmux.providers.vertex_claude.reader import ClaudeReplyReader
from modelmux.telemetry.records import AttemptRecord
from support.fakes import SSE_HEADERS, FakeReply

PLAN = ReplyPlan("m", include_usage=True)


class CompleteReply(FakeReply):
    """A reply that has arrived: reading its rest waits for nothing."""

    @property
    def is_complete(self) -> bool:
        return True


class FakeLease:
    """A lease that remembers what was recorded."""

    def __init__(self) -> None:
        self.failures: list[GatewayError] = []
        self.released = 0

    def record_success(self) -> None:
        pass

    def record_failure(self, error: GatewayError) -> None:
        self.failures.append(error)

    def release(self) -> None:
        self.released += 1


def record() -> AttemptRecord:
    return AttemptRecord(1, False, "d", builtin().cards[0], 0.0)


def chat_encoder(plan: ReplyPlan = PLAN) -> ChatEncoder:
    return ChatEncoder(plan, id="chatcmpl-1", created=1)


async def relayed(
    reply: Any,
    encoder: ReplyEncoder | None = None,
    buffer: TextBuffer | None = None,
    clock: Callable[[], float] = lambda: 0.0,
) -> list[bytes]:
    """What a client gets of a reply, write by write, the regular end or the error included."""
    encoder = encoder or chat_encoder()
    reader = ClaudeReplyReader()
    source: EventSource
    if buffer is not None:
        source = BufferedEventSource(reply, reader, buffer, clock)
    else:
        source = RawEventSource(reply, reader) if encoder.raw else EventSource(reply, reader)
    try:
        stream = await open_stream(encoder, source, reply, FakeLease(), record())  # type: ignore[arg-type]
    except GatewayError as error:
        await source.aclose()
        return [encoder.fail(error)]
    writes: list[bytes] = []
    try:
        while True:
            data = await stream.read()
            if stream.is_over:
                return [*writes, data + encoder.finish()]
            if data:
                writes.append(data)
    except GatewayError as error:
        return [*writes, stream.fail(error)]
    finally:
        await stream.aclose()


def client_bytes(pieces: Sequence[bytes], encoder: ReplyEncoder | None = None) -> bytes:
    """What a client gets when the upstream's bytes arrive in these pieces."""
    return b"".join(drive(relayed(CompleteReply(200, SSE_HEADERS, list(pieces)), encoder)))


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")
