"""The trace that a request or a call belongs to, by the header ``traceparent`` (W3C Trace Context, level 1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

HEADER: Final = b"traceparent"
_STATE: Final = b"tracestate"
#: The specification asks to pass on 512 characters at least.
_SENT_STATE: Final = re.compile(rb"[\x20-\x7e\t]{1,2048}")
_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
#: A version that does not exist; and the one that has these four fields and no more.
_INVALID: Final = b"ff"
_KNOWN: Final = b"00"
_SAMPLED: Final = 1


class TraceContext(Struct, frozen=True):
    """
    :param trace_id: 32 hexadecimal digits. :param parent_id: of the client's span, 16.
    :param sampled: the client records the trace.
    """

    trace_id: str
    parent_id: str
    sampled: bool


class SentContext(Struct, frozen=True):
    """What a call says of the trace that it belongs to.

    :param span_id: of the call's own span, 16 hexadecimal digits. :param sampled: the trace was chosen before the call.
    :param state: what the client's own tracing system says of it, as it came; empty if it said nothing.
    """

    trace_id: str
    span_id: str
    sampled: bool
    state: bytes = b""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """``traceparent``, and ``tracestate`` where there is one."""
        parent = f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}".encode()
        return [(HEADER, parent), *([(_STATE, self.state)] if self.state else ())]


def read_trace_state(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """What a request with a valid context says beside it; nothing, where that could make a call fail.

    :param headers: with names in lower case.
    """
    state = b",".join(value for name, value in headers if name == _STATE)
    return state if _SENT_STATE.fullmatch(state) else b""


def read_trace_context(headers: Sequence[tuple[bytes, bytes]]) -> TraceContext | None:
    """That of a request; None without one, and where the header is not valid or comes twice. Of a later version the
    four fields of the first one are read.

    :param headers: with names in lower case.
    """
    sent = [value for name, value in headers if name == HEADER]
    match = _PARENT.fullmatch(sent[0].strip(b" \t")) if len(sent) == 1 else None
    if match is None:
        return None
    version, trace, parent, flags, more = match.groups()
    if version == _INVALID or (version == _KNOWN and more) or not trace.strip(b"0") or not parent.strip(b"0"):
        return None
    return TraceContext(trace.decode(), parent.decode(), bool(int(flags, 16) & _SAMPLED))
