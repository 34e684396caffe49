"""Server-sent events: encoder and incremental decoder, without I/O and without interpreting the data.

The decoder accepts chunks of any size and returns the same events however the bytes are split
(tests/properties/test_split_law.py). It follows the WHATWG event-stream grammar: lines end in LF, CR or CRLF, multiple
``data:`` lines are joined by LF, comments and unknown fields are skipped, events without data are dropped.

``EventSplitter`` follows the same grammar for streams that are passed on as they came.
"""

from __future__ import annotations

import re
from operator import methodcaller
from typing import Final, NamedTuple

from modelmux.errors import UpstreamBroken

#: Size limit of one event. Bodies of Vertex AI are at most 30 MB, so a well-formed stream never reaches it.
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
    """Incremental decoder. Its work is linear in the number of bytes, however they are split.

    An event is rejected once its data lines, including the incomplete one, exceed ``max_event_bytes``. Complete events
    before it are returned first, so that the result does not depend on how the bytes are split.
    """

    __slots__ = (
        "_at_start",
        "_data",
        "_data_size",
        "_line",
        "_max",
        "_name",
        "_read",
        "_skip_lf",
        "_too_long",
        "dropped",
    )

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._line = bytearray()  # an incomplete line
        self._data: list[bytes] = []
        self._data_size = 0  # of the lines, not of their values: an empty value uses memory as well
        self._name = b""
        self._skip_lf = False  # the last line ended in CR: a following LF belongs to it
        self._at_start = True
        self._too_long = False
        self._read: bytes | list[Event] = b""  # what gave the last data
        #: How many events had a name and no data.
        self.dropped = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is buffered: the next byte begins an event."""
        return not (self._line or self._data or self._name or self._skip_lf or self._too_long)

    def feed_data(self, chunk: bytes) -> list[bytes]:
        """Like ``feed``, but returns only the data of the events. Has a fast path for the usual framing.

        :raises UpstreamBroken: an event exceeds the size limit.
        """
        if self.is_idle:
            data = _fast_path(chunk)
            if data and len(chunk) <= self._max:
                self._at_start = False
                self._read = chunk
                return data
        self._read = events = self.feed(chunk)
        return [event.data for event in events]

    def flush_data(self) -> list[bytes]:
        """Like ``flush``, but returns only the data of the events.

        :raises UpstreamBroken: an event exceeds the size limit.
        """
        self._read = events = self.flush()
        return [event.data for event in events]

    def name_of(self, index: int) -> bytes:
        """The name of an event, by its index in what ``feed_data`` or ``flush_data`` returned last."""
        read = self._read
        return read[index].name if isinstance(read, list) else read.split(b"\n")[3 * index].removeprefix(b"event: ")

    def feed(self, chunk: bytes) -> list[Event]:
        """Decode the next bytes; return the events they complete.

        :raises UpstreamBroken: an event exceeds the size limit.
        """
        if self._too_long:
            raise self._size_error()
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
            raise self._size_error()
        return events

    def flush(self) -> list[Event]:
        """The end of input: return the last event if its closing blank line is missing.

        The grammar drops such an event, but some servers omit the last blank line. The caller decides by the content,
        which is complete JSON only if nothing was cut off.

        :raises UpstreamBroken: an event exceeds the size limit.
        """
        if self._too_long:
            raise self._size_error()
        tail = bytes(self._line)
        self._line.clear()
        return self._dispatch([tail, b""] if tail else [b""])

    def _without_bom(self, chunk: bytes) -> bytes:
        """The start of the input without a byte order mark; empty while it is too short to tell."""
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
                elif self._name:
                    self.dropped += 1
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

    def _size_error(self) -> UpstreamBroken:
        return _size_error(self._max)


#: A line end. Whether a CR at the end of the input is one shows only with the next byte.
_LINE_END: Final = rb"(?:\r\n|\n|\r(?=[^\n]))"
_EVENTS: Final = re.compile(rb"(?:(?:[^\r\n]+" + _LINE_END + rb")*+" + _LINE_END + rb")*+")
_BLANK_LINE: Final = re.compile(_LINE_END + _LINE_END)
#: One event of complete ones.
_EVENT: Final = re.compile(rb"(?:[^\r\n]+(?:\r\n?|\n))*+(?:\r\n?|\n)")
#: Data without payload: keep-alives of intermediaries, and OpenAI's end of a stream.
_NO_PAYLOAD: Final = frozenset({b"", b"null", b'""', b"[DONE]"})
_DATA_LINE: Final = re.compile(rb"(?:^|[\r\n])data[:\r\n]")


class EventSplitter:
    """Lets complete events pass as bytes and holds the incomplete one back, so that something else may take its place.

    Together the results are the input without its byte order mark, however it is split. Work is linear in the number
    of bytes.
    """

    __slots__ = ("_at_start", "_held", "_max", "_too_long")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._held = bytearray()
        self._at_start = True
        self._too_long = False

    def feed(self, chunk: bytes) -> bytes:
        """The events that these bytes complete, with the blank lines that end them.

        :raises UpstreamBroken: an event exceeds the size limit; those before it were returned.
        """
        if self._too_long:
            raise _size_error(self._max)
        held = self._held
        if not held and not self._at_start and _is_complete(chunk) and len(chunk) <= self._max:
            return chunk
        unread = max(0, len(held) - 3)  # a blank line may have begun in the last three bytes
        held += chunk
        if self._at_start and not self._skip_bom():
            return b""
        complete = b""
        if held and (held[0] in b"\r\n" or _BLANK_LINE.search(held, unread)):
            complete = self._take()
        if len(held) > self._max:
            self._too_long = True
        if self._too_long and not complete:
            raise _size_error(self._max)
        return complete

    def flush(self) -> bytes:
        """The end of input: the last event, completed if its blank line is missing; empty if there is none.

        :raises UpstreamBroken: an event exceeds the size limit.
        """
        if self._too_long:
            raise _size_error(self._max)
        rest = bytes(self._held)
        self._held.clear()
        complete = sum(len(match[0]) for match in _EVENT.finditer(rest)) == len(rest)
        return rest if complete else rest + b"\n\n"

    def _skip_bom(self) -> bool:
        """Remove a byte order mark; false while there are too few bytes to tell."""
        if len(self._held) < len(_BOM) and _BOM.startswith(self._held):
            return False
        self._at_start = False
        if self._held.startswith(_BOM):
            del self._held[: len(_BOM)]
        return True

    def _take(self) -> bytes:
        """The complete events of what is held, up to the first that is too long."""
        held = self._held
        if b"\r" not in held and (end := held.rfind(b"\n\n")) >= 0:  # the usual framing
            end += 2
        else:
            match = _EVENTS.match(held)
            assert match is not None  # it may be empty
            end = match.end()
        if end > self._max:
            for event in _EVENT.finditer(self._held, 0, end):
                if len(event[0]) > self._max:
                    end, self._too_long = event.start(), True
                    break
        complete = bytes(self._held[:end])
        del self._held[:end]
        return complete


def data_spans(events: bytes) -> list[tuple[int, int]]:
    """Start and end of each event that has data, among complete events: those that ``SSEDecoder`` returns."""
    return [match.span() for match in _EVENT.finditer(events) if _DATA_LINE.search(match[0])]


def is_empty(event: Event) -> bool:
    """Whether an event has no payload, like a keep-alive whose data is not an object."""
    data = event.data.strip()
    return data in _NO_PAYLOAD or (event.name == b"ping" and not data.startswith(b"{"))


def without_empty_events(events: bytes) -> bytes:
    """Complete events without those that have no payload: some clients read these as well. Comments are kept."""
    return b"".join(match[0] for match in _EVENT.finditer(events) if not _has_no_payload(match[0]))


def _has_no_payload(piece: bytes) -> bool:
    decoder = SSEDecoder()
    events = decoder.feed(piece + b"\n")  # ends a line that ends in CR
    return decoder.dropped > 0 or any(map(is_empty, events))


def ends_with(events: bytes, data: bytes) -> bool:
    """Whether the last of complete events in the usual framing contains ``data``; false for any other framing."""
    return _is_complete(events) and events.rfind(data) > events.rfind(b"\n\n", 0, -2)


def _is_complete(chunk: bytes) -> bool:
    """Whether complete events end with ``chunk``, in the usual framing."""
    return chunk.endswith(b"\n\n") and b"\r" not in chunk


def _size_error(limit: int) -> UpstreamBroken:
    return UpstreamBroken(
        "The upstream sent a stream event that exceeds the size limit.",
        reply_started=True,
        detail=f"event of more than {limit} bytes",
    )


_is_name: Final = methodcaller("startswith", b"event: ")
_is_data: Final = methodcaller("startswith", b"data: ")


def _fast_path(chunk: bytes) -> list[bytes] | None:
    """The data of complete events of two lines each, as Anthropic frames them; None for any other framing."""
    if chunk.count(b"\n") == 3:  # one event: the usual case, as the network is faster than the model
        at = chunk.find(b"\ndata: ")
        if at < 0 or not chunk.startswith(b"event: ") or not chunk.endswith(b"\n\n") or b"\r" in chunk:
            return None
        return [chunk[at + 7 : -2]]
    lines = chunk.split(b"\n")
    if len(lines) % 3 != 1 or lines.pop() or b"\r" in chunk:  # three lines per event, and nothing after the last LF
        return None
    data_lines = lines[1::3]
    if any(lines[2::3]) or not (all(map(_is_name, lines[0::3])) and all(map(_is_data, data_lines))):
        return None
    return [line[6:] for line in data_lines]


def encode_data(data: bytes) -> bytes:
    """Frame one line of data without a name, the only form that every OpenAI client parses."""
    return b"data: " + data + b"\n\n"


def encode_named(name: bytes, data: bytes) -> bytes:
    """Frame one line of data under an event name, as Anthropic streams do."""
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
