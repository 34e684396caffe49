"""Risk: many large requests take the memory of the machine, and a request that waits holds several times its size.
Real sockets; bytes are counted, by the budget and by tracemalloc."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelmux import Config
from modelmux.app import Gateway
from support.clock import current_runtime
from support.fakes import FakeTokens
from support.http_peers import until
from support.served import Served

SIZE = 1_000_000


class Waiting:
    """An upstream that never replies."""

    def __init__(self) -> None:
        self.calls = 0

    async def send(self, call: Any) -> Any:
        self.calls += 1
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        return None


@contextlib.asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[tuple[Gateway, Served, Waiting]]:
    upstream = Waiting()
    config = Config.from_dict({"vertex": {"project": "p", "location": "global"}, "limits": limits})
    gateway = Gateway(config, upstream=upstream, tokens=FakeTokens(), environment={}, runtime=current_runtime())
    served = Served(gateway)
    async with served.listening():
        try:
            yield gateway, served, upstream
        finally:
            await gateway.aclose()


def message(path: str, size: int, *, store: bool = False) -> tuple[bytes, bytes]:
    """Head and body."""
    if path == "/v1/responses":
        fields: dict[str, Any] = {"input": "x" * size, "store": store}
    else:
        fields = {"max_tokens": 9, "messages": [{"role": "user", "content": "x" * size}]}
    body = json.dumps({"model": "claude-sonnet-4-6", **fields}).encode()
    lines = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return lines.encode() + b"content-length: %d\r\n" % len(body), body


async def connect(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", served.port)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_body_without_memory_left_is_rejected_before_it_is_sent(path: str) -> None:
    head, body = message(path, SIZE)
    async with serving(body_memory=int(1.5 * SIZE)) as (gateway, served, upstream):
        _, first = await connect(served)
        first.write(head + b"\r\n" + body)
        await until(lambda: upstream.calls == 1)
        assert gateway.body_memory.used == len(body)
        reader, writer = await connect(served)
        writer.write(head + b"expect: 100-continue\r\n\r\n")  # it sends its body when it is asked to
        response = await reader.readuntil(b"\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: " in response
        assert gateway.metrics.shed.values == {("body_memory",): 1}
        writer.close()
        first.close()
        await until(lambda: gateway.body_memory.used == 0)
        _, second = await connect(served)
        second.write(head + b"\r\n" + body)
        await until(lambda: upstream.calls == 2)
        second.close()
        await until(lambda: gateway.body_memory.used == 0)


async def test_what_is_announced_and_not_sent_takes_no_memory() -> None:
    head, body = message("/v1/chat/completions", SIZE)
    async with serving(body_memory=int(1.5 * SIZE)) as (_, served, upstream):
        idle = [await connect(served) for _ in range(20)]
        for _, writer in idle:
            writer.write(head + b"\r\n" + body[:100])
        _, writer = await connect(served)
        writer.write(head + b"\r\n" + body)
        await until(lambda: upstream.calls == 1)
        for _, one in [*idle, (None, writer)]:
            one.close()


@pytest.mark.parametrize("size", [SIZE, 3 * SIZE])  # the larger one is decoded in a thread
@pytest.mark.parametrize(
    ("path", "store", "times"),
    [
        ("/v1/chat/completions", False, 1),
        ("/v1/responses", False, 1),
        ("/v1/responses", True, 2),
        ("/v1/messages", False, 1),
    ],
)
async def test_a_queued_request_holds_about_its_own_size(path: str, store: bool, times: int, size: int) -> None:
    """Of Chat Completions and Responses it is decoded, and its bytes are gone; of Responses that are stored there are
    the items to store besides. Of Messages there are the client's bytes, and they are decoded again afterwards."""
    count = 6
    head, body = message(path, size, store=store)
    async with serving(max_concurrent_requests=1, queue_timeout="60s") as (gateway, served, upstream):
        _, running = await connect(served)
        running.write(b"".join([message(path, 10)[0], b"\r\n", message(path, 10)[1]]))
        await until(lambda: upstream.calls == 1)
        gateway._limiter._admission._min_wait = 60.0  # nobody is to be rejected in this test
        writers = [(await connect(served))[1] for _ in range(count)]
        gc.collect()
        tracemalloc.start()
        try:
            for number, writer in enumerate(writers, 1):
                writer.write(head + b"\r\n" + body)
                await writer.drain()
                await until(lambda number=number: gateway._limiter.queued == number)  # type: ignore[misc]
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert gateway.body_memory.used == count * len(body) + len(message(path, 10)[1])
        running.close()
        await until(lambda: upstream.calls == 2)
        for writer in writers:
            writer.close()
    assert held / count < (times + 0.15) * len(body), held / count / len(body)
