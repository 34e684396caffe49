"""Relaying a stream: upstream bytes -> events -> chunks -> client bytes, one read at a time.

All events that arrive in one read are translated and handed on together, so no byte waits and the cost of a write is
shared. A broken upstream never looks like success: after anything but ``message_stop`` the client gets an error that
the official SDKs raise on, and no ``[DONE]``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Final

import msgspec

from modelmux.claude.upstream_errors import hide_project
from modelmux.dialects.openai_chat.stream import ChatStream
from modelmux.errors import GatewayError, UpstreamBroken
from modelmux.gateway.deployments import Stay
from modelmux.upstream.base import Reply
from modelmux.wire import anthropic, sse
from modelmux.wire.anthropic.text_delta_run import TextRun, find_run
from modelmux.wire.openai import common
from modelmux.wire.openai.chat_response import Chunk, ChunkEncoder

#: How long the end of a reply may take after its last event.
DRAIN_SECONDS: Final = 0.25
#: Longest stream that is held to be told whole: several times the longest whole reply, because each delta has a frame.
MAX_HELD_STREAM: Final = 128 * 1024 * 1024


def in_band(error: GatewayError) -> bytes:
    """An error as an event that the official SDKs raise on."""
    return sse.encode_data(common.encode(common.envelope(error)))


class EventReader:
    """The events of a streamed reply, as many at a time as one read brought."""

    __slots__ = ("_begun", "_chunks", "_decoder", "_ended", "_failure")

    def __init__(self, reply: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(reply)
        self._decoder = sse.SSEDecoder()
        self._begun = self._ended = False
        self._failure: GatewayError | None = None

    async def read(self) -> list[anthropic.StreamEvent] | None:
        """The next events, maybe none; None at the end of the reply.

        :raises UpstreamError: the reply broke off, or held what is no event.
        """
        if self._over():
            return None
        data = await anext(self._chunks, None)
        return self._decode_rest() if data is None else self._decode(self._decoder.feed_data(data))

    async def read_runs(self) -> list[anthropic.StreamEvent | TextRun] | None:
        """As ``read``; text deltas that follow one another come together, and encoded."""
        if self._over():
            return None
        data = await anext(self._chunks, None)
        if data is None:
            return [*self._decode_rest()]
        found = find_run(data) if self._decoder.between_events and len(data) <= sse.MAX_EVENT_BYTES else None
        if found is None or not (found[0] or self._begun):  # a run begins no stream: so much for byte order marks
            self._begun = True
            return [*self._decode(self._decoder.feed_data(data))]
        self._begun = True
        before, run, behind = found
        events: list[anthropic.StreamEvent | TextRun] = [*self._decode(self._decoder.feed_data(before))]
        if self._failure is None:
            events.append(run)
            events += self._decode(self._decoder.feed_data(behind))
        return events

    def _over(self) -> bool:
        if self._failure is not None:
            raise self._failure
        return self._ended

    def _decode_rest(self) -> list[anthropic.StreamEvent]:
        """What is left at the end of the reply."""
        self._ended = True
        return self._decode(event.data for event in self._decoder.flush())

    def _decode(self, framed: Iterable[bytes]) -> list[anthropic.StreamEvent]:
        events: list[anthropic.StreamEvent] = []
        try:
            for data in framed:
                events.append(anthropic.decode_event(data))  # noqa: PERF401 - those before a failure count
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # The events before it stay and count, however the bytes were cut; the next read raises the failure.
            self._failure = UpstreamBroken(
                "The upstream sent a stream event that cannot be read.", reply_started=True, detail=str(error)[:200]
            )
        return events

    async def drain(self) -> None:
        """Read what is left of a reply whose answer is complete: its end, so that the connection can be used again.

        An upstream that does not end it soon is not waited for.
        """
        if self._ended:
            return
        with contextlib.suppress(TimeoutError, GatewayError):
            async with asyncio.timeout(DRAIN_SECONDS):
                async for _ in self._chunks:
                    pass


class Bounded:
    """A reply's bytes up to a limit, for those who hold what they read."""

    __slots__ = ("_chunks", "_left")

    def __init__(self, reply: Reply, limit: int = MAX_HELD_STREAM) -> None:
        self._chunks = aiter(reply)
        self._left = limit

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """:raises UpstreamBroken: the reply is longer."""
        data = await anext(self._chunks)
        self._left -= len(data)
        if self._left < 0:
            raise UpstreamBroken("The upstream's stream is longer than the gateway holds.", reply_started=True)
        return data


class StreamRelay:
    """One client's stream. ``open`` belongs to the attempt, ``read`` to the time after it was committed."""

    def __init__(self, stream: ChatStream, encoder: ChunkEncoder) -> None:
        self.stream = stream
        self._encoder = encoder
        #: Text that a delta adds and nothing else: by far the most there is, so it has a short way. None: it has not.
        self._encode_text: Callable[[str], bytes] | None = encoder.encode_text
        self._reader: EventReader | None = None
        self._reply: Reply | None = None
        self._stay: Stay | None = None
        self._ready: list[bytes] = []
        #: Whether the client was given all it gets.
        self.ended = False
        self._hide = ""
        #: Asks the upstream to go on after a pause; set by ``run``.
        self.go_on: Callable[[anthropic.InputMessage], Awaitable[object]] | None = None
        self._pending: GatewayError | None = None  # an error event that arrived behind content
        #: The error the client was told in-band, if any.
        self.failure: GatewayError | None = None

    async def open(self, reply: Reply, stay: Stay | None = None, *, hide: str = "") -> None:
        """Read up to the first content. Nothing of it has reached the client yet, so a failure may still be retried.

        Once it returns, the relay has taken ``reply`` and ``stay`` over and will let go of them.

        :param hide: the project id, which no error inside the stream may tell the client.

        :raises GatewayError: the stream failed before it had content; the relay is as it was.
        """
        stream, reader = self.stream.next_attempt(), EventReader(reply)
        self._hide = hide
        ready: list[bytes] = []
        while not (stream.content_started or stream.done):
            events = await (reader.read() if self._encode_text is None else reader.read_runs())
            if events is None:
                stream.finish()
                break
            ready.append(self._translate(stream, events))
            if self._pending is not None and not stream.content_started:
                error, self._pending = self._pending, None
                raise error
        self.stream, self._reader, self._reply, self._stay, self._ready = stream, reader, reply, stay, ready

    def holds(self, stay: Stay) -> bool:
        """Whether it has taken over what belongs to this attempt."""
        return self._stay is stay

    def hold(self, events: list[anthropic.StreamEvent]) -> None:
        """Take a reply that came whole."""
        stream = self.stream.next_attempt()
        self._ready.append(self._translate(stream, events))
        self.stream, self._reader = stream, None

    async def read(self) -> bytes:
        """The next bytes for the client, the last ones where ``ended`` is true then; empty when the stream is over.
        Never raises an upstream's failure: it becomes the in-band error."""
        if self.ended:
            return b""
        try:
            while True:
                data = self._take() or await self._read_on()
                if self._complete:
                    self.ended = True
                    return data + sse.DONE
                if data:
                    return data
                if self._pending is not None:
                    return self.fail(self._pending)
                if self.go_on is not None and self.stream.paused:
                    turn = self.stream.resumption
                    await self.aclose()
                    await self.go_on(turn)
                else:
                    self.stream.finish()  # raises: its end never came
        except GatewayError as error:
            return self.fail(error)

    @property
    def _complete(self) -> bool:
        """Whether the answer has come to its end."""
        stream = self.stream
        return stream.done and self._pending is None and not (stream.paused and self.go_on is not None)

    def _take(self) -> bytes:
        data = b"".join(self._ready)
        self._ready.clear()
        return data

    async def _read_on(self) -> bytes:
        """What the next reads bring; empty at the end of the upstream's message."""
        while not self.stream.done and self._pending is None and self._reader is not None:
            events = await (self._reader.read() if self._encode_text is None else self._reader.read_runs())
            if events is None:
                break
            data = self._translate(self.stream, events)
            if data:
                return data
        return b""

    def fail(self, error: GatewayError) -> bytes:
        """End the stream with an error the client's SDK raises on; nothing if it has ended already."""
        if self.ended:
            return b""
        self.ended = True
        self.failure = error.with_traceback(None)  # its frames refer to this relay
        if self._stay is not None:
            self._stay.failed(error)
        return in_band(error)

    async def aclose(self) -> None:
        """Let go of the upstream. Idempotent."""
        if self._reply is None:
            return
        reply, stay, self._reply, self._stay = self._reply, self._stay, None, None
        try:
            if self.stream.done and self._reader is not None and not reply.arrived:
                await self._reader.drain()
        finally:
            if stay is not None:
                stay.leave()
            await reply.aclose()

    def _encode(self, chunk: Chunk) -> bytes:
        return self._encoder.encode(chunk)

    def _translate(self, stream: ChatStream, events: Sequence[anthropic.StreamEvent | TextRun]) -> bytes:
        """Events as bytes for the client. An error among them is kept until what came before it was sent: how the
        bytes were cut must not decide what the client gets."""
        out: list[bytes] = []
        plain_text = stream.plain_text
        encode_text = self._encode_text
        try:
            for event in events:
                if isinstance(event, TextRun):
                    out.append(self._translate_run(stream, event))
                elif encode_text is not None and (text := plain_text(event)):
                    out.append(encode_text(text))
                elif event.type == "ping":
                    if stream.content_started and not stream.done:  # client and proxies shall see that we live
                        out.append(sse.KEEP_ALIVE)
                else:
                    out += [self._encode(chunk) for chunk in stream.feed(event)]
        except GatewayError as error:
            hide_project(error, self._hide)
            self._pending = error
        return b"".join(out)

    def _translate_run(self, stream: ChatStream, run: TextRun) -> bytes:
        if stream.takes_text(run.index, run.characters):
            return self._encoder.encode_texts(run.texts)
        return self._translate(stream, run.events())
