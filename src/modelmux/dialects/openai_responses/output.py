"""Where the items of a response go: into its stream, numbered, and into its final object."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from modelmux.dialects.openai_responses.response_object import ResponseObject
from modelmux.dialects.stored_responses import StoredItem
from modelmux.wire.openai import responses_reply as wire
from modelmux.wire.openai.responses_reply import DeltaFrames


class StreamState:
    """What a client was sent, whatever attempts it took: shared by all encoders of one exchange."""

    __slots__ = ("begun", "ended", "next_number", "silence")

    def __init__(self) -> None:
        #: ``sequence_number`` of the next event.
        self.next_number = 0
        #: ``response.created`` was sent.
        self.begun = False
        #: The terminal event was sent.
        self.ended = False
        #: Seconds since the last event; comments do not count.
        self.silence = 0.0


class Output:
    """The items of one attempt, in order, and the frames that tell of them.

    :param digits: what ids of items are made of.
    :param streamed: false for a response in one piece: no frame is made.
    """

    __slots__ = ("_digits", "_frames", "items", "response", "state", "stored", "streamed")

    def __init__(self, response: ResponseObject, digits: str, state: StreamState, *, streamed: bool) -> None:
        self.response = response
        self.state = state
        self.streamed = streamed
        self._digits = digits
        self._frames: list[bytes] = []
        #: Complete items as clients get them, and as they are stored.
        self.items: list[bytes] = []
        self.stored: list[StoredItem] = []

    @property
    def has_frames(self) -> bool:
        return bool(self._frames)

    def take(self) -> bytes:
        """The frames since the last call."""
        frames, self._frames = self._frames, []
        return b"".join(frames)

    def new_id(self, prefix: str) -> str:
        """The id of the next item: the same in the stream, the final object and the store."""
        return f"{prefix}_{self._digits}{len(self.items):04x}"

    @property
    def index(self) -> int:
        """``output_index`` of the next item."""
        return len(self.items)

    def begin(self) -> None:
        """The first two events of the stream, unless they were sent."""
        if self.streamed and not self.state.begun:
            self.state.begun = True
            fields = {"response": Raw(self.response.in_progress())}
            self.emit("response.created", **fields)
            self.emit("response.in_progress", **fields)

    def emit(self, type: str, **fields: Any) -> None:
        """One event."""
        if not self.streamed:
            return
        if not self.state.begun:
            self.begin()
        self._frames.append(wire.encode_event(type, self.next_number(), fields))

    def emit_delta(self, frames: DeltaFrames, text: bytes) -> None:
        """One delta.

        :param text: the inside of a JSON string.
        """
        if self.streamed:
            self._frames.append(frames.encode(text, self.next_number()))

    def added(self, item: wire.Item) -> None:
        """An item that has begun."""
        self.emit("response.output_item.added", output_index=self.index, item=item)

    def done(self, item: wire.Item, stored: wire.Item | None = None) -> None:
        """The item is complete.

        :param stored: what is stored instead.
        """
        shown = wire.encode(item)
        self.emit("response.output_item.done", output_index=self.index, item=Raw(shown))
        self.items.append(shown)
        self.stored.append(StoredItem(item.id, shown if stored is None else wire.encode(stored)))

    def next_number(self, count: int = 1) -> int:
        """The number of the next event, of which there are ``count``."""
        state = self.state
        number = state.next_number
        state.next_number = number + count
        state.silence = 0.0
        return number
