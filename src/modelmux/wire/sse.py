"""Server-sent events: bytes <-> events, without I/O and without knowing what the data means.

The decoder takes the bytes in whatever pieces the network made of them and gives the same events for every way of
cutting (tests/properties/test_split_law.py). It follows the WHATWG event-stream grammar: lines end in LF, CR or
CRLF, several ``data:`` lines are joined by LF, comments and unknown fields are skipped, an event needs data.
"""

from __future__ import annotations

from operator import methodcaller
from typing import Final, NamedTuple

from modelmux.errors import UpstreamBroken

#: A single event may not grow past this. Vertex AI bodies are at most 30 MB, so no honest event comes near it.
MAX_EVENT_BYTES: Final = 32 * 1024 * 1024

DONE: Final = b"data: [DONE]\n\n"
#: A comment that keeps idle proxies from closing the connection; every SSE parser skips it.
KEEP_ALIVE: Final = b": ping\n\n"

_BOM: Final = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One dispatched event. ``name`` is the ``event:`` field (empty if none), ``data`` the joined data lines."""

    name: bytes
    data: bytes


class SSEDecoder:
    """Incremental decoder. Work is linear in the number of bytes, however they are cut.

    An event whose data lines, with the line under way, exceed ``max_event_bytes`` is refused. Events that were
    complete before it are still handed out first, so the pieces do not decide what the caller gets to see.
    """

    __slots__ = ("_at_start", "_data", "_data_size", "_line", "_max", "_name", "_skip_lf", "_too_long")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._line = bytearray()  # a line whose end has not come yet
        self._data: list[bytes] = []
        self._data_size = 0  # of the lines, not of their values: an empty line costs memory too
        self._name = b""
        self._skip_lf = False  # the last line ended in CR: an LF that follows belongs to it
        self._at_start = True
        self._too_long = False

    @property
    def between_events(self) -> bool:
        """Whether nothing is under way: the next byte begins an event."""
        return not (self._line or self._data or self._name or self._skip_lf or self._too_long)

    def feed_data(self, chunk: bytes) -> list[bytes]:
        """As ``feed``, but the data of the events only: what is usual needs no line to be looked at twice.

        :raises UpstreamBroken: when an event exceeds the size bound.
        """
        if self.between_events:
            found = _usual(chunk)
            if found and len(chunk) <= self._max:
                self._at_start = False
                return found
        return [event.data for event in self.feed(chunk)]

    def feed(self, chunk: bytes) -> list[Event]:
        """Decode the next bytes; return the events they completed.

        :raises UpstreamBroken: when an event exceeds the size bound.
        """
        if self._too_long:
            raise self._refusal()
        if self._at_start:
            chunk = self._without_bom(chunk)
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[0] == 0x0A:
                chunk = chunk[1:]
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        events: list[Event] = []
        if end:
            complete, chunk = chunk[:end], chunk[end:]
            self._skip_lf = not chunk and complete[-1] == 0x0D
            if self._line:
                self._line += complete
                complete = bytes(self._line)
                self._line.clear()
            events = self._dispatch(complete.splitlines())
        if chunk:
            self._line += chunk
            if self._data_size + len(self._line) > self._max:
                self._too_long = True
        if self._too_long and not events:
            raise self._refusal()
        return events

    def flush(self) -> list[Event]:
        """What the end of input leaves: the event whose closing blank line never came, if any.

        The grammar drops it; some servers end their last event without the blank line, so the caller gets it and
        decides by its content, which is only complete JSON if nothing was cut.

        :raises UpstreamBroken: when an event exceeded the size bound.
        """
        if self._too_long:
            raise self._refusal()
        tail = bytes(self._line)
        self._line.clear()
        return self._dispatch([tail, b""] if tail else [b""])

    def _without_bom(self, chunk: bytes) -> bytes:
        """The start of the input without its byte order mark; empty while it is open whether there is one."""
        self._line += chunk
        if len(self._line) < len(_BOM) and _BOM.startswith(self._line):
            return b""
        self._at_start = False
        start = bytes(self._line)
        self._line.clear()
        return start.removeprefix(_BOM)

    def _dispatch(self, lines: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            if not line:
                if self._data:
                    data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    events.append(Event(self._name, data))
                    self._data.clear()
                    self._data_size = 0
                self._name = b""
                continue
            if self._data_size + len(line) > self._max:
                self._too_long = True
                break
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
                self._data_size += len(line) + 1
            elif field == b"event":
                self._name = value.removeprefix(b" ")
        return events

    def _refusal(self) -> UpstreamBroken:
        return UpstreamBroken(
            "The upstream sent a stream event larger than the gateway accepts.",
            reply_started=True,
            detail=f"event of more than {self._max} bytes",
        )


_is_name: Final = methodcaller("startswith", b"event: ")
_is_data: Final = methodcaller("startswith", b"data: ")


def _usual(chunk: bytes) -> list[bytes] | None:
    """The data of whole events of two lines each, as Anthropic frames them; None where anything is otherwise."""
    if chunk.count(b"\n") == 3:  # one event, as nearly always where the model writes slower than the network carries
        at = chunk.find(b"\ndata: ")
        if at < 0 or not chunk.startswith(b"event: ") or not chunk.endswith(b"\n\n") or b"\r" in chunk:
            return None
        return [chunk[at + 7 : -2]]
    lines = chunk.split(b"\n")
    if len(lines) % 3 != 1 or lines.pop() or b"\r" in chunk:  # each event has three, and after the last LF is nothing
        return None
    found = lines[1::3]
    if any(lines[2::3]) or not (all(map(_is_name, lines[0::3])) and all(map(_is_data, found))):
        return None
    return [line[6:] for line in found]


def encode_data(data: bytes) -> bytes:
    """Frame one line of data, the only form that every OpenAI client parses."""
    return b"data: " + data + b"\n\n"


def encode_named(name: bytes, data: bytes) -> bytes:
    """Frame one line of data under an event name, as Anthropic streams do."""
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
