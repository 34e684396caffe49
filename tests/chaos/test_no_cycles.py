"""Risk: reference cycles between the objects of a request keep its memory until the garbage collector runs.

Everything that a request creates is freed at its end by reference counts alone, so the collector can run rarely.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter

import pytest

from support.chaos import World, world

CASES = [
    ("unary", ""), ("stream", ""), ("buffered", ""), ("single", ""),
    ("unary", "status=400"), ("stream", "status=400"), ("unary", "status=529 times=1"), ("unary", "reset"),
    ("stream", "reset_after_event=5"), ("stream", "error_after_event=5"), ("stream", "truncate_after_event=2"),
]  # fmt: skip


async def ask(here: World, kind: str, words: str) -> None:
    """Over a connection of its own, without an SDK, which has circles of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", here.served.port)
    directive = f"[[emulator: {words}]]" if words else ""
    body = {"model": "claude-sonnet-4-6", "max_tokens": 50, "stream": kind != "unary",
            "messages": [{"role": "user", "content": f"Hello {directive}"}]}  # fmt: skip
    data = json.dumps(body).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    head += b"content-type: application/json\r\n"
    writer.write(head + b"content-length: %d\r\n\r\n" % len(data) + data)
    await reader.read()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(("kind", "words"), CASES)
@pytest.mark.usefixtures("no_waiting")
async def test_a_request_leaves_no_circle(kind: str, words: str) -> None:
    mode = kind if kind in ("buffered", "single") else "standard"
    async with world(streaming={"mode": mode}, retries={"max": 1}) as here:
        for _ in range(3):
            await ask(here, kind, words)
        await here.settle()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(5):
                await ask(here, kind, words)
            await here.settle()
            gc.collect()
            left = Counter(f"{type(o).__module__}.{type(o).__qualname__}" for o in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    ours = {name: count for name, count in left.items() if name.startswith(("modelmux.", "httptools.")) and
            not name.startswith("modelmux.emulator")}  # fmt: skip
    # The upstream's own connections are the test's too: those that a fault ended leave what the emulator made of them.
    assert not ours, ours
