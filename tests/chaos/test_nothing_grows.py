"""Risk: every failed request leaves a little in memory, until a process that runs for weeks is full."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Final

import pytest

from support.chaos import World, left_over, open_files, world

#: Some of every kind; those that wait for a clock are left out.
WORDS: Final = (
    "status=400", "status=403 shape=google", "status=429", "status=529", "html", "reset", "close", "garbage",
    "truncate_after_byte=40", "reset_after_event=2", "close_after_event=5", "error_after_event=2",
    "error_after_event=5", "chunk=50", "unknown_event",
)  # fmt: skip
#: Bytes a request may leave on average: what caches fill up with once, and the allocator's own ways.
ALLOWED: Final = 200


pytestmark = pytest.mark.usefixtures("no_waiting")


async def all_of_them(here: World) -> None:
    for kind in ("unary", "stream"):
        for words in WORDS:
            await here.ask(f"Hello [[emulator: {words}]]", kind)


async def test_memory_files_and_tasks_do_not_grow() -> None:
    async with world(retries={"max": 1}) as here:
        for _ in range(6):  # caches fill, histories of breakers too, the emulator's book of requests
            await all_of_them(here)
        await here.settle()
        tasks, files = asyncio.all_tasks(), open_files()
        gateway_only = [
            tracemalloc.Filter(inclusive=True, filename_pattern=f"*/modelmux/{part}/*")
            for part in ("gateway", "server", "upstream", "translate", "wire", "routing", "telemetry")
        ]
        gc.collect()
        tracemalloc.start(1)
        await all_of_them(here)
        await here.settle()
        gc.collect()
        first = tracemalloc.take_snapshot().filter_traces(gateway_only)
        rounds = 6
        for _ in range(rounds):
            await all_of_them(here)
        await here.settle()
        gc.collect()
        second = tracemalloc.take_snapshot().filter_traces(gateway_only)
        tracemalloc.stop()
        requests = rounds * 2 * len(WORDS)
        grown = sum(stat.size_diff for stat in second.compare_to(first, "lineno"))
        assert grown / requests < ALLOWED, second.compare_to(first, "lineno")[:8]
        assert await left_over(tasks) == set()
        assert open_files() <= files + 2, "one more idle connection is not a leak"
        assert here.counted("modelmux_deployment_in_flight") == 0
        assert here.gateway._upstream.open <= 4  # type: ignore[attr-defined]
