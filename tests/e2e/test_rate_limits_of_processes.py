"""A limit of a key, through four workers.

Risk: workers that decide alone pass the limit together; what a client that left had running, or a worker that was
killed, stays taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.cli import run_process
from support.processes import Process
from support.workers import children, serving, until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]
WORKERS = 4
LIMIT = 40
SLOTS = 9
BODY: dict[str, Any] = {
    "model": "claude-sonnet-4-6", "max_tokens": 1000,
    "messages": [{"role": "user", "content": f"say exactly: {' '.join(['word'] * 300)}"}],
}  # fmt: skip

Start = Callable[..., "Gateway"]


class Gateway:
    """A gateway with four workers, and a key with limits. Each request has a connection of its own: each worker takes
    some."""

    def __init__(self, process: Process, secret: str) -> None:
        self.process = process
        self.headers = {"authorization": f"Bearer {secret}"}

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.process.url, headers=self.headers, timeout=100, verify=False)

    async def ask(self) -> int:
        async with self.client() as client:
            return (await client.post("/v1/messages", json=BODY)).status_code

    @contextlib.asynccontextmanager
    async def stream(self) -> AsyncIterator[int]:
        """The status of a stream that runs."""
        async with self.client() as client, client.stream("POST", "/v1/messages", json=BODY | {"stream": True}) as one:
            yield one.status_code

    async def leave(self, seconds: float) -> None:
        """Begin a stream, and leave."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self.stream():
                await asyncio.sleep(60)

    async def check_slots(self) -> None:
        """As many streams as there are slots run at once, and no more."""
        async with contextlib.AsyncExitStack() as running:
            end = time.monotonic() + 60
            for _ in range(SLOTS):
                while (status := await running.enter_async_context(self.stream())) != 200:
                    assert status == 429
                    assert time.monotonic() < end, "a slot is lost"
                    await asyncio.sleep(0.05)  # until it is noticed that clients have left
            assert Counter([await self.ask() for _ in range(4)]) == {429: 4}
            reloads = self.process.output().count("reloaded")
            self.process.signal(signal.SIGHUP)
            await asyncio.to_thread(until, lambda: self.process.output().count("reloaded") > reloads)
            assert Counter([await self.ask() for _ in range(4)]) == {429: 4}, "what runs still counts"


@pytest.fixture
def start(serve: Callable[..., Process], emulate: Callable[..., Process], tmp_path: Path) -> Start:
    def begin(tokens_per_second: int, *limits: str) -> Gateway:
        text = f'[vertex]\nproject = "p"\nlocation = "global"\n[server]\nstate_dir = "{tmp_path}"\n'
        (tmp_path / "config.toml").write_text(f"{text}[accounts]\nenabled = true\n")
        command = ("keys", "create", "--name", "ci", *limits, "--config", str(tmp_path / "config.toml"))
        created = run_process(*command, home=tmp_path)
        assert created.code == 0, created.stderr
        upstream = emulate("--tokens-per-second", str(tokens_per_second))
        server = f'workers = {WORKERS}\nstate_dir = "{tmp_path}"'
        gateway = serve(upstream.url, server=server, more="\n[accounts]\nenabled = true\n")
        return Gateway(gateway, created.stdout.strip())

    return begin


def test_g68_four_workers_pass_no_more_than_the_limit(start: Start) -> None:
    gateway = start(0, "--rpm", str(LIMIT))

    async def storm() -> Counter[int]:
        statuses: Counter[int] = Counter()
        for _ in range(3):
            statuses.update(await asyncio.gather(*(gateway.ask() for _ in range(30))))
        return statuses

    began = time.monotonic()
    statuses = asyncio.run(storm())
    minutes = 1 + (time.monotonic() - began) // 60  # one, unless the machine is very slow
    assert set(statuses) == {200, 429}
    assert LIMIT <= statuses[200] <= minutes * (LIMIT + WORKERS - 1)


def test_a46_slots_are_free_after_many_aborts_and_after_workers_were_killed(start: Start) -> None:
    gateway = start(2, "--concurrent", str(SLOTS))

    async def abort() -> None:
        for number in range(10):
            await asyncio.gather(*(gateway.leave(0.02 * number) for _ in range(20)))
        await gateway.check_slots()

    async def kill() -> None:
        async with contextlib.AsyncExitStack() as running:
            for _ in range(SLOTS):
                await running.enter_async_context(gateway.stream())
            victims = children(gateway.process.pid)
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            await asyncio.to_thread(until, lambda: not set(victims) & set(children(gateway.process.pid)))
            await asyncio.to_thread(until, lambda: _serving(gateway.process) == WORKERS)
        await gateway.check_slots()

    asyncio.run(abort())
    asyncio.run(kill())


def _serving(gateway: Process) -> int:
    """0 while none can be asked."""
    with contextlib.suppress(OSError):
        return serving(gateway)
    return 0
