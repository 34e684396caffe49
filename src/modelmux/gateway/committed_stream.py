"""A streamed reply whose first content was read: there are no retries any more, and it is relayed to its end.

``open_stream`` belongs to the attempt: it reads up to the first content, and a failure there may still be retried.
``CommittedStream.read`` belongs to the response: a failure there becomes the error inside the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from modelmux.claude.reply_state import ReplyState
from modelmux.dialects.base import ReplyEncoder
from modelmux.errors import GatewayError, without_traceback
from modelmux.gateway.deployments import AttemptLease
from modelmux.gateway.event_source import Events, EventSource
from modelmux.telemetry.records import AttemptRecord
from modelmux.upstream.base import Reply
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun


class CommittedStream:
    """One attempt's stream, open until ``aclose``.

    :param first_bytes: encoded while the attempt was waiting for content.
    :param failure: an error that arrived right after the first content.
    :param explain: puts what an error says about the request in the client's terms.
    """

    def __init__(
        self,
        encoder: ReplyEncoder,
        source: EventSource,
        reply: Reply,
        lease: AttemptLease,
        record: AttemptRecord,
        first_bytes: bytes,
        failure: GatewayError | None,
        explain: Callable[[GatewayError], None],
    ) -> None:
        self.encoder = encoder
        self.record = record
        self._source = source
        self._reply = reply
        self._lease = lease
        self._pending = first_bytes
        self._failure = failure
        self._explain = explain
        self._closed = False
        #: Nothing more follows for the client.
        self.ended = False

    @property
    def state(self) -> ReplyState:
        return self.encoder.state

    @property
    def characters(self) -> int:
        """See ``EventSource``."""
        return self._source.characters

    async def read(self) -> bytes:
        """The next bytes for the client; empty where the upstream's message is over, or pauses.

        :raises GatewayError: the stream failed; everything before the failure was returned.
        """
        data, self._pending = self._pending, b""
        while not data:
            if self._failure is not None:
                raise self._failure
            if self.state.done:
                return b""
            data, self._failure = await _read_encoded(self._source, self.encoder)
        return data

    @property
    def is_over(self) -> bool:
        """Whether the reply is complete and nothing is left to send."""
        return self.state.done and self._failure is None

    def fail(self, error: GatewayError) -> bytes:
        """The end of a stream that failed: buffered text, and the error. Empty if the stream has ended."""
        if self.ended:
            return b""
        self.ended = True
        self.explain(error)
        self.record.error = error
        self._lease.record_failure(error)
        held = b"".join(
            self.encoder.feed(event) for event in self._source.flush() if not isinstance(event, TextDeltaRun)
        )
        return held + self.encoder.fail(error)

    def explain(self, error: GatewayError) -> None:
        """Put what the error that ends the stream says about the request in the client's terms; once."""
        explain, self._explain = self._explain, _nothing_to_explain
        explain(error)

    def close_record(self, now: float) -> None:
        """Complete the attempt's record with usage and times. Idempotent."""
        if self.record.ended_at is None:
            self.record.read_reply(self.state, self._source.characters)
            self.record.end(now)

    async def aclose(self) -> None:
        """Close the upstream's reply. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._explain = _nothing_to_explain  # it refers to the exchange, which refers to this stream
        try:
            await self._source.aclose()
            if self.state.done:
                await self._source.drain()
        finally:
            self._lease.release()
            await self._reply.aclose()


async def open_stream(
    encoder: ReplyEncoder,
    source: EventSource,
    reply: Reply,
    lease: AttemptLease,
    record: AttemptRecord,
    explain: Callable[[GatewayError], None] | None = None,
) -> CommittedStream:
    """Read up to the first content. Nothing of this reply was sent to the client yet, so a failure may be retried.

    On success the stream owns ``reply`` and ``lease``; on failure the caller still does.

    :raises GatewayError: the stream failed before it had content.
    """
    parts: list[bytes] = []
    failure: GatewayError | None = None
    while not (_has_content(encoder, source) or encoder.state.done):
        data, failure = await _read_encoded(source, encoder)
        if failure is not None and not _has_content(encoder, source):
            raise failure
        parts.append(data)
    return CommittedStream(
        encoder, source, reply, lease, record, b"".join(parts), failure, explain or _nothing_to_explain
    )


def _nothing_to_explain(error: GatewayError) -> None:
    del error


def _has_content(encoder: ReplyEncoder, source: EventSource) -> bool:
    return encoder.content_started or source.holds_text


async def _read_encoded(source: EventSource, encoder: ReplyEncoder) -> tuple[bytes, GatewayError | None]:
    """One read's events as bytes, and the failure that ended the stream behind them, if it did."""
    try:
        events = await source.read()
        if events is None:
            encoder.state.check_complete()
            return b"", None
    except GatewayError as error:
        return b"", without_traceback(error)
    return encode_events(events, encoder, source.chunk)


def encode_events(events: Events, encoder: ReplyEncoder, chunk: bytes | None) -> tuple[bytes, GatewayError | None]:
    """The events of one read as bytes for the client. Where one of them cannot be encoded, those of the events before
    it, and the failure.

    :param chunk: the same as they came from the network, for an encoder that passes them on.
    """
    parts: list[bytes] = []
    failure: GatewayError | None = None
    try:
        if chunk is not None:
            return encoder.feed_chunk(chunk, events), encoder.failure
        if len(events) == 1 and not isinstance(events[0], TextDeltaRun):
            return encoder.feed(events[0]), None
        parts.extend(_encoded(events, encoder))  # which keeps what came before a failure
    except GatewayError as error:
        failure = without_traceback(error)
    return b"".join(parts), failure


def _encoded(events: Events, encoder: ReplyEncoder) -> Iterator[bytes]:
    for event in events:
        if isinstance(event, TextDeltaRun):
            data = encoder.feed_run(event)
            if data is not None:
                yield data
            else:
                yield from map(encoder.feed, event.events())
        else:
            yield encoder.feed(event)
