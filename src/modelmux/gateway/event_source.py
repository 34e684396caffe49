"""The events of a streamed reply as they arrive: decodes its bytes with the provider's reader, one read at a time.

``BufferedEventSource`` buffers text (mode ``buffered``). The upstream may pause in the middle of a sentence, so the
wait for the next bytes has a timeout. Cancelling a read would close the upstream's connection, so the read continues as
a task owned here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from modelmux.claude.text_buffer import TextBuffer
from modelmux.errors import GatewayError, UpstreamBroken
from modelmux.providers.base import ReplyReader
from modelmux.upstream.base import Reply
from modelmux.wire import sse
from modelmux.wire.anthropic import StreamEvent
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun

#: Seconds that the end of a reply may take after its last event.
DRAIN_SECONDS: Final = 0.25
#: Longest stream that is folded into one message: several times the longest unary reply, because each delta has a
#: frame.
MAX_FOLDED_BYTES: Final = 128 * 1024 * 1024

Events = Sequence[StreamEvent | TextDeltaRun]


class EventSource:
    """The events of one reply, in batches of one read each.

    :param limit: bytes after which the reply is abandoned; None for no limit.
    :param is_metered: ``characters`` is counted.
    """

    __slots__ = ("_bytes", "_chunks", "_ended", "_is_metered", "_limit", "_reader", "_reply", "characters", "chunk")

    def __init__(
        self, reply: Reply, reader: ReplyReader, limit: int | None = None, *, is_metered: bool = False
    ) -> None:
        self._reply = reply
        self._chunks = aiter(reply)
        self._reader = reader
        self._limit = limit
        self._bytes = 0  # as they came from the network
        self._ended = False
        self._is_metered = is_metered
        #: Of what the model wrote, as far as it came: text, thinking and the input of tools.
        self.characters = 0
        #: The bytes of the last read's events; None where they are not passed on as they came.
        self.chunk: bytes | None = None

    @property
    def holds_text(self) -> bool:
        """Whether text is buffered."""
        return False

    async def read(self) -> Events | None:
        """The next events, maybe none; None at the end of the reply.

        :raises UpstreamError: the reply broke off, reports an error, or cannot be read.
        """
        if self._reader.failure is not None:  # known already: the upstream may not send anything more
            raise self._reader.failure
        if self._ended:
            return None
        chunk = await anext(self._chunks, None)
        if chunk is None:
            self._ended = True
            events = self._close()
            if self._is_metered:
                self._count(events)
            return events or None
        self._bytes += len(chunk)
        if self._limit is not None and self._bytes > self._limit:
            raise UpstreamBroken("The upstream's stream is longer than the gateway accepts.", reply_started=True)
        events = self._feed(chunk)
        if self._is_metered:
            self._count(events)
        return events

    def _count(self, events: Events) -> None:
        count = 0
        for event in events:
            if isinstance(event, TextDeltaRun):
                count += event.characters
            elif (delta := event.delta) is not None:
                count += len(delta.text or delta.partial_json or delta.thinking or "")
        self.characters += count

    def _feed(self, chunk: bytes) -> Events:
        return self._reader.feed(chunk)

    def _close(self) -> Events:
        return self._reader.close()

    def flush(self) -> Events:
        """The buffered events."""
        return ()

    async def drain(self) -> None:
        """Read the rest of a complete reply, so that its connection can be used again. Waits only briefly for its
        end."""
        if self._ended or self._reply.is_complete:
            return
        with contextlib.suppress(TimeoutError, GatewayError):
            async with asyncio.timeout(DRAIN_SECONDS):
                async for _ in self._chunks:
                    pass

    async def aclose(self) -> None:
        """Stop reading. The reply itself is closed by its owner."""


class RawEventSource(EventSource):
    """Events together with their bytes, for an encoder that passes these on.

    Only complete events pass, and nothing after ``message_stop``: an event that turns out to be an error, or that never
    ends, is replaced by the gateway's own error, and none of its bytes may have been sent. Events without payload are
    left out, because not every client skips them.
    """

    __slots__ = ("_splitter",)

    def __init__(
        self, reply: Reply, reader: ReplyReader, limit: int | None = None, *, is_metered: bool = False
    ) -> None:
        super().__init__(reply, reader, limit, is_metered=is_metered)
        self._splitter = sse.EventSplitter()

    def _feed(self, chunk: bytes) -> Events:
        return self._read_complete(self._splitter.feed(chunk))

    def _close(self) -> Events:
        return self._read_complete(self._splitter.flush())

    def _read_complete(self, data: bytes) -> Events:
        empty_events = self._reader.empty_events
        events = self._reader.feed(data) if data else []
        if self._reader.empty_events > empty_events:
            data = sse.without_empty_events(data)
        self.chunk = self._bytes_of(events, data)
        return events

    def _bytes_of(self, events: Events, data: bytes) -> bytes:
        """The beginning of ``data`` that holds these events, without what follows ``message_stop``."""
        stop = next((n for n, event in enumerate(events) if _is_stop(event)), None)
        if self._reader.failure is None:
            is_last = stop is not None and stop == len(events) - 1 and sse.ends_with(data, b"message_stop")
            if stop is None or is_last:
                return data
        counted = events if stop is None else events[: stop + 1]
        count = sum(len(event.texts) if isinstance(event, TextDeltaRun) else 1 for event in counted)
        spans = sse.data_spans(data)
        return data[: spans[count][0]] if stop is None else data[: spans[count - 1][1]]


def _is_stop(event: StreamEvent | TextDeltaRun) -> bool:
    return not isinstance(event, TextDeltaRun) and event.type == "message_stop"


class MessageEventSource(EventSource):
    """The events of a reply that came in one piece.

    :param chunk: the same as a stream, for an encoder that passes it on.
    """

    __slots__ = ("_events",)

    def __init__(self, reply: Reply, events: Events, chunk: bytes | None = None) -> None:
        self._reply = reply
        self._events: Events | None = events
        self.characters = 0  # all that was used is reported
        self.chunk = chunk

    async def read(self) -> Events | None:
        events, self._events = self._events, None
        return events

    async def drain(self) -> None:
        """The reply was read to its end."""


class BufferedEventSource(EventSource):
    """Events with their text held back by a ``TextBuffer``.

    :param clock: monotonic seconds.
    """

    __slots__ = ("_buffer", "_clock", "_failure", "_reading")

    def __init__(
        self,
        reply: Reply,
        reader: ReplyReader,
        buffer: TextBuffer,
        clock: Callable[[], float],
        *,
        is_metered: bool = False,
    ) -> None:
        super().__init__(reply, reader, is_metered=is_metered)
        self._buffer = buffer
        self._clock = clock
        self._reading: asyncio.Task[Events | None] | None = None
        self._failure: GatewayError | None = None

    @property
    def holds_text(self) -> bool:
        return self._buffer.due is not None

    async def read(self) -> Events | None:
        if self._failure is not None:
            raise self._failure
        try:
            if self._reading is None and self._buffer.due is None:
                events = await super().read()
            elif await self._arrived_in_time():
                events = self._take_result()
            else:
                return self._buffer.flush()
        except GatewayError as error:  # earlier events are sent first
            held = self._buffer.flush()
            if not held:
                raise
            self._failure = error
            return held
        if events is None:
            return self._buffer.flush() or None
        now = self._clock()
        single = (event for item in events for event in (item.events() if isinstance(item, TextDeltaRun) else (item,)))
        return [released for event in single for released in self._buffer.feed(event, now)]

    def flush(self) -> Events:
        return self._buffer.flush()

    async def aclose(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()  # retrieved, or asyncio would report it

    async def _arrived_in_time(self) -> bool:
        """Wait for the next read until the held text is due; if none is held, until it comes."""
        if self._reading is None:
            self._reading = asyncio.create_task(super().read())  # owned here; ended and awaited in aclose
        due = self._buffer.due
        await asyncio.wait([self._reading], timeout=None if due is None else max(0.0, due - self._clock()))
        return self._reading.done()

    def _take_result(self) -> Events | None:
        assert self._reading is not None
        reading, self._reading = self._reading, None
        return reading.result()
