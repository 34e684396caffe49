"""Events -> message, and message -> events.

Unary requests with long replies are streamed from Vertex AI and folded here. Together with the client's fold, which is
what an SDK does, it states the fold law: folding the translated stream equals translating the folded message.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from modelmux.claude.usage import merge
from modelmux.errors import UpstreamBroken
from modelmux.wire import anthropic


class _OpenBlock:
    """A content block and its deltas."""

    __slots__ = ("_block", "citations", "inputs", "signatures", "texts", "thinking")

    def __init__(self, block: anthropic.Block) -> None:
        self._block = block
        self.texts = [block.text or ""]
        self.thinking = [block.thinking or ""]
        self.signatures = [block.signature or ""]
        self.inputs: list[str] = []
        self.citations = [*(block.citations or ())]

    def result(self) -> anthropic.Block:
        kind, arguments = self._block.type, "".join(self.inputs)
        if kind == "text":
            return msgspec.structs.replace(self._block, text="".join(self.texts), citations=self.citations or None)
        if kind == "thinking":
            return msgspec.structs.replace(
                self._block, thinking="".join(self.thinking), signature="".join(self.signatures) or None
            )
        return msgspec.structs.replace(self._block, input=Raw(arguments.encode())) if arguments else self._block


class MessageFold:
    """Anthropic events in, one message out. Events out of order are handled as in the reply encoders."""

    def __init__(self) -> None:
        self._message = anthropic.Message(content=[])
        self._blocks: list[_OpenBlock] = []
        self._open: dict[int, _OpenBlock] = {}
        self.done = False

    def feed(self, event: anthropic.StreamEvent) -> None:
        """Add one event. Events after ``message_stop`` are ignored."""
        if self.done:
            return
        if event.type == "message_start" and event.message is not None:
            self._begin(event.message)
        elif event.type == "content_block_start" and event.content_block is not None:
            self._start(event.index, event.content_block)
        elif event.type == "content_block_delta" and event.delta is not None:
            self._delta(event.index, event.delta)
        elif event.type == "content_block_stop":
            self._open.pop(event.index, None)
        elif event.type == "message_delta":
            self._end(event)
        elif event.type == "message_stop":
            self.done = True

    @property
    def usage(self) -> anthropic.Usage | None:
        """Token counts so far."""
        return self._message.usage

    def result(self) -> anthropic.Message:
        """The complete message.

        :raises UpstreamBroken: ``message_stop`` never came.
        """
        if not self.done:
            raise UpstreamBroken("The upstream ended the stream before the reply was complete.", reply_started=True)
        self._message.content = [block.result() for block in self._blocks]
        return self._message

    def _begin(self, message: anthropic.Message) -> None:
        earlier = self._message
        self._message = msgspec.structs.replace(
            message,
            content=[],
            usage=merge(earlier.usage, message.usage),
            stop_reason=message.stop_reason or earlier.stop_reason,
            stop_sequence=message.stop_sequence or earlier.stop_sequence,
            stop_details=message.stop_details or earlier.stop_details,
        )

    def _start(self, index: int, block: anthropic.Block) -> _OpenBlock:
        opened = self._open[index] = _OpenBlock(block)
        self._blocks.append(opened)
        return opened

    def _delta(self, index: int, delta: anthropic.Delta) -> None:
        block = self._open.get(index)
        kind = delta.type
        if kind == "text_delta":
            if block is None:  # a delta without a block
                block = self._start(index, anthropic.Block("text"))
            block.texts.append(delta.text or "")
        elif block is None:
            return
        elif kind == "input_json_delta":
            block.inputs.append(delta.partial_json or "")
        elif kind == "thinking_delta":
            block.thinking.append(delta.thinking or "")
        elif kind == "signature_delta":
            block.signatures.append(delta.signature or "")
        elif kind == "citations_delta" and isinstance(delta.citation, Raw):
            block.citations.append(delta.citation)

    def _end(self, event: anthropic.StreamEvent) -> None:
        self._message.usage = merge(self._message.usage, event.usage)
        if event.delta is not None:
            self._message.stop_reason = event.delta.stop_reason or self._message.stop_reason
            self._message.stop_sequence = event.delta.stop_sequence or self._message.stop_sequence
            self._message.stop_details = event.delta.stop_details or self._message.stop_details


def to_events(message: anthropic.Message) -> list[anthropic.StreamEvent]:
    """A message as the shortest stream that folds back to it.

    Used where a client asked for a stream and the upstream sent one message.
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
