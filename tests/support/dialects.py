"""Two tiny client dialects that prove the seam: one through the hub, one that passes the upstream's own bytes.

Both decode ``{"model", "stream", "prompt"}``. Streams of both are server-sent events.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from msgspec.structs import replace

from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.reply_state import ReplyState
from modelmux.claude.request import ClaudeRequest
from modelmux.dialects.base import Decoded, ErrorResponse, Inbound, ListedModel, RateLimit, ReplyEncoder, Unresolved
from modelmux.dialects.rate_limit_headers import openai_headers
from modelmux.dialects.stored_responses import History, HistoryQuery, StoredResponse
from modelmux.errors import GatewayError, InvalidRequest
from modelmux.wire import sse
from modelmux.wire.anthropic import VERTEX_VERSION, InputMessage, Message, MessagesRequest, StreamEvent
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun
from modelmux.wire.http import Headers


def named(name: str, **fields: Any) -> bytes:
    """An event as both dialects frame it."""
    return sse.encode_named(name.encode(), json.dumps(fields).encode())


class _TinyDialect:
    """What both have in common."""

    name: ClassVar[str]

    def decode(self, inbound: Inbound, body: bytes) -> Decoded:
        del inbound
        try:
            request = json.loads(body)
            model, prompt, stream = request["model"], request["prompt"], request.get("stream", False)
        except (ValueError, KeyError) as error:
            raise InvalidRequest(f"The body is not a request: {error}.", param="prompt") from None
        messages = MessagesRequest(VERTEX_VERSION, request.get("max_tokens", 100), [InputMessage("user", prompt)])
        plan = ReplyPlan(model, max_continuations=request.get("continuations", 0))
        return Decoded(model, stream, ClaudeRequest(messages), plan)

    def error(self, error: GatewayError, request_id: str) -> ErrorResponse:
        body = {"failed": error.kind.name, "message": error.message, "request": request_id}
        return ErrorResponse(error.status, json.dumps(body).encode(), [])

    def token_count(self, count: bytes) -> bytes:
        return count

    def reply_headers(self, request_id: str, upstream: Headers) -> Headers:
        del request_id, upstream
        return []

    def rate_limit_headers(self, limits: Sequence[RateLimit]) -> Headers:
        return openai_headers(limits)

    def models(self, models: Sequence[ListedModel], query: Mapping[str, str]) -> bytes:
        del query
        return json.dumps([model.name for model in models]).encode()

    def model(self, model: ListedModel) -> bytes:
        return json.dumps(model.name).encode()


class TinyHub(_TinyDialect):
    """Text only: ``begin``, ``text`` for each piece, ``end``. Nothing is sent before the first text."""

    name: ClassVar[str] = "tiny_hub"

    def encoder(self, plan: ReplyPlan, *, id: str, created: int, request_id: str) -> TinyHubEncoder:
        del created, request_id
        return TinyHubEncoder(plan, id)


class TinyHubEncoder(ReplyEncoder):
    def __init__(self, plan: ReplyPlan, id: str) -> None:
        super().__init__(plan)
        self._id = id

    def message(self, message: Message, body: bytes) -> bytes:
        del body
        text = "".join(block.text or "" for block in message.content or () if block.type == "text")
        return json.dumps({"id": self._id, "text": text, "stop": message.stop_reason}).encode()

    def feed(self, event: StreamEvent) -> bytes:
        if self.state.done:
            return b""
        self.state.feed(event)
        delta, block = event.delta, event.content_block
        text = delta.text if delta is not None else block.text if block is not None else None
        begin = b""
        if (text or event.type == "message_stop") and not (self.state.paused or self.content_started):
            self.content_started = True
            begin = named("begin", id=self._id)
        return begin + named("text", text=text) if text else begin

    def keep_alive(self, idle: float) -> bytes:
        return f": idle for {idle:g} s\n\n".encode()

    def finish(self) -> bytes:
        return named("end", stop=self.state.stop_reason)

    def fail(self, error: GatewayError) -> bytes:
        return named("failed", kind=error.kind.name)

    def restart(self, plan: ReplyPlan) -> TinyHubEncoder:
        encoder = TinyHubEncoder(plan, self._id)
        if self.state.paused:
            encoder.state, encoder.content_started = self.state.continued(), self.content_started
        return encoder


class TinyStoring(TinyHub):
    """As ``TinyHub``. Every reply is to be stored; ``"after"`` in a request names the response that it continues."""

    name: ClassVar[str] = "tiny_storing"

    def decode(self, inbound: Inbound, body: bytes) -> Decoded:
        decoded = super().decode(inbound, body)
        after = json.loads(body).get("after")
        if after is None:
            return decoded

        def complete(history: History) -> Decoded:
            if history.items is None:
                raise InvalidRequest("Not stored.", param="after")
            assert decoded.request is not None
            turns = [InputMessage("user", item.decode()) for item in history.items]
            body = replace(decoded.request.body, messages=[*turns, *decoded.request.body.messages])
            return replace(decoded, request=replace(decoded.request, body=body))

        return replace(decoded, request=None, unresolved=Unresolved(HistoryQuery(after), complete))

    def encoder(self, plan: ReplyPlan, *, id: str, created: int, request_id: str) -> TinyHubEncoder:
        del created, request_id
        return TinyStoringEncoder(plan, id)


class TinyStoringEncoder(TinyHubEncoder):
    _stored = True

    @property
    def stores_response(self) -> bool:
        return True

    def stored_response(self, message: Message | None = None) -> StoredResponse | None:
        body = b"stream" if message is None else b"message"
        assert self.ended_at is not None
        return StoredResponse(self._id, self.ended_at, None, (), (), body)

    def not_stored(self) -> None:
        self._stored = False

    def message(self, message: Message, body: bytes) -> bytes:
        return json.dumps(json.loads(super().message(message, body)) | {"stored": self._stored}).encode()

    def finish(self) -> bytes:
        return named("end", stop=self.state.stop_reason, stored=self._stored)

    def restart(self, plan: ReplyPlan) -> TinyHubEncoder:
        return TinyStoringEncoder(plan, self._id)


class TinyNative(_TinyDialect):
    """The upstream's own events, byte for byte. Keep-alives and errors are the dialect's and carry a number: one
    sequence for each stream, whatever attempts it takes."""

    name: ClassVar[str] = "tiny_native"

    def encoder(self, plan: ReplyPlan, *, id: str, created: int, request_id: str) -> TinyNativeEncoder:
        del id, created, request_id
        return TinyNativeEncoder(plan, itertools.count(1))


class TinyNativeEncoder(ReplyEncoder):
    """
    :param numbers: shared by the encoders of all attempts.
    """

    raw: ClassVar[bool] = True

    def __init__(self, plan: ReplyPlan, numbers: Iterator[int], state: ReplyState | None = None) -> None:
        super().__init__(replace(plan, max_continuations=0), state)
        self._numbers = numbers

    def message(self, message: Message, body: bytes) -> bytes:
        del body
        blocks = [block.text for block in message.content or () if block.type == "text"]
        return json.dumps({"type": "message", "content": blocks, "stop_reason": message.stop_reason}).encode()

    def feed(self, event: StreamEvent) -> bytes:
        if self.state.done:
            return b""
        self._read(event)
        fields: dict[str, Any] = {"index": event.index} if event.type.startswith("content_block") else {}
        if event.content_block is not None:
            fields["content_block"] = {"type": event.content_block.type, "text": event.content_block.text}
        if event.delta is not None:
            fields["delta"] = {
                "type": event.delta.type, "text": event.delta.text, "stop_reason": event.delta.stop_reason,
            }  # fmt: skip
        return named(event.type, type=event.type, **fields)

    def feed_chunk(self, data: bytes, events: Sequence[StreamEvent | TextDeltaRun]) -> bytes:
        for item in events:
            for event in item.events() if isinstance(item, TextDeltaRun) else (item,):
                self._read(event)
        return data

    def _read(self, event: StreamEvent) -> None:
        self.state.feed(event)
        if event.type in ("content_block_delta", "message_stop"):
            self.content_started = True

    def keep_alive(self, idle: float) -> bytes:
        return named("in_progress", number=next(self._numbers), idle=idle)

    def fail(self, error: GatewayError) -> bytes:
        return named("error", type="error", error={"type": error.kind.anthropic_type}, number=next(self._numbers))

    def restart(self, plan: ReplyPlan) -> TinyNativeEncoder:
        return TinyNativeEncoder(plan, self._numbers)


TINY_HUB: Final = TinyHub()
TINY_STORING: Final = TinyStoring()
TINY_NATIVE: Final = TinyNative()
