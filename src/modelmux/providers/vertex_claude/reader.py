"""The streamed reply of a Claude model: server-sent events of the Messages API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from modelmux.errors import GatewayError, UpstreamBroken
from modelmux.providers.vertex_claude.errors import translate_inline_error, translate_stream_error
from modelmux.wire import anthropic, sse
from modelmux.wire.anthropic import StreamEvent
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun, find_text_run

Events = list[StreamEvent | TextDeltaRun]


class ClaudeReplyReader:
    """Bytes -> events. Consecutive text deltas that arrive together are returned as one run.

    :param project: the project id, which is removed from errors.
    """

    __slots__ = ("_any_read", "_decoder", "_empty", "_project", "failure")

    def __init__(self, project: str = "") -> None:
        self._decoder = sse.SSEDecoder()
        self._project = project
        self._any_read = False
        self.failure: GatewayError | None = None
        self._empty = 0

    @property
    def empty_events(self) -> int:
        """See ``providers.base.ReplyReader``."""
        return self._empty + self._decoder.dropped

    def feed(self, data: bytes) -> Events:
        """See ``providers.base.ReplyReader``."""
        self._raise_failure()
        run = find_text_run(data) if self._decoder.is_idle and len(data) <= sse.MAX_EVENT_BYTES else None
        if run is None or not (
            run[0] or self._any_read
        ):  # the start of a stream is not a run: it may have a byte order mark
            self._any_read = True
            return self._decode(self._decoder.feed_data(data))
        self._any_read = True
        before, texts, after = run
        events = self._decode(self._decoder.feed_data(before))
        if self.failure is None:
            events.append(texts)
            events += self._decode(self._decoder.feed_data(after))
        return events

    def close(self) -> Events:
        """See ``providers.base.ReplyReader``."""
        self._raise_failure()
        return self._decode(self._decoder.flush_data())

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _decode(self, payloads: Iterable[bytes]) -> Events:
        """Keep the events before a failure for this call and let the next one raise it, so that the split of the bytes
        does not matter."""
        events: Events = []
        for index, payload in enumerate(payloads):
            try:
                event = anthropic.decode_event(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                if sse.is_empty(sse.Event(self._decoder.name_of(index), payload)):
                    self._empty += 1
                    continue
                self.failure = translate_inline_error(payload, project=self._project) or UpstreamBroken(
                    "The upstream sent a stream event that cannot be read.", reply_started=True, detail=str(error)[:200]
                )
                break
            if event.type == "error":
                self.failure = translate_stream_error(event, project=self._project, data=payload)
                break
            events.append(event)
        return events


def decode_reply(body: bytes, project: str = "") -> anthropic.Message:
    """A reply that came in one piece.

    :param project: the project id, which is removed from errors.
    :raises UpstreamRefused: the body is an error, although the status says otherwise.
    :raises UpstreamBroken: the body is something else.
    """
    try:
        message = anthropic.decode_message(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_a_message(body, project, str(error)[:200]) from None
    if message.type != "message" or (message.content is None and message.stop_reason is None):
        raise _not_a_message(body, project)
    return message


def _not_a_message(body: bytes, project: str, detail: str | None = None) -> GatewayError:
    inline = translate_inline_error(body, project=project)
    if inline is not None:
        return inline
    try:
        event = anthropic.decode_event(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event = anthropic.StreamEvent()
    if event.type == "error" and event.error is not None:
        return translate_stream_error(event, project=project, data=body)
    return UpstreamBroken(_NOT_A_MESSAGE, reply_started=True, detail=detail)


_NOT_A_MESSAGE: Final = "The upstream's reply is not a Messages reply."
