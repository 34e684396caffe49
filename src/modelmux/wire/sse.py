"""Server-sent events: bytes <-> events, without I/O and without knowing what the data means.

The decoder takes the bytes in whatever pieces the network made of them and gives the same events for every way of
cutting (tests/properties/test_split_law.py). It follows the WHATWG event-stream grammar: lines end in LF, CR or
CRLF, several ``data:`` lines are joined by LF, comments and unknown fields are skipped, an event needs data.
"""

from __future__ import annotations

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
    """Incremental decoder. Work is linear in the number of bytes, however they are cut."""

    __slots__ = ("_at_start", "_data", "_data_size", "_max", "_name", "_partial", "_partial_size", "_skip_lf")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._partial: list[bytes] = []  # pieces of a line whose end has not come yet
        self._partial_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._name = b""
        self._skip_lf = False  # the last line ended in CR: an LF that follows belongs to it
        self._at_start = True

    def feed(self, chunk: bytes) -> list[Event]:
        """Decode the next bytes; return the events they completed.

        :raises UpstreamBroken: when an event exceeds the size bound.
        """
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[0] == 0x0A:
                chunk = chunk[1:]
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if not end:
            self._keep(chunk)
            return []
        complete, rest = chunk[:end], chunk[end:]
        if self._partial:
            self._partial.append(complete)
            complete = b"".join(self._partial)
            self._partial.clear()
            self._partial_size = 0
        if rest:
            self._keep(rest)
        elif complete[-1] == 0x0D:
            self._skip_lf = True
        if self._at_start:
            self._at_start = False
            complete = complete.removeprefix(_BOM)
        return self._dispatch(complete.splitlines())

    def flush(self) -> list[Event]:
        """What the end of input leaves: the event whose closing blank line never came, if any.

        The grammar drops it; some servers end their last event without the blank line, so the caller gets it and
        decides by its content, which is only complete JSON if nothing was cut.
        """
        tail = b"".join(self._partial)
        self._partial.clear()
        self._partial_size = 0
        return self._dispatch([tail, b""] if tail else [b""])

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
            elif line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                self._data.append(value)
                self._data_size += len(value)
                self._check(self._data_size)
            elif line.startswith(b"event:"):
                self._name = line[7:] if line[6:7] == b" " else line[6:]
            elif line == b"data":  # a field without a colon has an empty value
                self._data.append(b"")
        return events

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._partial.append(piece)
            self._partial_size += len(piece)
            self._check(self._partial_size + self._data_size)

    def _check(self, size: int) -> None:
        if size > self._max:
            raise UpstreamBroken(
                "The upstream sent a stream event larger than the gateway accepts.",
                reply_started=True,
                detail=f"event of more than {self._max} bytes",
            )


def encode_data(data: bytes) -> bytes:
    """Frame one line of data, the only form that every OpenAI client parses."""
    return b"data: " + data + b"\n\n"


def encode_named(name: bytes, data: bytes) -> bytes:
    """Frame one line of data under an event name, as Anthropic streams do."""
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
