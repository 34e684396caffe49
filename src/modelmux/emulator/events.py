"""Server-sent events of a reply as data, and their bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from modelmux.wire.sse import encode_named

PING: Final = encode_named(b"ping", b'{"type": "ping"}')

_encode: Final = msgspec.json.Encoder().encode


class StreamEvent(NamedTuple):
    """One event. ``cost`` is the number of output tokens it stands for; pacing turns it into time."""

    name: str
    data: dict[str, Any]
    cost: float = 0.0

    def encode(self) -> bytes:
        return encode_named(self.name.encode(), _encode(self.data))


def encode_stream(events: Iterable[StreamEvent]) -> tuple[bytes, int]:
    """The bytes of a complete stream, with a ping after the first event, and the number of events without pings."""
    parts = [event.encode() for event in events]
    parts.insert(1, PING)
    return b"".join(parts), len(parts) - 1
