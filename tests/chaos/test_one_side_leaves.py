"""A client that disconnects, in any state of its request, ends all work for it at once; so does an upstream that
disconnects.

Risk: tokens that nobody reads are paid for; a connection, a place in a queue, a task that nobody gives back; usage that
is counted twice or never.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from modelmux import Config
from modelmux.app import Gateway
from support.chaos import left_over, open_files
from support.clock import current_runtime
from support.fakes import text_events
from support.http_peers import until
from support.served import Served

#: Allowed on a busy machine; what is promised is a third of it.
#: Far below the time limits of the gateway, which are minutes; how soon it is exactly, the tests in virtual time say.
LIMIT = 10.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
BUSY = b"HTTP/1.1 529 Busy\r\nretry-after: 20\r\ncontent-length: 2\r\n\r\n{}"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Peer:
    """A server that says what it is given to say, then nothing, and notices when its client closes."""

    def __init__(self, says: bytes, *, listens: bool = True) -> None:
        self.says = says
        self.listens = listens
        self.open = 0
        self.asked = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError):
            if self.listens:
                await reader.readuntil(b"\r\n\r\n")
            else:
                await reader.readexactly(1)  # of a TLS handshake
            writer.write(self.says)
            self.asked.set()
            while await reader.read(65536):
                pass
        self.open -= 1
        writer.close()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Peer]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()


@contextlib.asynccontextmanager
async def serving(upstream: Peer, scheme: str = "http", **settings: Any) -> AsyncIterator[tuple[Gateway, Served]]:
    vertex = {"project": "p", "location": "global", "base_url": f"{scheme}://127.0.0.1:{upstream.port}"}
    tables = {"vertex": vertex, "auth": {"access_token": "ya29.x"}, **settings}
    gateway = Gateway(Config.from_dict(tables), environment={}, runtime=current_runtime())
    served = Served(gateway)
    async with served.listening():
        try:
            yield gateway, served
        finally:
            await gateway.aclose()


async def ask(served: Served, content: Any = "Hi", *, stream: bool) -> asyncio.StreamWriter:
    """A client that sends a request and may leave at any time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    message = {"role": "user", "content": content}
    body = json.dumps(
        {"model": "claude-sonnet-4-6", "max_tokens": 50, "stream": stream, "messages": [message]}
    ).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    del reader
    return writer


def leave(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


def outcomes(gateway: Gateway) -> dict[str, float]:
    (family,) = gateway.metrics.requests.collect()
    counts: dict[str, float] = {}
    for sample in family.samples:
        counts[sample.labels["outcome"]] = counts.get(sample.labels["outcome"], 0) + sample.value
    return counts


async def took(true: Callable[[], bool]) -> float:
    began = time.monotonic()
    await until(true)
    return time.monotonic() - began


BOTH = pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
HOW = pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])


@pytest.mark.parametrize(
    ("says", "listens", "scheme"),
    [
        (b"", False, "https"),
        (b"", True, "http"),
        (HEAD + chunk(text_events("x")[0]), True, "http"),
        (HEAD + chunk(b"".join(text_events("x", "y")[:4])), True, "http"),
    ],
    ids=["in the TLS handshake", "before the first byte", "before content", "in the middle of the answer"],
)
@BOTH
@HOW
async def test_the_client_leaves_and_the_upstream_is_let_go(
    says: bytes, listens: bool, scheme: str, stream: bool, reset: bool
) -> None:
    before, files = asyncio.all_tasks(), open_files()
    async with Peer(says, listens=listens).listening() as upstream, serving(upstream, scheme) as (gateway, served):
        client = await ask(served, stream=stream)
        await asyncio.wait_for(upstream.asked.wait(), LIMIT)
        await asyncio.sleep(0.02)  # what it says arrives
        assert gateway.metrics.in_flight == 1
        leave(client, reset=reset)
        assert await took(lambda: upstream.open == 0) < LIMIT
        await until(lambda: gateway.metrics.in_flight == 0)
        assert outcomes(gateway) == {"client_gone": 1}
        assert sum(row[2] for row in gateway._deployments.snapshot()) == 0
    assert await left_over(before) == set()
    await until(lambda: open_files() <= files)


@BOTH
async def test_the_client_leaves_between_two_attempts(stream: bool) -> None:
    async with Peer(BUSY).listening() as upstream, serving(upstream) as (gateway, served):
        client = await ask(served, stream=stream)
        await until(lambda: gateway.metrics.retries == 0 and sum(r[2] for r in gateway._deployments.snapshot()) == 0
                    and upstream.asked.is_set())  # fmt: skip
        await asyncio.sleep(0.05)
        assert gateway.metrics.in_flight == 1, "it waits for the time the upstream asked for"
        leave(client, reset=False)
        assert await took(lambda: gateway.metrics.in_flight == 0) < LIMIT
        assert outcomes(gateway) == {"client_gone": 1}


@BOTH
async def test_the_client_leaves_the_queue(stream: bool) -> None:
    async with (
        Peer(b"").listening() as upstream,
        serving(upstream, limits={"max_concurrent_requests": 1}) as (gateway, served),
    ):
        first = await ask(served, stream=stream)
        await upstream.asked.wait()
        second = await ask(served, stream=stream)
        await until(lambda: gateway._limiter.queued == 1)
        leave(second, reset=False)
        assert await took(lambda: gateway._limiter.queued == 0) < LIMIT
        await until(lambda: gateway.metrics.in_flight == 1)
        assert len(upstream.writers) == 1, "nothing was asked for it"
        leave(first, reset=False)
        await until(lambda: gateway.metrics.in_flight == 0)
        assert outcomes(gateway) == {"client_gone": 2}
        assert gateway._limiter.running == 0


async def test_the_client_leaves_the_queue_of_a_deployment() -> None:
    models = [{"name": "claude-sonnet-4-6", "max_in_flight": 1}]
    async with Peer(b"").listening() as upstream:
        vertex = {
            "project": "p",
            "location": "global",
            "base_url": f"http://127.0.0.1:{upstream.port}",
            "models": models,
        }
        async with serving(upstream, vertex=vertex) as (gateway, served):
            first = await ask(served, stream=True)
            await upstream.asked.wait()
            second = await ask(served, stream=True)
            await until(lambda: [row[3] for row in gateway._deployments.snapshot()] == [1])
            leave(second, reset=True)
            assert await took(lambda: [row[3] for row in gateway._deployments.snapshot()] == [0]) < LIMIT
            leave(first, reset=False)
            await until(lambda: gateway.metrics.in_flight == 0)
            assert [row[2] for row in gateway._deployments.snapshot()] == [0]


async def test_the_client_leaves_while_its_image_is_fetched() -> None:
    async with (
        Peer(b"").listening() as upstream,
        Peer(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf").listening() as images,
        serving(upstream, fetch={"allow_private": ["127.0.0.0/8"], "extra_ports": [images.port]}) as (gateway, served),
    ):
        url = f"http://127.0.0.1:{images.port}/a.png"
        client = await ask(served, [{"type": "image_url", "image_url": {"url": url}}], stream=False)
        await asyncio.wait_for(images.asked.wait(), LIMIT)
        leave(client, reset=False)
        assert await took(lambda: images.open == 0) < LIMIT
        await until(lambda: gateway.metrics.in_flight == 0)
        assert outcomes(gateway) == {"client_gone": 1}
        assert not upstream.writers


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
async def test_the_upstream_leaves_and_the_client_knows(reset: bool) -> None:
    says = HEAD + chunk(b"".join(text_events("x", "y")[:4]))
    async with Peer(says).listening() as upstream, serving(upstream) as (gateway, served):
        client = await served.connect()
        body = b'{"model":"claude-sonnet-4-6","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        await client.send(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        await client.reader.readuntil(b'"content":"x"')
        began = time.monotonic()
        leave(upstream.writers[0], reset=reset)
        rest = await asyncio.wait_for(client.reader.readuntil(b"0\r\n\r\n"), LIMIT)
        assert time.monotonic() - began < LIMIT
        assert b"upstream_broken" in rest
        assert b"[DONE]" not in rest
        await until(lambda: gateway.metrics.in_flight == 0)
        assert outcomes(gateway) == {"upstream_error": 1}


async def test_usage_so_far_is_counted_once() -> None:
    events = b"".join(text_events("x", "y")[:4])
    async with Peer(HEAD + chunk(events)).listening() as upstream, serving(upstream) as (gateway, served):
        for _ in range(3):
            upstream.asked.clear()
            client = await ask(served, stream=True)
            await upstream.asked.wait()
            await asyncio.sleep(0.03)
            leave(client, reset=False)
            await until(lambda: gateway.metrics.in_flight == 0)
        tokens = gateway.metrics.registry.get_sample_value
        labels = {"route": "claude-sonnet-4-6", "type": "input"}
        assert tokens("modelmux_tokens_total", labels) == 3 * 7
