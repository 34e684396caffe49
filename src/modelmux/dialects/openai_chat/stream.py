"""Messages stream -> chat completion chunks: a state machine fed one event at a time.

Order of what comes out: role; text, reasoning and tool call deltas as they arrive; signed thinking blocks; the finish
reason in a chunk of its own; usage if asked for. ``finish`` says whether the stream was whole: only ``message_stop``
makes it so, and everything else is an error the caller must show.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw

from modelmux.claude import unknown_types
from modelmux.claude.fold import MessageFold, resumption
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.upstream_errors import refused_in_stream
from modelmux.claude.usage import add, merge
from modelmux.dialects.openai_chat.annotations import annotations_of
from modelmux.dialects.openai_chat.code_fence import CodeFenceStripper
from modelmux.dialects.openai_chat.finish_reason import finish_reason, refusal_text
from modelmux.dialects.openai_chat.response import free_text, thinking_block
from modelmux.dialects.openai_chat.usage import translate_usage
from modelmux.errors import UpstreamBroken
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_response import Chunk, ChunkDelta, CustomDelta, FunctionDelta, ToolCallDelta

_ROLE = Chunk(ChunkDelta(role="assistant", content=""))


class _ToolUse:
    """A tool_use block under way. ``index`` counts the client's tool calls only.

    :param kind: a function call; a custom one, whose text is held until it is whole; or the answer itself.
    :param initial: arguments given with the block's start, used if no delta brings any.
    """

    __slots__ = ("held", "id", "index", "initial", "kind", "name", "sent")

    def __init__(self, index: int, kind: Literal["function", "custom", "answer"], block: anthropic.Block) -> None:
        self.index = index
        self.kind = kind
        self.id = block.id
        self.name = block.name or ""
        given = bytes(block.input).decode("utf-8", "replace") if isinstance(block.input, Raw) else ""
        self.initial = "" if given.strip() == "{}" else given
        self.sent = False
        self.held: list[str] = []


class _Opaque:
    """A block under way that shows the client nothing: server tools, their results, and what is news to us."""

    __slots__ = ()


_OPAQUE = _Opaque()


class _Text:
    """A text block under way: where it began in the whole content, and what it cites."""

    __slots__ = ("citations", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.citations: list[Raw] = []


class ChatStream:
    """One stream's translation.

    ``content_started`` turns true with the first chunk that shows the client anything of the answer: from there on
    the attempt is committed.
    """

    __slots__ = (
        "_calls",
        "_fences",
        "_fold",
        "_length",
        "_open",
        "_opened",
        "_pauses_left",
        "_shape",
        "_special",
        "_spent",
        "_stop_details",
        "_tools",
        "content_started",
        "done",
        "kept",
        "paused",
        "stop_reason",
        "unknown",
        "usage",
    )

    def __init__(self, shape: ReplyPlan) -> None:
        self._shape = shape
        self._opened = False
        self._calls = 0  # of the client's tools
        self._length = 0  # of the content so far, in characters
        #: The block under way at each index.
        self._open: dict[int, _ToolUse | _Text | anthropic.Block | _Opaque] = {}
        self._fences = CodeFenceStripper() if shape.strip_code_fence else None
        self._stop_details: anthropic.StopDetails | None = None
        self._pauses_left = shape.max_continuations
        self._fold = MessageFold() if shape.max_continuations else None
        self._spent: anthropic.Usage | None = None  # by calls before the present one
        self._special = shape.strip_code_fence or shape.max_continuations > 0  # text needs more than to be passed on
        self.paused = False
        #: Thinking and tool_use blocks in order, for ``thinking.by_call``.
        self.kept: list[anthropic.Block] = []
        self.stop_reason: str | None = None
        self.usage: anthropic.Usage | None = None
        self.content_started = False
        self.done = False
        #: Types of events, blocks and deltas nobody told us about.
        self.unknown: set[str] = set()

    def next_attempt(self) -> ChatStream:
        """The translation of another attempt: new, or going on after a pause."""
        stream = ChatStream(self._shape)
        if self.paused:
            stream._opened, stream._calls, stream._length = True, self._calls, self._length
            stream._fences, stream._pauses_left = self._fences, self._pauses_left - 1
            stream._spent, stream.unknown = self.total_usage, self.unknown
            stream.content_started = True
        return stream

    @property
    def total_usage(self) -> anthropic.Usage | None:
        """Tokens of this call and of those before a pause."""
        return add(self._spent, self.usage)

    @property
    def resumption(self) -> anthropic.InputMessage:
        """The turn that asks the upstream to go on after a pause."""
        assert self._fold is not None
        return resumption(self._fold.result())

    def feed(self, event: anthropic.StreamEvent) -> list[Chunk]:
        """Translate one event.

        :raises UpstreamRefused: the event reports an error.
        """
        kind = event.type
        if self.done:
            return []
        if self._fold is not None:
            self._fold.feed(event)
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

    def plain_text(self, event: anthropic.StreamEvent) -> str | None:
        """The text of an event that adds text to what the client sees, and does nothing else: then it has been fed.
        None, and nothing has happened, for any other."""
        delta = event.delta
        if delta is None or delta.type != "text_delta" or event.type != "content_block_delta":
            return None
        text = delta.text
        if not text or self._special or self.done or not self._opened:
            return None
        if type(self._open.get(event.index)) is not _Text:
            return None
        self._length += len(text)
        self.content_started = True
        return text

    def takes_text(self, index: int, characters: int) -> bool:
        """As ``plain_text``, for so much text at that index which is encoded already."""
        if self._special or self.done or not self._opened or type(self._open.get(index)) is not _Text:
            return False
        self._length += characters
        self.content_started = True
        return True

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
            self.stop_reason = message.stop_reason or self.stop_reason
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

    def _text(self, text: str | None) -> list[Chunk]:
        if text and self._fences is not None:
            text = self._fences.feed(text)
        if not text:
            return []
        self._length += len(text)
        return self._content(ChunkDelta(content=text))

    def _delta(self, event: anthropic.StreamEvent) -> list[Chunk]:
        delta = event.delta
        if delta is None:
            return []
        kind = delta.type
        if kind == "text_delta":
            return self._text_of(event.index, delta.text)
        if kind == "input_json_delta":
            return self._arguments(event.index, delta.partial_json)
        if kind == "thinking_delta":
            return self._thought(event.index, delta.thinking)
        if kind == "signature_delta":
            block = self._open.get(event.index)
            if isinstance(block, anthropic.Block):
                block.signature = (block.signature or "") + (delta.signature or "")
        elif kind == "citations_delta":
            text = self._open.get(event.index)
            if isinstance(text, _Text) and isinstance(delta.citation, Raw):
                text.citations.append(delta.citation)
        else:
            self.unknown.add(f"delta:{kind}")
        return []

    def _text_of(self, index: int, text: str | None) -> list[Chunk]:
        block = self._open.get(index)
        if block is None:  # of a block that was never begun
            self._open[index] = _Text(self._length)
        elif not isinstance(block, _Text):
            return []
        return self._text(text)

    def _arguments(self, index: int, text: str | None) -> list[Chunk]:
        tool = self._open.get(index)
        if not text or not isinstance(tool, _ToolUse):  # the empty first piece, or a server tool's input
            return []
        return self._send_arguments(tool, text)

    def _send_arguments(self, tool: _ToolUse, text: str) -> list[Chunk]:
        tool.sent = True
        if tool.kind == "answer":
            return self._text(text)
        if tool.kind == "custom":
            tool.held.append(text)
            return []
        function = FunctionDelta(arguments=text)
        if self._shape.legacy_function:
            return self._content(ChunkDelta(function_call=function)) if tool.index == 0 else []
        return self._content(ChunkDelta(tool_calls=[ToolCallDelta(tool.index, function=function)]))

    def _thought(self, index: int, text: str | None) -> list[Chunk]:
        block = self._open.get(index)
        if not text or not isinstance(block, anthropic.Block):
            return []
        block.thinking = (block.thinking or "") + text
        return self._content(ChunkDelta(reasoning_content=text)) if self._shape.show_reasoning else []

    def _block_start(self, event: anthropic.StreamEvent) -> list[Chunk]:
        block, index = event.content_block, event.index
        if block is None:
            return []
        chunks = self._block_stop(index)
        if block.type == "text":
            text = self._open[index] = _Text(self._length)
            text.citations += block.citations or ()
            return chunks + self._text(block.text)
        if block.type == "tool_use":
            return chunks + self._tool_start(index, block)
        if block.type == "thinking":
            thought = self._open[index] = msgspec.structs.replace(block, thinking=None)
            self.kept.append(thought)
            return chunks + self._thought(index, block.thinking)
        self._open[index] = _OPAQUE
        if block.type == "redacted_thinking":
            self.kept.append(block)
        else:
            self.unknown |= unknown_types.unknown_block(block.type)
        return chunks

    def _tool_start(self, index: int, block: anthropic.Block) -> list[Chunk]:
        self.kept.append(block)
        if (block.name or "") == self._shape.answer_tool:
            self._open[index] = _ToolUse(0, "answer", block)
            return []
        if block.name in self._shape.custom_tools:
            self._open[index] = _ToolUse(-1, "custom", block)  # counted when it is told
            return []
        tool = self._open[index] = _ToolUse(self._calls, "function", block)
        self._calls += 1
        function = FunctionDelta(self._own(tool.name), "")
        if self._shape.legacy_function:
            return self._content(ChunkDelta(function_call=function)) if tool.index == 0 else []
        return self._content(ChunkDelta(tool_calls=[ToolCallDelta(tool.index, tool.id, "function", function)]))

    def _own(self, name: str) -> str:
        return self._shape.tool_names.get(name, name)

    def _block_stop(self, index: int) -> list[Chunk]:
        block = self._open.pop(index, None)
        if isinstance(block, _ToolUse):
            return self._complete(block)
        if isinstance(block, _Text) and self._fences is None and self._length > block.start:
            found = annotations_of(block.citations, block.start, self._length)
            return self._content(ChunkDelta(annotations=found)) if found else []
        return []

    def _complete(self, tool: _ToolUse) -> list[Chunk]:
        """The end of a tool call: arguments where no delta brought any, and a custom tool's text."""
        chunks = [] if tool.sent else self._send_arguments(tool, tool.initial or "{}")
        if tool.kind == "custom":
            tool.index, self._calls = self._calls, self._calls + 1
            custom = CustomDelta(self._own(tool.name), free_text("".join(tool.held)))
            call = ToolCallDelta(tool.index, tool.id, "custom", custom=custom)
            return self._content(ChunkDelta(tool_calls=[call]))
        return chunks

    def _message_delta(self, event: anthropic.StreamEvent) -> list[Chunk]:
        self.usage = merge(self.usage, event.usage)
        if event.delta is not None:
            self.stop_reason = event.delta.stop_reason or self.stop_reason
            self._stop_details = event.delta.stop_details or self._stop_details
        return []

    def _message_stop(self) -> list[Chunk]:
        self.done = True
        if self.stop_reason == "pause_turn" and self._pauses_left:
            self.paused = True
            return []
        self.unknown |= unknown_types.unknown_stop_reason(self.stop_reason)
        chunks = self._role()
        for index in list(self._open):  # blocks that were never ended
            chunks += self._block_stop(index)
        rest = self._fences.finish() if self._fences is not None else ""
        if rest:
            chunks.append(Chunk(ChunkDelta(content=rest)))
        thoughts = [t for t in map(thinking_block, self.kept) if t]
        if thoughts and self._shape.show_reasoning:
            chunks.append(Chunk(ChunkDelta(thinking_blocks=thoughts)))
        refusal = refusal_text(self.stop_reason, self._stop_details)
        if refusal is not None:
            chunks.append(Chunk(ChunkDelta(refusal=refusal)))
        called, legacy = self._calls > 0, self._shape.legacy_function
        chunks.append(Chunk(finish_reason=finish_reason(self.stop_reason, called_tools=called, legacy=legacy)))
        if self._shape.include_usage:
            chunks.append(Chunk(usage=translate_usage(self.total_usage)))
        self.content_started = True
        return chunks
