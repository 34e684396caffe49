"""A request that was captured, with its record, in a state directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelmux.store.captures.record import CaptureBounds, Exchanged, Sent, SentAttempt, encode
from modelmux.store.captures.sqlite_captures import CapturesFile, add
from modelmux.store.traces.record import Trace
from support.traces import trace, write

BOUNDS = CaptureBounds(10_000, 10**6, 100, 3, keeps_files=True)


def keep(path: Path, shown: Trace, body: bytes, reply: bytes = b"data: reply", response: bytes = b"response") -> None:
    """What was captured of a request, beside its record: two attempts, of which the first got a reply."""
    attempts = (SentAttempt(1, b'{"max_tokens":1}', Sent((reply,), len(reply))), SentAttempt(2, b"{}", None))
    sent = Exchanged("/v1/messages", {"anthropic-beta": "b"}, body, Sent((response,), 50), attempts)
    connection = CapturesFile(path).open(5.0)
    try:
        add(BOUNDS, connection, [(shown.request, encode(shown.request, sent, BOUNDS))], shown.request.at)
    finally:
        connection.close()


def keep_with_record(folder: Path, at: int, row_id: str, body: bytes, **fields: Any) -> Trace:
    """:param at: microseconds in UTC."""
    shown = trace(1, at=at, row_id=row_id, is_captured=True, **fields)
    write(folder / "traces.db", [shown], at)
    keep(folder / "captures.db", shown, body)
    return shown
