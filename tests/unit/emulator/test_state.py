"""The log of requests is bounded."""

from __future__ import annotations

from typing import Any

from modelmux.emulator.state import RequestLog
from support.emulator_calls import ask, body_of, emulator


async def test_only_the_last_requests_are_logged() -> None:
    app = emulator(keep_requests=3)
    for n in range(5):
        await ask(app, body_of(str(n)))
    assert [r["number"] for r in app.requests()] == [3, 4, 5]


def test_large_bodies_evict_older_ones() -> None:
    class Entry:
        body = bytes(20 * 1024 * 1024)

    log = RequestLog(max_entries=100)
    for _ in range(5):
        entry: Any = Entry()
        log.add(entry)
        log.record_body(entry)
    assert len(log._entries) == 3
