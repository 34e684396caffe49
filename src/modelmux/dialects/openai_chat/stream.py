"""Events of a reply -> chat completion chunks, without I/O.

``chunks`` returns the chunks that an event adds; ``feed`` returns them encoded. A run of plain text deltas, by far the
most frequent events, takes a fast path that builds no chunk.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from msgspec import Raw

from modelmux.claude.answer_repair import AnswerText, answer_text
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.reply_state import ReplyState
from modelmux.claude.text_buffer import PING_WHILE_HELD
from modelmux.dialects.base import ReplyEncoder
from modelmux.dialects.openai_chat.annotations import annotations_of
from modelmux.dialects.openai_chat.finish_reason import finish_reason, refusal_text
from modelmux.dialects.openai_chat.response import thinking_block, translate_response
from modelmux.dialects.openai_chat.usage import translate_usage
from modelmux.dialects.openai_shared.code_block import CodeBlockStripper
from modelmux.dialects.openai_shared.tool_input import free_text, initial_arguments
from modelmux.errors import GatewayError
from modelmux.wire import anthropic, sse
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun
from modelmux.wire.openai import common
from modelmux.wire.openai.chat_response import (
    Chunk,
    ChunkDelta,
    ChunkEncoder,
    CustomDelta,
    FunctionDelta,
    ToolCallDelta,
)

_ROLE = Chunk(ChunkDelta(role="assistant", content=""))


class _ToolUseBlock:
    """An open tool_use block. ``index`` counts the client's tool calls only.

    :param type: a function call; a custom one, whose text is buffered until it is complete; or the answer itself.
    :param answer: the text of an answer.
    :param initial: arguments that came with the block's start, used if no delta brings any.
    """

    __slots__ = ("answer", "any_sent", "buffered", "id", "index", "initial", "name", "type")

    def __init__(
        self,
        index: int,
        type: Literal["function", "custom", "answer"],
        block: anthropic.Block,
        answer: AnswerText | None = None,
    ) -> None:
        self.index = index
        self.type = type
        self.answer = answer
        self.id = block.id
        self.name = block.name or ""
        self.initial = initial_arguments(block)
        self.any_sent = False
        self.buffered: list[str] = []


class _ThinkingBlock:
    """An open thinking block."""

    __slots__ = ()


class _HiddenBlock:
    """An open block that the client does not see: server tools, their results, and unknown types."""

    __slots__ = ()


_THINKING = _ThinkingBlock()
_HIDDEN = _HiddenBlock()


class _TextBlock:
    """An open text block: its start in the content, and its citations."""

    __slots__ = ("citations", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.citations: list[Raw] = []


class ChatEncoder(ReplyEncoder):
    """One reply as a chat completion, streamed or not.

    :param id: of the completion.
    :param created: Unix seconds.
    """

    def __init__(self, plan: ReplyPlan, *, id: str, created: int, state: ReplyState | None = None) -> None:
        super().__init__(plan, state)
        self._id = id
        self._created = created
        self._role_sent = False
        self._calls = 0  # of the client's tools
        self._length = 0  # of the content so far, in characters
        self._open: dict[int, _ToolUseBlock | _TextBlock | _ThinkingBlock | _HiddenBlock] = {}
        self._code_block = CodeBlockStripper() if plan.strip_code_block else None
        self._needs_full_path = plan.strip_code_block or plan.max_continuations > 0  # whether text needs processing

    @cached_property
    def _chunks(self) -> ChunkEncoder:  # not made for a reply in one piece
        plan = self.plan
        return ChunkEncoder(
            id=self._id, created=self._created, model=plan.model, include_usage=plan.include_usage,
            tier=plan.service_tier,
        )  # fmt: skip

    def restart(self, plan: ReplyPlan) -> ChatEncoder:
        """For another attempt: fresh, or continuing after a pause."""
        encoder = ChatEncoder(plan, id=self._id, created=self._created)
        if self.state.paused:
            encoder.state = self.state.continued()
            encoder._role_sent, encoder._calls, encoder._length = True, self._calls, self._length
            encoder._code_block = self._code_block
            encoder.content_started = True
        return encoder

    def message(self, message: anthropic.Message, body: bytes) -> bytes:
        del body
        return common.encode(translate_response(message, self.plan, id=self._id, created=self._created))

    def feed(self, event: anthropic.StreamEvent) -> bytes:
        text = self._plain_text(event)
        if text is not None:
            return self._chunks.encode_text(text)
        if event.type == "ping":
            shown = self.content_started or event is PING_WHILE_HELD
            return sse.KEEP_ALIVE if shown and not self.state.done else b""
        chunks = self.chunks(event)
        return self._chunks.encode(chunks[0]) if len(chunks) == 1 else b"".join(map(self._chunks.encode, chunks))

    def feed_run(self, run: TextDeltaRun) -> bytes | None:
        if self._needs_full_path or self.state.done or not self._role_sent:
            return None
        if type(self._open.get(run.index)) is not _TextBlock:
            return None
        self._length += run.characters
        self.content_started = True
        return self._chunks.encode_texts(run.texts)

    def keep_alive(self, idle: float) -> bytes:
        del idle
        return sse.KEEP_ALIVE

    def finish(self) -> bytes:
        return sse.DONE

    def fail(self, error: GatewayError) -> bytes:
        return sse.encode_data(common.encode(common.envelope(error)))

    def chunks(self, event: anthropic.StreamEvent) -> list[Chunk]:
        """The chunks that one event adds."""
        if self.state.done:
            return []
        self.state.feed(event)
        match event.type:
            case "content_block_delta":
                return self._delta(event)
            case "content_block_start":
                return self._block_start(event)
            case "content_block_stop":
                return self._block_stop(event.index)
            case "message_start":
                return self._role()
            case "message_stop":
                return self._message_stop()
        return []

    def _plain_text(self, event: anthropic.StreamEvent) -> str | None:
        """The text of an event that only adds text to the content; None, without side effects, for any other event."""
        delta = event.delta
        if delta is None or delta.type != "text_delta" or event.type != "content_block_delta":
            return None
        text = delta.text
        if not text or self._needs_full_path or self.state.done or not self._role_sent:
            return None
        if type(self._open.get(event.index)) is not _TextBlock:
            return None
        self._length += len(text)
        self.content_started = True
        return text

    def _role(self) -> list[Chunk]:
        if self._role_sent:
            return []
        self._role_sent = True
        return [_ROLE]

    def _content(self, delta: ChunkDelta) -> list[Chunk]:
        self.content_started = True
        chunk = Chunk(delta)
        return [chunk] if self._role_sent else [*self._role(), chunk]

    def _text(self, text: str | None) -> list[Chunk]:
        if text and self._code_block is not None:
            text = self._code_block.feed(text)
        if not text:
            return []
        self._length += len(text)
        return self._content(ChunkDelta(content=text))

    def _delta(self, event: anthropic.StreamEvent) -> list[Chunk]:
        delta = event.delta
        if delta is None:
            return []
        block = self._open.get(event.index)
        match delta.type:
            case "text_delta":
                if block is None:  # a delta without a block
                    self._open[event.index] = _TextBlock(self._length)
                elif not isinstance(block, _TextBlock):
                    return []
                return self._text(delta.text)
            case "input_json_delta":
                # Not the empty first piece, nor the input of a server tool
                return self._arguments(block, delta.partial_json) if isinstance(block, _ToolUseBlock) else []
            case "thinking_delta":
                return self._thinking(delta.thinking) if block is _THINKING else []
            case "citations_delta":
                if isinstance(block, _TextBlock) and isinstance(delta.citation, Raw):
                    block.citations.append(delta.citation)
        return []

    def _arguments(self, tool: _ToolUseBlock, text: str | None) -> list[Chunk]:
        if not text:
            return []
        tool.any_sent = True
        if tool.answer is not None:
            self.content_started = True  # even if all of it is held back
            return self._text(tool.answer.feed(text))
        if tool.type == "custom":
            tool.buffered.append(text)
            return []
        function = FunctionDelta(arguments=text)
        if self.plan.legacy_function:
            return self._content(ChunkDelta(function_call=function)) if tool.index == 0 else []
        return self._content(ChunkDelta(tool_calls=[ToolCallDelta(tool.index, function=function)]))

    def _thinking(self, text: str | None) -> list[Chunk]:
        return self._content(ChunkDelta(reasoning_content=text)) if text and self.plan.show_reasoning else []

    def _block_start(self, event: anthropic.StreamEvent) -> list[Chunk]:
        block, index = event.content_block, event.index
        if block is None:
            return []
        chunks = self._block_stop(index)
        if block.type == "text":
            text = self._open[index] = _TextBlock(self._length)
            text.citations += block.citations or ()
            return chunks + self._text(block.text)
        if block.type == "tool_use":
            return chunks + self._tool_start(index, block)
        if block.type == "thinking":
            self._open[index] = _THINKING
            return chunks + self._thinking(block.thinking)
        self._open[index] = _HIDDEN
        return chunks

    def _tool_start(self, index: int, block: anthropic.Block) -> list[Chunk]:
        if (block.name or "") == self.plan.answer_tool:
            self._open[index] = _ToolUseBlock(0, "answer", block, answer_text(self.plan))
            return []
        if block.name in self.plan.custom_tools:
            self._open[index] = _ToolUseBlock(-1, "custom", block)  # numbered when it is sent
            return []
        tool = self._open[index] = _ToolUseBlock(self._calls, "function", block)
        self._calls += 1
        function = FunctionDelta(self._client_name(tool.name), "")
        if self.plan.legacy_function:
            return self._content(ChunkDelta(function_call=function)) if tool.index == 0 else []
        return self._content(ChunkDelta(tool_calls=[ToolCallDelta(tool.index, tool.id, "function", function)]))

    def _client_name(self, name: str) -> str:
        return self.plan.tool_names.get(name, name)

    def _block_stop(self, index: int) -> list[Chunk]:
        block = self._open.pop(index, None)
        if isinstance(block, _ToolUseBlock):
            return self._tool_stop(block)
        if isinstance(block, _TextBlock) and self._code_block is None and self._length > block.start:
            annotations = annotations_of(block.citations, block.start, self._length)
            return self._content(ChunkDelta(annotations=annotations)) if annotations else []
        return []

    def _tool_stop(self, tool: _ToolUseBlock) -> list[Chunk]:
        """The end of a tool call: its initial arguments if no delta had any, and text that was held back."""
        chunks = [] if tool.any_sent else self._arguments(tool, tool.initial or "{}")
        if tool.answer is not None:
            return chunks + self._text(tool.answer.finish())
        if tool.type == "custom":
            tool.index, self._calls = self._calls, self._calls + 1
            custom = CustomDelta(self._client_name(tool.name), free_text("".join(tool.buffered)))
            call = ToolCallDelta(tool.index, tool.id, "custom", custom=custom)
            return self._content(ChunkDelta(tool_calls=[call]))
        return chunks

    def _message_stop(self) -> list[Chunk]:
        state = self.state
        if state.paused:
            return []
        chunks = self._role()
        for index in list(self._open):  # blocks without an end event
            chunks += self._block_stop(index)
        rest = self._code_block.finish() if self._code_block is not None else ""
        if rest:
            chunks.append(Chunk(ChunkDelta(content=rest)))
        thinking = [block for block in map(thinking_block, state.thinking_and_tools) if block]
        if thinking and self.plan.show_reasoning:
            chunks.append(Chunk(ChunkDelta(thinking_blocks=thinking)))
        refusal = refusal_text(state.stop_reason, state.stop_details)
        if refusal is not None:
            chunks.append(Chunk(ChunkDelta(refusal=refusal)))
        called, legacy = self._calls > 0, self.plan.legacy_function
        chunks.append(Chunk(finish_reason=finish_reason(state.stop_reason, called_tools=called, legacy=legacy)))
        if self.plan.include_usage:
            chunks.append(Chunk(usage=translate_usage(state.usage)))
        self.content_started = True
        return chunks
