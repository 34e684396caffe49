"""Native replies: the upstream's bytes, with pings while it is silent, and an error event where it breaks off."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar, Final

import msgspec

from modelmux.claude.reply_keys import ReplyKeys, input_with_client_keys
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.reply_state import ReplyState
from modelmux.dialects.anthropic_messages.errors import error_body
from modelmux.dialects.base import ReplyEncoder
from modelmux.errors import GatewayError, UpstreamBroken, without_traceback
from modelmux.wire import sse
from modelmux.wire.anthropic import Message, StreamEvent, decode_event
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun
from modelmux.wire.json_edit import DuplicateKey, Edits, Path, edit

_PING: Final = sse.encode_named(b"ping", b'{"type": "ping"}')
#: From these on the attempt is committed: what follows cannot come from another deployment any more.
_CONTENT: Final = frozenset({"content_block_start", "content_block_delta", "message_delta", "message_stop"})


class MessagesEncoder(ReplyEncoder):
    """Passes the upstream's bytes."""

    raw: ClassVar[bool] = True

    def __init__(self, plan: ReplyPlan, request_id: str, state: ReplyState | None = None) -> None:
        super().__init__(plan, state)
        self._request_id = request_id
        self._keys = ReplyKeys(plan.property_names) if plan.property_names else None

    def message(self, message: Message, body: bytes) -> bytes:
        edits: dict[Path, bytes | None] = {("model",): self._model} if self.plan.rename_model else {}
        for index, block in enumerate(message.content or () if self.plan.property_names else ()):
            value = input_with_client_keys(block, self.plan.property_names)
            if value is not None:
                edits["content", index, "input"] = value
        return _edited(body, edits)

    def feed_chunk(self, data: bytes, events: Sequence[StreamEvent | TextDeltaRun]) -> bytes:
        state = self.state
        if self.plan.rename_model and any(
            not isinstance(e, TextDeltaRun) and e.type == "message_start" for e in events
        ):
            data = self._renamed(data)
        if self._keys is not None:
            data, count, self.failure = _with_client_keys(data, self._keys)
            if self.failure is not None:
                events = _first(events, count)
        for event in events:
            if isinstance(event, TextDeltaRun) or event.type == "content_block_delta":
                self.content_started = True
                continue
            if event.type in _CONTENT:
                self.content_started = True
            state.feed(event)
        return data

    def keep_alive(self, idle: float) -> bytes:
        """A comment until ``message_start``: clients expect no event before it."""
        del idle
        return _PING if self.content_started else sse.KEEP_ALIVE

    def fail(self, error: GatewayError) -> bytes:
        return sse.encode_named(b"error", _one_line(error_body(error, self._request_id)))

    def restart(self, plan: ReplyPlan) -> MessagesEncoder:
        return MessagesEncoder(plan, self._request_id)

    @property
    def _model(self) -> bytes:
        return msgspec.json.encode(self.plan.model)

    def _renamed(self, data: bytes) -> bytes:
        """The events with the requested model in each ``message_start``."""
        pieces: list[bytes] = []
        copied = 0
        for start, end in sse.data_spans(data):
            event = sse.SSEDecoder().feed(data[start:end])[0]
            if decode_event(event.data).type == "message_start":
                payload = _one_line(_edited(event.data, {("message", "model"): self._model}))
                pieces += [data[copied:start], sse.encode_named(event.name, payload)]
                copied = end
        return b"".join([*pieces, data[copied:]])


def _with_client_keys(data: bytes, keys: ReplyKeys) -> tuple[bytes, int, GatewayError | None]:
    """The events with the client's keys in the arguments of calls; those without stay in their bytes.

    :returns: also the number of events, and why the one behind them cannot be edited, if there is such a one.
    :raises UpstreamBroken: the first one cannot be edited.
    """
    pieces: list[bytes] = []
    copied = count = 0
    for start, end in sse.data_spans(data):
        event = sse.SSEDecoder().feed(data[start:end])[0]
        decoded = decode_event(event.data)
        shown = keys.feed(decoded)
        if len(shown) != 1 or shown[0] is not decoded:
            pieces.append(data[copied:start])
            try:
                pieces += [_event_with_keys(item, decoded, event, data[start:end]) for item in shown]
            except UpstreamBroken as error:
                if count == 0:
                    raise
                return b"".join(pieces), count, without_traceback(error)
            copied = end
        count += 1
    return b"".join([*pieces, data[copied:]]), count, None


def _event_with_keys(item: StreamEvent, original: StreamEvent, event: sse.Event, data: bytes) -> bytes:
    """One event for the client.

    :param original: the event that it was made of, with its bytes.
    :raises UpstreamBroken: it cannot be edited.
    """
    if item is original:
        return data
    if item.type == original.type:
        return sse.encode_named(event.name, _one_line(_edited(event.data, _changes(item))))
    return sse.encode_named(item.type.encode(), msgspec.json.encode(item))  # what is left of a key behind its block


def _first(events: Sequence[StreamEvent | TextDeltaRun], count: int) -> list[StreamEvent | TextDeltaRun]:
    """The events among the first ``count``, where each text of a run is one. No run goes beyond them."""
    ends = accumulate(len(event.texts) if isinstance(event, TextDeltaRun) else 1 for event in events)
    return [event for event, end in zip(events, ends, strict=True) if end <= count]


def _changes(event: StreamEvent) -> dict[Path, bytes | None]:
    """The edits that make an event of its original."""
    if event.delta is not None:
        return {("delta", "partial_json"): msgspec.json.encode(event.delta.partial_json)}
    assert event.content_block is not None
    return {("content_block", "input"): msgspec.json.encode(event.content_block.input)}


def _edited(body: bytes, edits: Edits) -> bytes:
    """:raises UpstreamBroken: the reply cannot be edited, such as one that names a key twice."""
    try:
        return edit(body, edits)
    except (DuplicateKey, msgspec.DecodeError) as error:
        raise UpstreamBroken(
            "The upstream's reply cannot be read.", reply_started=True, detail=str(error)[:200]
        ) from None


def _one_line(data: bytes) -> bytes:
    """JSON that may be in several lines, in one."""
    return data if len(data.splitlines()) == 1 else msgspec.json.format(data, indent=-1)
