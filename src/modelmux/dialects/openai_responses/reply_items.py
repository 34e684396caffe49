"""Blocks of a reply -> items of a response, one after another.

A block that begins before another one has ended waits for its end: an item's events are never mixed with another's. An
item ends when the next one begins or the reply ends, because only then is it known whether it was cut off.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from modelmux.claude.answer_repair import AnswerText, answer_text
from modelmux.dialects.openai_responses.call_items import OpenCall, OpenWebSearch, open_call
from modelmux.dialects.openai_responses.compaction_item import add_compaction
from modelmux.dialects.openai_responses.message_item import OpenMessage, add_refusal
from modelmux.dialects.openai_responses.output import Output
from modelmux.dialects.openai_responses.plan import ClientTool, ResponsesPlan
from modelmux.dialects.openai_responses.reasoning_item import OpenReasoning
from modelmux.dialects.openai_responses.response_object import TRUNCATED
from modelmux.dialects.openai_shared.tool_input import initial_arguments
from modelmux.wire import anthropic
from modelmux.wire.openai.responses_reply import ItemStatus

DECLINED: Final = "The model declined to answer."
_WEB_SEARCH: Final = "web_search"
_WEB_SEARCH_RESULT: Final = "web_search_tool_result"
Item = OpenMessage | OpenReasoning | OpenCall | OpenWebSearch


class _Answer:
    """An open block of the tool whose input is the answer: its arguments are text."""

    __slots__ = ("_any", "_block", "_message", "_text")

    def __init__(self, message: OpenMessage, block: anthropic.Block, text: AnswerText) -> None:
        self._message = message
        self._block = block
        self._text = text
        self._any = False

    def add(self, text: str) -> None:
        self._any = True
        self._message.add_text(self._text.feed(text))

    def end(self) -> None:
        if not self._any:
            self.add(initial_arguments(self._block) or "{}")
        self._message.add_text(self._text.finish())
        self._message.end_block()


class _Hidden:
    """An open block that the client does not see."""

    __slots__ = ()


_HIDDEN: Final = _Hidden()
#: A text block of a compaction.
_SUMMARY: Final = _Hidden()


class ReplyItems:
    """Reads the block events of one reply, and of those that continue it."""

    __slots__ = ("_answers", "_block", "_index", "_item", "_runs", "_summary", "_waiting", "output", "plan")

    def __init__(self, plan: ResponsesPlan, output: Output) -> None:
        self.plan = plan
        self.output = output
        self._item: Item | None = None
        self._block: Item | _Answer | _Hidden | None = None  # what the open block is a part of
        self._index = -1  # of the open block
        self._waiting: list[anthropic.StreamEvent] = []
        self._runs = 0  # of thinking
        self._summary: list[str] = []  # the text, if it is not shown
        self._answers = False  # whether text of an answer has come

    @property
    def has_held_text(self) -> bool:
        """Whether text has begun that may be shown only at its end: of a compaction's summary, or of an answer."""
        return self._answers or any(self._summary)

    def open_text(self, index: int) -> OpenMessage | None:
        """The message to which text of this block can be added without a look at it."""
        block = self._block
        return block if index == self._index and type(block) is OpenMessage and block.plain else None

    def can_begin_text(self, index: int, text: str) -> bool:
        """Whether ``open_text`` is the message of this block once this text was read."""
        block = self._block
        if index != self._index or not isinstance(block, OpenMessage):
            return False
        return block.keeps_text and not text.isspace()

    def feed(self, event: anthropic.StreamEvent) -> None:
        """Read one event. Others than those of blocks have no effect."""
        if self._block is not None and event.index != self._index:
            if event.type.startswith("content_block"):
                self._waiting.append(event)
            return
        if event.type == "content_block_delta" and event.delta is not None:
            self._delta(event.index, event.delta)
        elif event.type == "content_block_start" and event.content_block is not None:
            if self._block is not None:  # the end is missing
                self._end_block()
                self._waiting.append(event)
                self._read_waiting()
            else:
                self._start(event.index, event.content_block)
        elif event.type == "content_block_stop" and self._block is not None:
            self._end_block()
            self._read_waiting()

    def pause(self) -> None:
        """The end of a reply that another one continues."""
        while self._block is not None:  # ends are missing
            self._end_block()
            self._read_waiting()

    def end(self, stop_reason: str | None, details: anthropic.StopDetails | None) -> None:
        """The end of the reply.

        :raises UpstreamBroken: a compaction without a summary.
        """
        self.pause()
        self._close("incomplete" if stop_reason in TRUNCATED else "completed")
        if self.plan.compaction is not None:
            add_compaction(self.output, self.plan, "" if stop_reason == "refusal" else "".join(self._summary))
        elif stop_reason == "refusal":
            self._refuse((details.explanation if details else None) or DECLINED)

    def cut(self) -> None:
        """The end of a reply that a policy stopped: what is open is incomplete."""
        self.pause()
        self._close("incomplete")

    def _refuse(self, text: str) -> None:
        if self.plan.refusal_as_text:
            message = OpenMessage(self.output, strip=False)
            message.add_text(text)
            message.close("completed")
        else:
            add_refusal(self.output, text)

    def _read_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            self.feed(event)

    def _start(self, index: int, block: anthropic.Block) -> None:
        self._index = index
        if self.plan.compaction is not None:
            self._block = _HIDDEN
            if block.type == "text":
                self._block = _SUMMARY
                self._summary.append(block.text or "")
        elif block.type == "text":
            message = self._block = self._message()
            message.start_block(block.citations)
            message.add_text(block.text or "")
        elif block.type == "tool_use" and (block.name or "") == self.plan.answer_tool:
            message = self._message()
            message.start_block(None)
            self._block = _Answer(message, block, answer_text(self.plan))
        else:
            self._block = self._start_other(block)

    def _start_other(self, block: anthropic.Block) -> Item | _Hidden:
        if block.type == "redacted_thinking":  # it is complete: deltas would be another block's
            self._reasoning().add_redacted(block)
            return _HIDDEN
        if block.type == "thinking":
            reasoning = self._reasoning()
            reasoning.start_block(block)
            return reasoning
        if block.type == "tool_use":
            self._close("completed")
            call = self._item = open_call(self.output, self._client_tool(block.name or ""), block)
            return call
        if block.type == "server_tool_use" and block.name == _WEB_SEARCH and self.plan.web_search_items:
            self._close("completed")
            search = self._item = OpenWebSearch(self.output, block)
            return search
        if block.type == _WEB_SEARCH_RESULT and isinstance(self._item, OpenWebSearch):
            self._item.read_result(block)
        elif not isinstance(self._item, OpenMessage):
            self._close("completed")
        return _HIDDEN

    def _message(self) -> OpenMessage:
        """The message item that text is added to."""
        if not isinstance(self._item, OpenMessage):
            self._close("completed")
            self._item = OpenMessage(self.output, strip=self.plan.strip_code_block)
        return self._item

    def _reasoning(self) -> OpenReasoning:
        """The reasoning item that thinking is added to."""
        if not isinstance(self._item, OpenReasoning):
            self._close("completed")
            self._item = OpenReasoning(self.output, self.plan, self._runs)
        return self._item

    def _client_tool(self, name: str) -> ClientTool:
        tool = self.plan.tools.get(name)
        return ClientTool("function", self.plan.tool_names.get(name, name)) if tool is None else tool

    def _delta(self, index: int, delta: anthropic.Delta) -> None:
        block = self._block
        if delta.type == "text_delta":
            if block is None:  # a delta without a block
                self._start(index, anthropic.Block("text"))
                block = self._block
            if isinstance(block, OpenMessage):
                block.add_text(delta.text or "")
            elif block is _SUMMARY:
                self._summary.append(delta.text or "")
        elif delta.type == "input_json_delta":
            if isinstance(block, _Answer) and delta.partial_json:
                self._answers = True
                block.add(delta.partial_json)
            elif isinstance(block, (OpenCall, OpenWebSearch)):
                block.add_arguments(delta.partial_json)
        elif isinstance(block, OpenReasoning):
            block.add_text(delta.thinking if delta.type == "thinking_delta" else None)
            block.sign(delta.signature if delta.type == "signature_delta" else None)
        elif delta.type == "citations_delta" and isinstance(block, OpenMessage) and isinstance(delta.citation, Raw):
            block.cite(delta.citation)

    def _end_block(self) -> None:
        block, self._block = self._block, None
        if isinstance(block, _Answer):
            block.end()
        elif isinstance(block, (OpenMessage, OpenReasoning, OpenWebSearch)):
            block.end_block()

    def _close(self, status: ItemStatus) -> None:
        """End the item under way."""
        item, self._item = self._item, None
        if item is None:
            return
        if isinstance(item, OpenReasoning) and item.has_begun:
            self._runs += 1
        item.close(status)
