"""One reply as a response, streamed or in one piece.

All events are made by one ``Output`` and numbered when they are made; nothing is made before there is content, because
what a failed attempt has made is thrown away. ``response.created`` and ``response.in_progress`` come with the first
content or the first keep-alive, the terminal event in ``finish`` or ``fail``.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from modelmux.claude.fold import to_events
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.text_buffer import PING_WHILE_HELD
from modelmux.dialects.base import ReplyEncoder
from modelmux.dialects.openai_responses.clients import is_codex
from modelmux.dialects.openai_responses.compaction_item import check_complete, check_sealer
from modelmux.dialects.openai_responses.output import Output, StreamState
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.reply_items import ReplyItems
from modelmux.dialects.openai_responses.response_object import TRUNCATED, ResponseObject
from modelmux.dialects.stored_responses import StoredResponse
from modelmux.errors import GatewayError, UpstreamBroken, without_traceback
from modelmux.wire import anthropic, sse
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun, decode_text

#: Seconds without an event after which ``response.in_progress`` is repeated: comments do not reset the idle timer of
#: Codex, which is 300 s.
REPEAT_AFTER: Final = 60.0


class ResponsesEncoder(ReplyEncoder):
    """
    :param id: random hexadecimal digits: of the response, and of its items.
    :param created: Unix seconds.
    :param state: shared by all encoders of one exchange.
    """

    plan: ResponsesPlan

    def __init__(self, plan: ResponsesPlan, *, id: str, created: int, stream: StreamState | None = None) -> None:
        super().__init__(plan)
        self._id = id
        self._created = created
        self._stream = StreamState() if stream is None else stream
        self._response = ResponseObject(plan, f"resp_{id}", created)
        self._items = self._new_items(streamed=True)
        #: Whether text has to be looked at by ``state``, too.
        self._needs_state = plan.max_continuations > 0
        self._message: anthropic.Message | None = None  # whose items were made
        self._failure: GatewayError | None = None  # of a reply that is complete, but of no use

    def restart(self, plan: ReplyPlan) -> ResponsesEncoder:
        """For another attempt: fresh, or continuing after a pause."""
        assert isinstance(plan, ResponsesPlan)
        encoder = ResponsesEncoder(plan, id=self._id, created=self._created, stream=self._stream)
        if self.state.paused:
            encoder.state = self.state.continued()
            encoder._items, encoder._response = self._items, self._response
            encoder._items.plan = plan
            encoder.content_started = True
        return encoder

    def message(self, message: anthropic.Message, body: bytes) -> bytes:
        del body
        items = self._translated(message)
        if self.plan.compaction == "object":
            check_complete(message.stop_reason)
            return self._response.compacted(message.usage, items.output.items)
        return self._response.ended(message.stop_reason, message.usage, items.output.items, self.ended_at)

    def feed(self, event: anthropic.StreamEvent) -> bytes:
        if self.state.done or self._stream.ended:
            return b""
        if event.type == "ping":
            return sse.KEEP_ALIVE if self.content_started or event is PING_WHILE_HELD else b""
        delta, items = event.delta, self._items
        if delta is not None and delta.type == "text_delta" and delta.text and not self._needs_state:
            open_text = items.open_text(event.index)
            if open_text is not None and event.type == "content_block_delta":
                return open_text.add_plain(delta.text)
        self.state.feed(event)
        items.feed(event)
        if event.type == "message_start":
            check_sealer(self.plan)
        elif event.type == "message_stop":
            self._message_stop()
        if items.has_held_text:  # the reply has begun nevertheless
            items.output.begin()
            self.content_started = True
        if not items.output.has_frames:
            return b""
        self.content_started = True
        return items.output.take()

    def feed_run(self, run: TextDeltaRun) -> bytes | None:
        if self._needs_state or self.state.done or self._stream.ended:
            return None
        message = self._items.open_text(run.index)
        if message is not None:
            return message.add_run(run.texts, run.characters)
        first = decode_text(run.texts[0])
        if not self._items.can_begin_text(run.index, first):
            return None
        head = self.feed(
            anthropic.StreamEvent("content_block_delta", run.index, delta=anthropic.Delta("text_delta", text=first))
        )
        rest = self.feed_run(TextDeltaRun(run.index, run.texts[1:], run.characters - len(first)))
        assert rest is not None
        return head + rest

    def keep_alive(self, idle: float) -> bytes:
        stream, output = self._stream, self._items.output
        if stream.ended:
            return b""
        if not stream.begun:
            output.begin()
            return output.take()
        stream.silence += idle
        if stream.silence < REPEAT_AFTER:
            return sse.KEEP_ALIVE
        output.emit("response.in_progress", response=Raw(self._response.in_progress(with_tools=False)))
        return output.take()

    @property
    def stores_response(self) -> bool:
        return self.plan.store and self.plan.compaction is None and not self._stream.ended

    def stored_response(self, message: anthropic.Message | None = None) -> StoredResponse | None:
        items = self._items if message is None else self._translated(message)
        plan = self.plan
        if not self.stores_response:
            return None
        reason, usage = (
            (self.state.stop_reason, self.state.usage) if message is None else (message.stop_reason, message.usage)
        )
        return StoredResponse(
            id=self._response.id,
            created_at=self._created,
            previous_id=plan.echo.previous_response_id,
            input=plan.input_items,
            output=tuple(items.output.stored),
            body=self._response.ended(reason, usage, [], self.ended_at),
        )

    def not_stored(self) -> None:
        self._response.store = False

    def finish(self) -> bytes:
        if self._stream.ended:
            return b""
        if self._failure is not None:
            return self.fail(self._failure)
        state, output = self.state, self._items.output
        body = self._response.ended(state.stop_reason, state.usage, output.items, self.ended_at)
        return self._end("response.incomplete" if state.stop_reason in TRUNCATED else "response.completed", body)

    def fail(self, error: GatewayError) -> bytes:
        """The items that are complete, and the error. Nothing that is open is closed.

        What a content policy stopped ends as ``incomplete``, as OpenAI has it: ``response.error`` has no code for it.
        Codex would ask again after that, but not after its own code for a prompt that is not valid.
        """
        if self._stream.ended:
            return b""
        self._response.store = False
        is_blocked = error.kind.name == "content_filter" and self.plan.compaction is None
        if is_blocked and not is_codex(error.request_headers):
            self._items.cut()
            blocked = self._response.blocked(self.state.usage, self._items.output.items)
            return self._end("response.incomplete", blocked)
        return self._end("response.failed", self._response.failed(error, self.state.usage, self._items.output.items))

    def _end(self, type: str, body: bytes) -> bytes:
        output = self._items.output
        output.emit(type, response=Raw(body))
        self._stream.ended = True
        return output.take() + (sse.DONE if self.plan.sends_done else b"")

    def _message_stop(self) -> None:
        state, items = self.state, self._items
        if state.paused:
            items.pause()
            return
        try:
            items.end(state.stop_reason, state.stop_details)
        except UpstreamBroken as error:
            if not self.content_started:
                raise
            self._failure = without_traceback(error)  # raised, it would take the frames of earlier events with it
        items.output.begin()  # of a response without content

    def _translated(self, message: anthropic.Message) -> ReplyItems:
        """The items of a complete reply, made once."""
        if self._message is not message:
            check_sealer(self.plan)
            self._message = message
            items = self._items = self._new_items(streamed=False)
            for event in to_events(message):
                items.feed(event)
            items.end(message.stop_reason, message.stop_details)
        return self._items

    def _new_items(self, *, streamed: bool) -> ReplyItems:
        return ReplyItems(self.plan, Output(self._response, self._id, self._stream, streamed=streamed))
