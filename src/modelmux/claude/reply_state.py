"""State of a reply, independent of the client's dialect: usage, stop reason, blocks to remember, undocumented types.

One instance for each upstream reply; ``continued`` starts the next one after a pause (``pause_turn``).
"""

from __future__ import annotations

import msgspec

from modelmux.claude.continuation import continuation_turn
from modelmux.claude.fold import MessageFold
from modelmux.claude.usage import add, merge
from modelmux.errors import UpstreamBroken
from modelmux.wire.anthropic import (
    KNOWN_BLOCKS,
    KNOWN_EVENTS,
    KNOWN_STOP_REASONS,
    Block,
    Delta,
    InputMessage,
    Message,
    StopDetails,
    StreamEvent,
    Usage,
)

_KNOWN_DELTAS = frozenset({"text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta"})
#: Types of a reply's blocks: those a client sees, and those of server tools.
_KNOWN_BLOCKS = KNOWN_BLOCKS | {"server_tool_use", "web_search_tool_result"}
_KNOWN_EVENTS = KNOWN_EVENTS | {"ping"}
#: Longest unknown type that is reported.
_MAX_TYPE = 80


class ReplyState:
    """Reads the events of one reply.

    :param continuations: how often a reply that pauses for its server tools is continued.
    """

    __slots__ = (
        "_blocks", "_continuations", "_earlier_usage", "_fold", "_open", "_own_usage", "done", "message_id",
        "output_reported", "paused", "stop_details", "stop_reason", "unknown_types",
    )  # fmt: skip

    def __init__(self, continuations: int = 0) -> None:
        self._continuations = continuations
        self._fold = MessageFold() if continuations else None
        self._earlier_usage: Usage | None = None
        self._own_usage: Usage | None = None
        self._blocks: list[Block] = []
        self._open: dict[int, Block] = {}
        self.message_id: str | None = None
        #: ``usage`` has the output: what ``message_start`` says of it is a placeholder.
        self.output_reported = False
        self.stop_reason: str | None = None
        self.stop_details: StopDetails | None = None
        #: ``message_stop`` came.
        self.done = False
        #: The reply pauses and is to be continued.
        self.paused = False
        self.unknown_types: set[str] = set()

    @property
    def usage(self) -> Usage | None:
        """Tokens of this reply and of those it continues."""
        return add(self._earlier_usage, self._own_usage)

    @property
    def attempt_usage(self) -> Usage | None:
        """Tokens of this reply alone."""
        return self._own_usage

    @property
    def is_thinking(self) -> bool:
        """Whether a block of thinking has begun, and not ended."""
        return bool(self._open)

    @property
    def thinking_and_tools(self) -> list[Block]:
        """Thinking and tool_use blocks in order, for the thinking store."""
        return self._blocks

    @property
    def continuation_turn(self) -> InputMessage:
        """The turn that asks the upstream to continue after a pause."""
        assert self._fold is not None
        return continuation_turn(self._fold.result())

    def continued(self) -> ReplyState:
        """The state of the reply that continues this one."""
        state = ReplyState(self._continuations - 1)
        state._earlier_usage, state.unknown_types = self.usage, self.unknown_types
        return state

    def feed(self, event: StreamEvent) -> None:
        """Read one event. Events after ``message_stop`` are ignored."""
        if self.done:
            return
        if self._fold is not None:
            self._fold.feed(event)
        kind = event.type
        if kind == "content_block_delta":
            self._delta(event)
        elif kind == "content_block_start":
            self._block_start(event)
        elif kind == "content_block_stop":
            self._open.pop(event.index, None)
        elif kind == "message_start":
            if event.message is not None:
                self.message_id = event.message.id or None
                self._read_message(event.message.usage, event.message)
        elif kind == "message_delta":
            self.output_reported |= event.usage is not None and event.usage.output_tokens is not None
            self._read_message(event.usage, event.delta)
        elif kind == "message_stop":
            self._stop()
        elif kind not in _KNOWN_EVENTS:
            self._unknown("event", kind)

    def check_complete(self) -> None:
        """Call at the end of the upstream's bytes.

        :raises UpstreamBroken: ``message_stop`` never came.
        """
        if not self.done:
            raise UpstreamBroken("The upstream ended the stream before the reply was complete.", reply_started=True)

    def _read_message(self, usage: Usage | None, ending: Message | Delta | None) -> None:
        self._own_usage = merge(self._own_usage, usage)
        if ending is not None:
            self.stop_reason = ending.stop_reason or self.stop_reason
            self.stop_details = ending.stop_details or self.stop_details

    def _block_start(self, event: StreamEvent) -> None:
        block = event.content_block
        if block is None:
            return
        self._open.pop(event.index, None)
        if block.type == "thinking":  # a copy, because deltas are added to it
            block = self._open[event.index] = msgspec.structs.replace(block)
        self._add_block(block)

    def _add_block(self, block: Block) -> None:
        if block.type in ("thinking", "redacted_thinking", "tool_use"):
            self._blocks.append(block)
        elif block.type not in _KNOWN_BLOCKS:
            self._unknown("block", block.type)

    def _delta(self, event: StreamEvent) -> None:
        delta = event.delta
        if delta is None:
            return
        block = self._open.get(event.index)
        if delta.type == "thinking_delta":
            if block is not None:
                block.thinking = (block.thinking or "") + (delta.thinking or "")
        elif delta.type == "signature_delta":
            if block is not None:
                block.signature = (block.signature or "") + (delta.signature or "")
        elif delta.type not in _KNOWN_DELTAS:
            self._unknown("delta", delta.type)

    def _stop(self) -> None:
        self.done = True
        self.paused = self.stop_reason == "pause_turn" and self._continuations > 0
        if self.stop_reason and self.stop_reason not in KNOWN_STOP_REASONS:
            self._unknown("stop_reason", self.stop_reason)

    def _unknown(self, what: str, type: str) -> None:
        self.unknown_types.add(_named(what, type))


def unknown_types(message: Message) -> set[str]:
    """Undocumented types in a reply that came in one piece."""
    unknown = {_named("block", b.type) for b in message.content or () if b.type not in _KNOWN_BLOCKS}
    if message.stop_reason and message.stop_reason not in KNOWN_STOP_REASONS:
        unknown.add(_named("stop_reason", message.stop_reason))
    return unknown


def _named(what: str, type: str) -> str:
    return f"{what}:{type[:_MAX_TYPE]}"
