"""Messages stream -> chat completion chunks: a state machine fed one event at a time.

Order of what comes out: role; text, reasoning and tool call deltas as they arrive; signed thinking blocks; the finish
reason in a chunk of its own; usage if asked for. ``finish`` says whether the stream was whole: only ``message_stop``
makes it so, and everything else is an error the caller must show.
"""

from __future__ import annotations

import msgspec

from modelmux.errors import UpstreamBroken
from modelmux.translate.chat_response import arguments_of, thinking_block
from modelmux.translate.context import ReplyShape
from modelmux.translate.errors import refused_in_stream
from modelmux.translate.finish import finish_reason, refusal_text
from modelmux.translate.usage import merge, translate_usage
from modelmux.wire import anthropic
from modelmux.wire.openai_chat import Chunk, ChunkDelta, FunctionDelta, ToolCallDelta

_ROLE = Chunk(ChunkDelta(role="assistant", content=""))


class _ToolCall:
    """A tool_use block under way. ``index`` counts client tool calls only."""

    __slots__ = ("block", "index", "sent")

    def __init__(self, index: int, block: anthropic.Block) -> None:
        self.index = index
        self.block = block  # its input is used if no delta brings any
        self.sent = False


class _Opaque:
    """A block under way that shows the client nothing: server tools, their results, and what is news to us."""

    __slots__ = ()


_OPAQUE = _Opaque()


class ChatStream:
    """One stream's translation.

    ``content_started`` turns true with the first chunk that shows the client anything of the answer: from there on
    the attempt is committed.
    """

    __slots__ = (
        "_calls", "_open", "_opened", "_shape", "_stop_details", "_stop_reason", "_thoughts", "content_started",
        "done", "unknown", "usage",
    )  # fmt: skip

    def __init__(self, shape: ReplyShape) -> None:
        self._shape = shape
        self._opened = False
        #: The block under way at each index: a tool call, a thinking block or an opaque one; none for text.
        self._open: dict[int, _ToolCall | anthropic.Block | _Opaque] = {}
        self._calls: list[_ToolCall] = []
        self._thoughts: list[anthropic.Block] = []
        self._stop_reason: str | None = None
        self._stop_details: anthropic.StopDetails | None = None
        self.usage: anthropic.Usage | None = None
        self.content_started = False
        self.done = False
        #: Types of events, blocks and deltas nobody told us about.
        self.unknown: set[str] = set()

    def fresh(self) -> ChatStream:
        """A new translation of the same shape: for another attempt."""
        return ChatStream(self._shape)

    def feed(self, event: anthropic.StreamEvent) -> list[Chunk]:
        """Translate one event.

        :raises UpstreamRefused: the event reports an error.
        :raises UpstreamBroken: the event cannot stand where it stands.
        """
        kind = event.type
        if self.done:
            return []
        if kind == "content_block_delta":
            return self._delta(event)
        if kind == "content_block_start":
            return self._block_start(event)
        if kind == "content_block_stop":
            return self._block_stop(event.index)
        if kind == "message_delta":
            return self._message_delta(event)
        if kind == "message_start":
            return self._message_start(event)
        if kind == "message_stop":
            return self._message_stop()
        if kind == "error":
            raise refused_in_stream(event)
        if kind != "ping":
            self.unknown.add(f"event:{kind}")
        return []

    def finish(self) -> None:
        """Call at the end of the upstream's bytes.

        :raises UpstreamBroken: the stream stopped before its end.
        """
        if not self.done:
            raise UpstreamBroken("The upstream ended the stream before the answer was complete.", reply_started=True)

    def _message_start(self, event: anthropic.StreamEvent) -> list[Chunk]:
        message = event.message
        if message is not None:
            self.usage = merge(self.usage, message.usage)
            self._stop_reason = message.stop_reason or self._stop_reason
            self._stop_details = message.stop_details or self._stop_details
        return self._role()

    def _role(self) -> list[Chunk]:
        if self._opened:
            return []
        self._opened = True
        return [_ROLE]

    def _content(self, delta: ChunkDelta) -> list[Chunk]:
        self.content_started = True
        chunk = Chunk(delta)
        return [chunk] if self._opened else [*self._role(), chunk]

    def _delta(self, event: anthropic.StreamEvent) -> list[Chunk]:
        delta = event.delta
        if delta is None:
            return []
        kind = delta.type
        if kind == "text_delta":
            return self._text(event.index, delta.text)
        if kind == "input_json_delta":
            return self._arguments(event.index, delta.partial_json)
        if kind == "thinking_delta":
            return self._thought(event.index, delta.thinking)
        if kind == "signature_delta":
            block = self._open.get(event.index)
            if isinstance(block, anthropic.Block):
                block.signature = (block.signature or "") + (delta.signature or "")
        elif kind != "citations_delta":
            self.unknown.add(f"delta:{kind}")
        return []

    def _text(self, index: int, text: str | None) -> list[Chunk]:
        return self._content(ChunkDelta(content=text)) if text and index not in self._open else []

    def _arguments(self, index: int, text: str | None) -> list[Chunk]:
        call = self._open.get(index)
        if not text or not isinstance(call, _ToolCall):  # the empty first piece, or a server tool's input
            return []
        return self._send_arguments(call, text)

    def _send_arguments(self, call: _ToolCall, text: str) -> list[Chunk]:
        call.sent = True
        return self._content(ChunkDelta(tool_calls=[ToolCallDelta(call.index, function=FunctionDelta(arguments=text))]))

    def _thought(self, index: int, text: str | None) -> list[Chunk]:
        block = self._open.get(index)
        if not text or not isinstance(block, anthropic.Block):
            return []
        block.thinking = (block.thinking or "") + text
        return self._content(ChunkDelta(reasoning_content=text))

    def _block_start(self, event: anthropic.StreamEvent) -> list[Chunk]:
        block, index = event.content_block, event.index
        if block is None:
            return []
        chunks = self._block_stop(index)
        if block.type == "text":
            return chunks + self._text(index, block.text)
        if block.type == "tool_use":
            return chunks + self._tool_start(index, block)
        if block.type == "thinking":
            thought = self._open[index] = msgspec.structs.replace(block, thinking=None)
            self._thoughts.append(thought)
            return chunks + self._thought(index, block.thinking)
        self._open[index] = _OPAQUE
        if block.type == "redacted_thinking":
            self._thoughts.append(block)
        else:
            self.unknown.add(f"block:{block.type}")
        return chunks

    def _tool_start(self, index: int, block: anthropic.Block) -> list[Chunk]:
        call = self._open[index] = _ToolCall(len(self._calls), block)
        self._calls.append(call)
        name = block.name or ""
        function = FunctionDelta(self._shape.tool_names.get(name, name), "")
        return self._content(ChunkDelta(tool_calls=[ToolCallDelta(call.index, block.id, "function", function)]))

    def _block_stop(self, index: int) -> list[Chunk]:
        block = self._open.pop(index, None)
        return self._complete(block) if isinstance(block, _ToolCall) else []

    def _complete(self, call: _ToolCall) -> list[Chunk]:
        """The arguments of a call for which no delta brought any."""
        return [] if call.sent else self._send_arguments(call, arguments_of(call.block))

    def _message_delta(self, event: anthropic.StreamEvent) -> list[Chunk]:
        self.usage = merge(self.usage, event.usage)
        if event.delta is not None:
            self._stop_reason = event.delta.stop_reason or self._stop_reason
            self._stop_details = event.delta.stop_details or self._stop_details
        return []

    def _message_stop(self) -> list[Chunk]:
        self.done = True
        self.content_started = True
        chunks = self._role()
        for call in self._calls:
            chunks += self._complete(call)
        thoughts = [t for t in map(thinking_block, self._thoughts) if t]
        if thoughts:
            chunks.append(Chunk(ChunkDelta(thinking_blocks=thoughts)))
        refusal = refusal_text(self._stop_reason, self._stop_details)
        if refusal is not None:
            chunks.append(Chunk(ChunkDelta(refusal=refusal)))
        chunks.append(Chunk(finish_reason=finish_reason(self._stop_reason, called_tools=bool(self._calls))))
        if self._shape.include_usage:
            chunks.append(Chunk(usage=translate_usage(self.usage)))
        return chunks
