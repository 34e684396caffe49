"""Risk: a shutdown loses requests that could have finished, or ends others without an error.

Over real sockets, with the server that `modelmux serve` runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.errors import GatewayDraining
from modelmux.gateway.committed_stream import open_stream
from modelmux.gateway.event_source import EventSource
from modelmux.process.listen import listen
from modelmux.process.sd_notify import ServiceManager
from modelmux.process.server import DrainSettings, GatewayServer, gateway_config
from modelmux.providers.vertex_claude.reader import ClaudeReplyReader
from support.clock import use_runtime
from support.fakes import FakeReply, FakeUpstream, message_reply, stream_reply, text_events
from support.gateway import ask, gateway
from support.pauses import SILENCE, PausingReply
from support.served import Client
from support.streams import FakeLease, chat_encoder, record

#: Guards against hanging.
PATIENCE = 100.0
HELLO = text_events("Hello", " world")


class Slow(FakeReply):
    """A unary reply after some seconds, possibly never."""

    def __init__(self, seconds: float) -> None:
        reply = message_reply("late")
        super().__init__(200, reply.headers, reply._pieces)
        self._seconds = seconds

    async def read(self, limit: int) -> bytes:
        await asyncio.sleep(self._seconds)
        return await super().read(limit)


class Going:
    """A gateway that serves, and can be stopped."""

    def __init__(self, replies: list[FakeReply], drain: DrainSettings) -> None:
        self.upstream = FakeUpstream(replies)
        self.app: Gateway = gateway(self.upstream)
        self.server = GatewayServer(gateway_config(self.app), ServiceManager(), self._reload, self.app.readiness, drain)
        self._sock = listen("127.0.0.1", 0)
        self.port: int = self._sock.getsockname()[1]
        self.done: asyncio.Task[None] | None = None

    async def _reload(self) -> None:
        raise AssertionError("nobody asked for it")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Going]:
        self.done = asyncio.create_task(self.server._serve([self._sock]))
        while not self.server.started:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        try:
            yield self
        finally:
            self.stop()
            self.stop()
            await asyncio.wait_for(self.done, PATIENCE)
            assert self.gauge("modelmux_requests_in_flight") == 0
            assert not self.server.server_state.connections
            assert all(reply.closed for reply in self.upstream.replies)

    def stop(self) -> None:
        self.server.handle_exit(signal.SIGTERM, None)

    async def draining(self) -> None:
        """Waits until the signal has been noticed."""
        async with asyncio.timeout(PATIENCE):
            while not self.app.readiness.draining:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)

    async def stopped(self) -> None:
        """Waits for the end of the server, a small part of the drain times above."""
        assert self.done is not None
        await asyncio.wait_for(asyncio.shield(self.done), PATIENCE)

    async def connect(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    def gauge(self, name: str, **labels: str) -> float | None:
        return self.app.metrics.registry.get_sample_value(name, labels)

    def outcomes(self) -> dict[str, float]:
        samples = next(self.app.metrics.requests.collect()).samples
        return {s.labels["outcome"]: s.value for s in samples if s.name.endswith("_total")}


def post(body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(data), data)
    )


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


async def until_called(going: Going, calls: int = 1) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(going.upstream.replies) < calls:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


async def test_running_requests_finish_and_nobody_waits_longer_than_they_take() -> None:
    replies: list[FakeReply] = [PausingReply(*HELLO[:4], 0.5, *HELLO[4:]), Slow(0.5)]
    async with Going(replies, DrainSettings(timeout=3600)).running() as going:
        stream, unary, idle = [await going.connect() for _ in range(3)]
        await stream.send(post(ask(stream=True)))
        await until_called(going, 1)
        await unary.send(post(ask()))
        await until_called(going, 2)
        going.stop()
        status, headers, body = await unary.response()
        assert (status, headers["connection"], "late" in body.decode()) == (200, "close", True)
        rest = await stream.rest()
        assert b" world" in rest
        assert b"data: [DONE]" in rest
        assert await idle.rest() == b""
        await going.stopped()
        assert going.outcomes() == {"ok": 2}
        unary.close()


async def test_what_takes_longer_ends_in_band_and_is_settled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    use_runtime(monkeypatch, jitter=float)
    replies: list[FakeReply] = [PausingReply(*HELLO[:4], SILENCE), Slow(60), PausingReply(*HELLO[:2], SILENCE)]
    async with Going(replies, DrainSettings(timeout=0.2)).running() as going:
        stream, unary, unbegun = [await going.connect() for _ in range(3)]
        for number, (client, body) in enumerate([(stream, {"stream": True}), (unary, {}), (unbegun, {"stream": True})]):
            await client.send(post(ask(**body)))
            await until_called(going, number + 1)
        going.stop()
        status, headers, body = await stream.response()
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert b"Hello" in body
        assert b"[DONE]" not in body
        last = json.loads(body.strip().rpartition(b"data: ")[2])
        assert last["error"]["code"] == "gateway_draining"
        for client in (unary, unbegun):
            status, headers, body = await client.response()
            assert (status, headers["x-should-retry"]) == (503, "true")
            assert headers["retry-after"] == "1"
            assert headers["connection"] == "close"
            assert json.loads(body)["error"]["code"] == "gateway_draining"
        await going.stopped()
        assert going.outcomes() == {"drained": 3}
        assert going.app.metrics.failed == 3
        for client in (stream, unary, unbegun):
            client.close()


async def test_the_delay_serves_on_while_balancers_learn_of_it() -> None:
    async with Going([message_reply("new")], DrainSettings(delay=3, timeout=5)).running() as going:
        watcher, idle = await going.connect(), await going.connect()
        await watcher.send(get("/readyz"))
        assert (await watcher.response())[0] == 200
        going.stop()
        await going.draining()
        late = await going.connect()
        await late.send(get("/readyz"))
        status, _, body = await late.response()
        assert (status, json.loads(body)["reason"]) == (503, "draining")
        await idle.send(post(ask()))
        status, headers, body = await idle.response()
        assert (status, headers["connection"], "new" in body.decode()) == (200, "close", True)
        await going.stopped()
        with pytest.raises(ConnectionError):
            await going.connect()
        for client in (watcher, late, idle):
            client.close()


async def test_an_idle_connection_gets_an_error_while_others_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    use_runtime(monkeypatch, jitter=float)
    checked = asyncio.Event()
    async with Going([PausingReply(*HELLO[:4], checked, *HELLO[4:])], DrainSettings(timeout=3600)).running() as going:
        busy, idle, looking = [await going.connect() for _ in range(3)]
        await busy.send(post(ask(stream=True)))
        await until_called(going)
        going.stop()
        await asyncio.sleep(0.3)
        await idle.send(post(ask()))
        status, headers, body = await idle.response()
        assert (status, headers["connection"]) == (503, "close")
        assert headers["retry-after"] == "1"
        assert json.loads(body)["error"]["code"] == "gateway_draining"
        assert await idle.rest() == b""
        await looking.send(get("/readyz"))
        assert json.loads((await looking.response())[2])["reason"] == "draining"
        checked.set()
        assert b"[DONE]" in await busy.rest()
        assert len(going.upstream.calls) == 1
        looking.close()


@pytest.mark.parametrize("drain", [DrainSettings(delay=3600), DrainSettings(timeout=3600)])
async def test_a_second_signal_ends_at_once_but_in_band(drain: DrainSettings) -> None:
    async with Going([PausingReply(*HELLO[:4], SILENCE)], drain).running() as going:
        client = await going.connect()
        await client.send(post(ask(stream=True)))
        await until_called(going)
        going.stop()
        await asyncio.sleep(0.3)
        assert not going.server.force_exit
        going.stop()
        await going.stopped()
        assert b"gateway_draining" in await client.rest()


async def test_a_client_that_does_not_read_cannot_hold_the_end_up() -> None:
    flood = [text_events("x" * 500_000)[3]] * 100
    async with Going([PausingReply(*HELLO[:4], *flood, SILENCE)], DrainSettings(timeout=0.1)).running() as going:
        client = await going.connect()
        await client.send(post(ask(stream=True)))
        await until_called(going)
        await asyncio.sleep(0.3)
        going.stop()
        await going.stopped()
        client.close()


async def test_a_stream_whose_last_bytes_wait_for_the_client_has_one_end() -> None:
    async with Going(
        [PausingReply(b"".join(text_events("x" * 8_000_000)))], DrainSettings(timeout=0.2)
    ).running() as going:
        client = await going.connect()
        await client.send(post(ask(stream=True)))
        await until_called(going)
        await asyncio.sleep(0.2)
        going.stop()
        await asyncio.sleep(0.4)
        got = await client.rest()
        assert got.count(b"data: [DONE]") + got.count(b"gateway_draining") == 1
        assert got.endswith(b"\n\n\r\n0\r\n\r\n")


async def test_a_stream_that_has_ended_takes_no_error_behind_its_end() -> None:
    reply = stream_reply(*HELLO)
    source = EventSource(reply, ClaudeReplyReader())
    stream = await open_stream(chat_encoder(), source, reply, FakeLease(), record())  # type: ignore[arg-type]
    while not stream.is_over:
        await stream.read()
    stream.ended = True
    assert stream.fail(GatewayDraining("The gateway is shutting down.")) == b""
    assert stream.record.error is None
    await stream.aclose()
