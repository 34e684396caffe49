"""The way back of ``property_keys.py``: calls in a reply get the client's keys, whole or streamed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Raw
from msgspec.structs import replace

from modelmux.wire.anthropic import Block, Delta, Message, StreamEvent
from modelmux.wire.json_keys import KeyRewriter, rename_keys

_JSON_DELTA: Final = "input_json_delta"

#: Upstream name of a tool -> upstream key -> the client's, for renamed keys only.
PropertyNames = Mapping[str, Mapping[str, str]]


def input_with_client_keys(block: Block, names: PropertyNames) -> bytes | None:
    """The input of a call with the client's keys; None if it stays as it is.

    A byte that is not UTF-8 is replaced, as everywhere in the arguments of a call.
    """
    own = names.get(block.name or "") if block.type == "tool_use" else None
    if own is None or not isinstance(block.input, Raw):
        return None
    data = bytes(block.input)
    text = data.decode("utf-8", "replace")
    renamed = rename_keys(text, own)
    return None if renamed == text else renamed.encode()


def with_client_keys(message: Message, names: PropertyNames) -> Message:
    """A message with the client's keys."""
    if not names:
        return message
    return replace(message, content=[_with_client_keys(block, names) for block in message.content or ()])


def _with_client_keys(block: Block, names: PropertyNames) -> Block:
    value = input_with_client_keys(block, names)
    return block if value is None else replace(block, input=Raw(value))


class ReplyKeys:
    """The calls of one streamed reply."""

    __slots__ = ("_names", "_open")

    def __init__(self, names: PropertyNames) -> None:
        self._names = names
        self._open: dict[int, KeyRewriter] = {}

    def feed(self, event: StreamEvent) -> list[StreamEvent]:
        """The event with the client's keys; the same object if it has none. A key that is cut over events comes with
        the last of them; what is left of it at the end of its block comes before that end."""
        kind, index = event.type, event.index
        if kind == "content_block_delta":
            return self._delta(event)
        if kind == "content_block_start" and event.content_block is not None:
            rest = self._close(index)
            return [*rest, self._start(event, event.content_block)]
        if kind == "content_block_stop":
            return [*self._close(index), event]
        if kind == "message_stop":
            return [*(rest for open_index in list(self._open) for rest in self._close(open_index)), event]
        return [event]

    def _start(self, event: StreamEvent, block: Block) -> StreamEvent:
        own = self._names.get(block.name or "") if block.type == "tool_use" else None
        if own is not None:
            self._open[event.index] = KeyRewriter(own)
        restored = _with_client_keys(block, self._names)
        return event if restored is block else replace(event, content_block=restored)

    def _delta(self, event: StreamEvent) -> list[StreamEvent]:
        delta, rewriter = event.delta, self._open.get(event.index)
        if rewriter is None or delta is None or delta.type != _JSON_DELTA or not delta.partial_json:
            return [event]
        text = rewriter.feed(delta.partial_json)
        if text == delta.partial_json:
            return [event]
        return [replace(event, delta=replace(delta, partial_json=text))] if text else []

    def _close(self, index: int) -> list[StreamEvent]:
        rewriter = self._open.pop(index, None)
        rest = rewriter.finish() if rewriter is not None else ""
        return [StreamEvent("content_block_delta", index, delta=Delta(_JSON_DELTA, partial_json=rest))] if rest else []
