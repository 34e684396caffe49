"""Risk: paid calls for clients that have left, one key or one model that takes everything, requests that are lost while
the queue is full. Real sockets; what is asserted are counts. ``make overload`` measures times."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

from modelmux import Config
from modelmux.app import Gateway
from modelmux.server.loop_lag import MAX_LAG, MEASUREMENTS
from support.clock import current_runtime
from support.fakes import message_reply
from support.http_peers import until
from support.served import Served

PATH = "/v1/chat/completions"


class Upstream:
    """Counts calls by model, and replies to each once it may."""

    def __init__(self) -> None:
        self.calls = list[str]()
        self.may_reply = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = await message_reply().read(100_000)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length[15:]))
                self.calls.append(head.partition(b"/models/")[2].partition(b":")[0].decode())
                await self.may_reply.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                             % (len(body), body))  # fmt: skip
        writer.close()


@contextlib.asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[tuple[Gateway, Served, Upstream]]:
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    vertex = {"project": "p", "location": "global", "base_url": f"http://127.0.0.1:{port}"}
    config = Config.from_dict({"vertex": vertex, "auth": {"access_token": "ya29.x"}, **settings})
    gateway = Gateway(config, environment={}, runtime=current_runtime())
    served = Served(gateway)
    async with served.listening():
        try:
            yield gateway, served, upstream
        finally:
            await gateway.aclose()
            server.close()


def message(model: str = "claude-sonnet-4-6", key: str = "sk-a") -> bytes:
    body = json.dumps({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nauthorization: Bearer {key}\r\n"
    )
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


async def ask(served: Served, **fields: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(message(**fields))
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1])


async def test_no_call_is_made_for_clients_that_left_while_the_loop_was_busy() -> None:
    """They connect, ask and leave while the loop does something else: all of that waits in the kernel."""
    async with serving() as (gateway, served, upstream):
        loop = asyncio.get_running_loop()

        def ask_and_leave() -> None:  # in this thread, so the loop does nothing meanwhile
            for _ in range(50):
                with socket.create_connection(("127.0.0.1", served.port)) as client:
                    client.sendall(message())

        loop.call_soon(ask_and_leave)
        await until(lambda: gateway.metrics.total == 50 and gateway.metrics.in_flight == 0)
        assert upstream.calls == []
        assert gateway.metrics.requests.values == {("unknown", "client_gone"): 50}, "not even decoded"
        upstream.may_reply.set()
        assert await ask(served) == 200


async def test_a_key_that_floods_leaves_the_next_slot_to_another() -> None:
    limits = {"max_concurrent_requests": 1, "max_queued_requests": 6, "queue_timeout": "60s"}
    async with serving(limits=limits, server={"api_keys": ["sk-a", "sk-b"]}) as (gateway, served, upstream):
        running = asyncio.create_task(ask(served))
        await until(lambda: len(upstream.calls) == 1)
        flood = [asyncio.create_task(ask(served)) for _ in range(20)]
        await until(lambda: gateway.metrics.shed.values == {("queue_full",): 14})
        other = asyncio.create_task(ask(served, key="sk-b", model="claude-opus-4-8"))
        await until(lambda: gateway.metrics.shed.values == {("queue_full",): 15})
        upstream.may_reply.set()
        assert (await running, await other) == (200, 200)
        assert sorted([await task for task in flood]) == [200] * 5 + [503] * 15
        assert len(upstream.calls) == 7
        assert "opus" in upstream.calls[1] or "opus" in upstream.calls[2], "its turn came at once"


async def test_one_model_leaves_a_tenth_of_the_slots_to_others() -> None:
    limits = {"max_concurrent_requests": 20, "queue_timeout": "60s"}
    async with serving(limits=limits) as (gateway, served, upstream):
        hanging = [asyncio.create_task(ask(served)) for _ in range(25)]
        await until(lambda: len(upstream.calls) == 18)
        others = [asyncio.create_task(ask(served, model="claude-opus-4-8")) for _ in range(2)]
        await until(lambda: len(upstream.calls) == 20)
        assert [call.startswith("claude-opus") for call in upstream.calls[18:]] == [True, True]
        assert gateway.metrics.in_flight == 27
        upstream.may_reply.set()
        assert await asyncio.gather(*hanging, *others) == [200] * 27


async def test_a_loop_that_lags_sheds_and_is_not_ready() -> None:
    async with serving() as (gateway, served, upstream):
        upstream.may_reply.set()
        gateway.readiness.loop_lag.start()
        gateway.readiness.loop_lag.stop()  # its measurements are the test's
        for _ in range(MEASUREMENTS):
            gateway.readiness.loop_lag.record(MAX_LAG)
        assert await ask(served) == 503
        assert gateway.metrics.shed.values == {("event_loop_lag",): 1}
        assert await status(served, "/readyz") == 503
        assert await status(served, "/livez") == 200
        gateway.readiness.loop_lag.record(0.0)
        assert await ask(served) == 200
        assert await status(served, "/readyz") == 200
        assert len(upstream.calls) == 1


async def status(served: Served, path: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1])
