"""Streams in larger pieces than the upstream's: text is gathered, and goes at the latest when its time is over; or the
answer is told whole.

The upstream may fall silent in the middle of a sentence, so there is a limit to the waiting for its next bytes. To
cancel a read would close the upstream's connection: the read goes on as a task, held here, and its result is taken when
it comes. What text is held, and until when, is decided in ``claude/text_buffer.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelmux.claude.text_buffer import Gatherer
from modelmux.dialects.openai_chat.single_stream import chunks_of
from modelmux.dialects.openai_chat.stream import ChatStream
from modelmux.errors import GatewayError
from modelmux.gateway.relay import EventReader, StreamRelay
from modelmux.routing.stream_mode import Mode, StreamModes
from modelmux.wire import anthropic, sse
from modelmux.wire.anthropic.text_delta_run import TextRun
from modelmux.wire.openai.chat_response import ChatCompletion, Chunk, ChunkEncoder


@dataclass(frozen=True, slots=True)
class Pacing:
    """How streams are sent: in which mode to whom, and how much text (bytes) is held back how long (seconds)."""

    modes: StreamModes
    buffer_bytes: int
    buffer_seconds: float


def make_relay(
    mode: Mode, stream: ChatStream, encoder: ChunkEncoder, pacing: Pacing, clock: Callable[[], float]
) -> StreamRelay | None:
    """What relays a stream in this mode; None where the client gets its answer whole."""
    if mode == "standard":
        return StreamRelay(stream, encoder)
    if mode == "buffered":
        return PacedRelay(stream, encoder, Gatherer(pacing.buffer_bytes, pacing.buffer_seconds), clock)
    return None


def tell_whole(completion: ChatCompletion, *, include_usage: bool) -> bytes:
    """A whole answer as the event stream of a client that asked for one."""
    encoder = ChunkEncoder(
        id=completion.id,
        created=completion.created,
        model=completion.model,
        include_usage=include_usage,
        tier=completion.service_tier,
    )
    return b"".join(map(encoder.encode, chunks_of(completion, include_usage=include_usage))) + sse.DONE


class PacedRelay(StreamRelay):
    """A relay that holds text back.

    :param clock: monotonic seconds.
    """

    def __init__(
        self, stream: ChatStream, encoder: ChunkEncoder, gatherer: Gatherer, clock: Callable[[], float]
    ) -> None:
        super().__init__(stream, encoder)
        self._gatherer = gatherer
        self._clock = clock
        self._encode_text = None
        self._reading: asyncio.Task[list[anthropic.StreamEvent] | None] | None = None

    def _encode(self, chunk: Chunk) -> bytes:
        return b"".join(map(self._encoder.encode, self._gatherer.feed(chunk, self._clock())))

    def _flush(self) -> bytes:
        return b"".join(map(self._encoder.encode, self._gatherer.flush()))

    def _translate(self, stream: ChatStream, events: Sequence[anthropic.StreamEvent | TextRun]) -> bytes:
        data = super()._translate(stream, events)
        return data + self._flush() if stream.paused else data  # nobody knows how long it takes until it goes on

    async def _read_on(self) -> bytes:
        while (reader := self._reader) is not None and not self.stream.done and self._pending is None:
            if self._reading is None and self._gatherer.due is None:
                events = await reader.read()
            elif await self._came_in_time(reader):
                events = self._take_read()
            else:
                return self._flush()
            if events is None:
                break
            data = self._translate(self.stream, events)
            if data:
                return data
        return b""

    async def _came_in_time(self, reader: EventReader) -> bool:
        """Wait for the next read until the held text has to go; without any, until it comes."""
        if self._reading is None:
            self._reading = asyncio.create_task(reader.read())  # held here; ended and awaited in aclose
        due = self._gatherer.due
        await asyncio.wait([self._reading], timeout=None if due is None else max(0.0, due - self._clock()))
        return self._reading.done()

    def _take_read(self) -> list[anthropic.StreamEvent] | None:
        assert self._reading is not None
        reading, self._reading = self._reading, None
        return reading.result()

    def fail(self, error: GatewayError) -> bytes:
        """End the stream with an error, behind all that came before it."""
        return self._flush() + super().fail(error)

    async def aclose(self) -> None:
        reading, self._reading = self._reading, None
        try:
            if reading is not None:
                reading.cancel()
                await asyncio.wait([reading])
                if not reading.cancelled():
                    reading.exception()  # nobody is left to be told
        finally:
            await super().aclose()
