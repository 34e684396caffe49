"""One gateway between the real SDK and a misbehaving emulator, over real sockets, and what each side saw of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

from modelmux import Config
from modelmux.app import Gateway
from modelmux.emulator import EmulatorSettings
from support.clock import current_runtime
from support.emulator_server import running
from support.http_peers import until
from support.served import Served

MODEL = "claude-sonnet-4-6"
#: Short, so that a silence ends soon; long enough for a busy machine.
TIMEOUTS = {"first_byte": 0.4, "idle": 0.4}


@dataclass
class Seen:
    """What the client saw. ``error`` is what the SDK raised."""

    text: str = ""
    finish: str | None = None
    error: openai.APIError | None = None
    pieces: list[str] = field(default_factory=list)

    @property
    def status(self) -> int | None:
        """The HTTP status of an error; 200 for one inside a stream."""
        return getattr(self.error, "status_code", 200)


class World:
    """Client, gateway and emulator in one loop."""

    def __init__(self, gateway: Gateway, client: openai.AsyncOpenAI, emulator: Any, served: Served) -> None:
        self.gateway = gateway
        self.client = client
        self.emulator = emulator
        self.served = served

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The requests that the emulator received."""
        requests: list[dict[str, Any]] = self.emulator.app.requests()
        return requests

    def counted(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return sum(
            sample.value
            for metric in self.gateway.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def ask(self, text: str, kind: str = "unary", *, model: str = MODEL, **fields: Any) -> Seen:
        """:param kind: ``unary``, ``stream``, or ``folded`` for a unary response that is streamed upstream."""
        seen = Seen()
        if kind == "unary":
            fields = {"max_tokens": 500, **fields}
        try:
            if kind == "stream":
                await self._stream(seen, text, model, fields)
            else:
                messages: Any = [{"role": "user", "content": text}]
                reply = await self.client.chat.completions.create(model=model, messages=messages, **fields)
                seen.text, seen.finish = reply.choices[0].message.content or "", reply.choices[0].finish_reason
        except openai.APIError as error:
            seen.error = error
        return seen

    async def _stream(self, seen: Seen, text: str, model: str, fields: dict[str, Any]) -> None:
        messages: Any = [{"role": "user", "content": text}]
        chunks = await self.client.chat.completions.create(model=model, messages=messages, stream=True, **fields)
        async with chunks:
            async for chunk in chunks:
                for choice in chunk.choices:
                    seen.text += choice.delta.content or ""
                    if choice.delta.content:
                        seen.pieces.append(choice.delta.content)
                    seen.finish = choice.finish_reason or seen.finish

    async def settle(self) -> None:
        """Waits until all sides have noticed the end."""
        await until(lambda: all(call["outcome"] != "running" for call in self.calls))
        await until(lambda: self.counted("modelmux_requests_in_flight") == 0)
        await until(
            lambda: self.counted("modelmux_deployment_in_flight") == 0
        )  # after the request: replies are drained


@contextlib.asynccontextmanager
async def world(*, emulator: EmulatorSettings | None = None, **settings: Any) -> AsyncIterator[World]:
    """:param settings: tables of the configuration, merged over a minimal one with short timeouts."""
    async with running(emulator or EmulatorSettings(tokens_per_second=0)) as upstream:
        vertex = {"project": "p", "location": "global", "base_url": upstream.base_url} | settings.pop("vertex", {})
        tables = {"vertex": vertex, "auth": {"access_token": "ya29.x"}, "timeouts": TIMEOUTS} | settings
        gateway = Gateway(Config.from_dict(tables), environment={}, runtime=current_runtime())
        served = Served(gateway)
        async with served.listening():
            client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{served.port}/v1", api_key="x", max_retries=0)
            try:
                yield World(gateway, client, upstream, served)
            finally:
                await client.close()
                await gateway.aclose()


def open_files() -> int:
    """The open file descriptors of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def left_over(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Tasks that were not there before and still run. The garbage collector closes generators of the SDK in tasks."""
    for _ in range(1000):
        gc.collect()
        left = {task for task in asyncio.all_tasks() - before if not task.done()}
        if not left:
            break
        await asyncio.sleep(0.005)
    return left
