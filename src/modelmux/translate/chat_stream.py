"""Messages stream -> chat completion chunks: a state machine fed one event at a time.

Order of what comes out: role; text, reasoning and tool call deltas as they arrive; signed thinking blocks; the finish
reason in a chunk of its own; usage if asked for. ``finish`` says whether the stream was whole: only ``message_stop``
makes it so, and everything else is an error the caller must show.
"""

from __future__ import annotations

from msgspec import Raw

from modelmux.errors import UpstreamBroken
from modelmux.translate.chat_response import thinking_block
from modelmux.translate.context import ReplyShape
from modelmux.translate.errors import refused_in_stream
from modelmux.translate.finish import finish_reason, refusal_text
from modelmux.translate.usage import merge, translate_usage
from modelmux.wire import anthropic
from modelmux.wire.openai_chat import Chunk, ChunkDelta, FunctionDelta, ToolCallDelta

_ROLE = Chunk(ChunkDelta(role="assistant", content=""))


class _ToolCall:
    """A tool_use block under way. ``index`` counts client tool calls only."""

    __slots__ = ("index", "initial", "sent")

    def __init__(self, index: int, initial: Raw | None) -> None:
        self.index = index
        self.initial = initial  # arguments given with the block's start, used if no delta brings any
        self.sent = False


class ChatStream:
    """One stream's translation.

    ``content_started`` turns true with the first chunk that shows the client anything of the answer: from there on
    the attempt is committed.
    """

    __slots__ = (
        "_calls", "_opened", "_shape", "_stop_details", "_stop_reason", "_thinking", "_thoughts", "content_started",
        "done", "unknown", "usage",
    )  # fmt: skip

    def __init__(self, shape: ReplyShape) -> None:
        self._shape = shape
        self._opened = False
        self._calls: dict[int, _ToolCall] = {}
        self._thinking: dict[int, anthropic.Block] = {}
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
        if event.message is not None:
            self.usage = merge(self.usage, event.message.usage)
        return self._open()

    def _open(self) -> list[Chunk]:
        if self._opened:
            return []
        self._opened = True
        return [_ROLE]

    def _content(self, delta: ChunkDelta) -> list[Chunk]:
        self.content_started = True
        chunk = Chunk(delta)
        return [chunk] if self._opened else [*self._open(), chunk]

    def _delta(self, event: anthropic.StreamEvent) -> list[Chunk]:
        delta = event.delta
        if delta is None:
            return []
        kind = delta.type
        if kind == "text_delta":
            return self._content(ChunkDelta(content=delta.text)) if delta.text else []
        if kind == "input_json_delta":
            return self._arguments(event.index, delta.partial_json)
        if kind == "thinking_delta":
            return self._thought(event.index, delta.thinking)
        if kind == "signature_delta":
            block = self._thinking.get(event.index)
            if block is not None:
                block.signature = (block.signature or "") + (delta.signature or "")
        elif kind != "citations_delta":
            self.unknown.add(f"delta:{kind}")
        return []

    def _arguments(self, index: int, text: str | None) -> list[Chunk]:
        call = self._calls.get(index)
        if call is None or not text:  # a server tool's input, or the empty first piece
            return []
        call.sent = True
        return self._content(ChunkDelta(tool_calls=[ToolCallDelta(call.index, function=FunctionDelta(arguments=text))]))

    def _thought(self, index: int, text: str | None) -> list[Chunk]:
        block = self._thinking.get(index)
        if block is None or not text:
            return []
        block.thinking = (block.thinking or "") + text
        return self._content(ChunkDelta(reasoning_content=text))

    def _block_start(self, event: anthropic.StreamEvent) -> list[Chunk]:
        block = event.content_block
        if block is None:
            return []
        if block.type == "text":
            return self._content(ChunkDelta(content=block.text)) if block.text else []
        if block.type == "tool_use":
            return self._tool_start(event.index, block)
        if block.type in ("thinking", "redacted_thinking"):
            text, block.thinking = block.thinking, None
            self._thinking[event.index] = block
            self._thoughts.append(block)
            return self._thought(event.index, text)
        self.unknown.add(f"block:{block.type}")
        return []

    def _tool_start(self, index: int, block: anthropic.Block) -> list[Chunk]:
        initial = block.input if isinstance(block.input, Raw) and bytes(block.input).strip() != b"{}" else None
        call = self._calls[index] = _ToolCall(len(self._calls), initial)
        name = block.name or ""
        function = FunctionDelta(self._shape.tool_names.get(name, name), "")
        return self._content(ChunkDelta(tool_calls=[ToolCallDelta(call.index, block.id, "function", function)]))

    def _block_stop(self, index: int) -> list[Chunk]:
        call = self._calls.get(index)
        if call is None or call.sent:
            return []
        return self._arguments(index, bytes(call.initial).decode() if call.initial is not None else "{}")

    def _message_delta(self, event: anthropic.StreamEvent) -> list[Chunk]:
        self.usage = merge(self.usage, event.usage)
        if event.delta is not None:
            self._stop_reason = event.delta.stop_reason or self._stop_reason
            self._stop_details = event.delta.stop_details or self._stop_details
        return []

    def _message_stop(self) -> list[Chunk]:
        if self.done:
            return []
        self.done = True
        self.content_started = True
        chunks = self._open()
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
