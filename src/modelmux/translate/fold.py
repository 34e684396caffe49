"""Folding a stream back into the whole it came from, in both dialects.

The upstream's fold serves unary requests that are streamed from Vertex AI; the client's fold is what an SDK does.
Together they state the fold law: folding the translated stream gives what translating the folded message gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from modelmux.errors import UpstreamBroken
from modelmux.translate.chat_response import visible_text
from modelmux.translate.errors import refused_in_stream
from modelmux.translate.usage import merge
from modelmux.wire import anthropic, openai_chat


class MessageFold:
    """Anthropic events in, one message out."""

    def __init__(self) -> None:
        self._message = anthropic.Message(content=[])
        self._blocks: dict[int, anthropic.Block] = {}
        self._inputs: dict[int, list[str]] = {}
        self._texts: dict[int, list[str]] = {}
        self._thoughts: dict[int, list[str]] = {}
        self.done = False

    def feed(self, event: anthropic.StreamEvent) -> None:
        """Add one event.

        :raises UpstreamRefused: the event reports an error.
        """
        if event.type == "message_start" and event.message is not None:
            usage = merge(self._message.usage, event.message.usage)
            self._message = event.message
            self._message.content = []
            self._message.usage = usage
        elif event.type == "content_block_start" and event.content_block is not None:
            self._start(event.index, event.content_block)
        elif event.type == "content_block_delta" and event.delta is not None:
            self._delta(event.index, event.delta)
        elif event.type == "message_delta":
            self._end(event)
        elif event.type == "message_stop":
            self.done = True
        elif event.type == "error":
            raise refused_in_stream(event)

    @property
    def usage(self) -> anthropic.Usage | None:
        """Token counts so far."""
        return self._message.usage

    def result(self) -> anthropic.Message:
        """The whole message.

        :raises UpstreamBroken: no ``message_stop`` came.
        """
        if not self.done:
            raise UpstreamBroken("The upstream ended the stream before the answer was complete.", reply_started=True)
        for index, block in self._blocks.items():
            if block.type == "text":
                block.text = "".join(self._texts[index])
            elif block.type == "thinking":
                block.thinking = "".join(self._thoughts[index])
            given = "".join(self._inputs[index])
            if given:
                block.input = Raw(given.encode())
        self._message.content = list(self._blocks.values())
        return self._message

    def _start(self, index: int, block: anthropic.Block) -> None:
        self._blocks[index] = block
        self._texts[index] = [block.text or ""]
        self._thoughts[index] = [block.thinking or ""]
        self._inputs[index] = []

    def _delta(self, index: int, delta: anthropic.Delta) -> None:
        if index not in self._blocks:  # a delta of a block that was never begun
            if delta.type != "text_delta":
                return
            self._start(index, anthropic.Block("text"))
        block = self._blocks[index]
        if delta.text:
            self._texts[index].append(delta.text)
        if delta.partial_json:
            self._inputs[index].append(delta.partial_json)
        if delta.thinking:
            self._thoughts[index].append(delta.thinking)
        if delta.signature:
            block.signature = (block.signature or "") + delta.signature

    def _end(self, event: anthropic.StreamEvent) -> None:
        self._message.usage = merge(self._message.usage, event.usage)
        if event.delta is not None:
            self._message.stop_reason = event.delta.stop_reason or self._message.stop_reason
            self._message.stop_sequence = event.delta.stop_sequence or self._message.stop_sequence
            self._message.stop_details = event.delta.stop_details or self._message.stop_details


def unfold(message: anthropic.Message) -> list[anthropic.StreamEvent]:
    """A whole message as the shortest stream that folds back to it.

    Serves a client that asked for a stream when the upstream answered whole.
    """
    event = anthropic.StreamEvent
    opening = msgspec.structs.replace(message, content=[], stop_reason=None, stop_sequence=None, stop_details=None)
    events = [event("message_start", message=opening)]
    for index, block in enumerate(message.content or ()):
        events.append(event("content_block_start", index, content_block=block))
        events.append(event("content_block_stop", index))
    delta = anthropic.Delta(
        stop_reason=message.stop_reason, stop_sequence=message.stop_sequence, stop_details=message.stop_details
    )
    return [*events, event("message_delta", delta=delta, usage=message.usage), event("message_stop")]


def fold_chunks(chunks: Iterable[openai_chat.DecodedChunk], usage: openai_chat.Usage) -> openai_chat.ChatCompletion:
    """Chat completion chunks -> the completion a client would have got whole.

    :param usage: used where the stream carries none (the client did not ask).
    """
    texts: list[str] = []
    thoughts: list[str] = []
    blocks: list[dict[str, Any]] = []
    calls: dict[int, openai_chat.ResponseToolCall] = {}
    refusal: str | None = None
    reason: openai_chat.FinishReason = "stop"
    first: openai_chat.DecodedChunk | None = None
    for chunk in chunks:
        first = first or chunk
        usage = chunk.usage or usage
        for choice in chunk.choices:
            delta = choice.delta
            texts.append(delta.content or "")
            thoughts.append(delta.reasoning_content or "")
            blocks.extend(delta.thinking_blocks or [])
            refusal = delta.refusal or refusal
            reason = choice.finish_reason or reason
            for part in delta.tool_calls or ():
                _add_call(calls, part)
    listed = list(calls.values())
    message = openai_chat.ResponseMessage(
        content=visible_text("".join(texts), listed, refusal),
        refusal=refusal,
        tool_calls=listed or UNSET,
        reasoning_content="".join(thoughts) or UNSET,
        thinking_blocks=blocks or UNSET,
    )
    return openai_chat.ChatCompletion(
        id=first.id if first else "",
        created=first.created if first else 0,
        model=first.model if first else "",
        choices=[openai_chat.Choice(message=message, finish_reason=reason)],
        usage=usage,
    )


def _add_call(calls: dict[int, openai_chat.ResponseToolCall], part: openai_chat.ToolCallDelta) -> None:
    call = calls.setdefault(
        part.index, openai_chat.ResponseToolCall(id="", function=openai_chat.ResponseFunction("", ""))
    )
    call.id = part.id or call.id
    if part.function is not None:
        call.function.name = part.function.name or call.function.name
        call.function.arguments += part.function.arguments or ""
