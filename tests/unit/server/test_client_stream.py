"""Risk: two heads or two ends on one response, a keep-alive in the middle of something else or after the end, a task
that outlives its request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelmux.errors import GatewayDraining, PayloadTooLarge
from modelmux.server.body import BodyReader
from modelmux.server.body_memory import BodyMemory
from modelmux.server.client_stream import AsgiClientStream
from modelmux.server.health import Readiness
from support.clock import loop_time

pytestmark = pytest.mark.virtual_time
HEADERS = [(b"x-request-id", b"req_1")]


class Client:
    """What an ASGI server does for a response."""

    def __init__(self, body: bytes = b"{}") -> None:
        self._body = body
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.error: Exception | None = None
        self._start = loop_time()
        self.readiness = Readiness()
        self.stream = AsgiClientStream({}, self.receive, self.send, {}, BodyReader(1024, BodyMemory()), self.readiness)

    async def receive(self) -> Any:
        return {"type": "http.request", "body": self._body}

    async def send(self, message: Any) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((loop_time() - self._start, message))
        await self.reading.wait()

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for _, message in self.sent if message["type"] == "http.response.body"]

    @property
    def times(self) -> list[float]:
        return [round(time, 3) for time, message in self.sent if message["type"] == "http.response.body"]

    def heads(self) -> list[dict[str, Any]]:
        return [message for _, message in self.sent if message["type"] == "http.response.start"]


async def test_the_body_is_read_and_counted() -> None:
    client = Client(b'{"a":1}')
    assert await client.stream.body() == b'{"a":1}'
    assert client.stream.bytes_received == 7
    with pytest.raises(PayloadTooLarge):
        await Client(b"x" * 2000).stream.body()


async def test_a_json_response() -> None:
    client = Client()
    stream = client.stream
    await stream.send(b"{}", HEADERS)
    assert (stream.started, stream.ended, stream.bytes_sent) == (True, True, 2)
    (head,) = client.heads()
    assert head["status"] == 200
    assert head["headers"] == [(b"content-type", b"application/json"), (b"content-length", b"2"), *HEADERS]
    assert client.bodies == [b"{}"]


async def test_a_stream_has_one_head_and_one_end() -> None:
    client = Client()
    stream = client.stream
    assert (stream.started, stream.ended) == (False, False)
    await stream.start(HEADERS)
    await stream.start([(b"x-other", b"y")])
    await stream.write(b"abc")
    await stream.end(b"de")
    await stream.end(b"more")
    (head,) = client.heads()
    assert dict(head["headers"])[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert dict(head["headers"])[b"cache-control"] == b"no-cache"
    assert head["headers"][-1:] == HEADERS
    assert client.bodies == [b"abc", b"de"]
    assert [message.get("more_body", False) for _, message in client.sent[1:]] == [True, False]
    assert (stream.started, stream.ended, stream.bytes_sent) == (True, True, 5)


async def test_it_has_ended_as_soon_as_the_last_part_is_on_its_way() -> None:
    client = Client()
    await client.stream.start(HEADERS)
    client.reading.clear()
    ending = asyncio.create_task(client.stream.end(b"x"))
    await asyncio.sleep(1)
    assert client.stream.ended
    client.reading.set()
    await ending


async def test_at_the_end_of_a_drain_a_cancelled_request_says_so() -> None:
    client = Client()
    assert client.stream.ending is None
    client.readiness.ending = True
    assert isinstance(client.stream.ending, GatewayDraining)


# Keep-alives


def sign(idle: float) -> bytes:
    return f"{idle:g};".encode()


async def test_a_sign_of_life_is_sent_after_every_interval_of_silence() -> None:
    client = Client()
    stream = client.stream
    stream.keep_alive(15.0, sign, lambda: HEADERS)
    await asyncio.sleep(50)
    assert client.bodies == [b"15;", b"15;", b"15;"]
    assert client.times == [15.0, 30.0, 45.0]
    assert len(client.heads()) == 1, "the first starts the stream"
    await stream.stop_keep_alive()
    await asyncio.sleep(50)
    assert len(client.bodies) == 3


async def test_a_stream_that_says_something_needs_no_sign_of_life() -> None:
    client = Client()
    stream = client.stream
    stream.keep_alive(15.0, sign, lambda: HEADERS)
    await stream.start(HEADERS)
    for _ in range(10):
        await asyncio.sleep(9)
        await stream.write(b"text")
    await stream.end()
    await stream.stop_keep_alive()
    assert client.bodies.count(b"text") == 10
    assert set(client.bodies) <= {b"text", b""}


async def test_after_something_was_sent_the_silence_begins_anew() -> None:
    client = Client()
    stream = client.stream
    stream.keep_alive(10.0, sign, lambda: HEADERS)
    await asyncio.sleep(25)  # signs at 10 and 20
    await stream.write(b"text")
    await asyncio.sleep(15)
    await stream.stop_keep_alive()
    assert client.bodies == [b"10;", b"10;", b"text", b"10;"]
    assert client.times == [10.0, 20.0, 25.0, 35.0], "an interval after the text, not up to two"


async def test_a_sign_of_life_without_bytes_is_not_sent_and_the_silence_is_longer() -> None:
    client = Client()
    idles: list[float] = []

    def nothing(idle: float) -> bytes:
        idles.append(idle)
        return b""

    client.stream.keep_alive(10.0, nothing, lambda: HEADERS)
    await asyncio.sleep(35)
    await client.stream.stop_keep_alive()
    assert (client.bodies, idles) == ([], [10.0, 20.0, 30.0])
    assert len(client.heads()) == 1


async def test_nothing_is_sent_after_the_end() -> None:
    client = Client()
    client.stream.keep_alive(10.0, sign, lambda: HEADERS)
    await asyncio.sleep(15)
    await client.stream.end(b"end")
    await asyncio.sleep(100)
    assert client.bodies == [b"10;", b"end"]
    await client.stream.stop_keep_alive()


async def test_a_fast_reply_costs_no_task() -> None:
    before = asyncio.all_tasks()
    client = Client()
    client.stream.keep_alive(10.0, sign, lambda: HEADERS)
    await client.stream.start(HEADERS)
    await client.stream.end(b"x")
    assert asyncio.all_tasks() == before
    await client.stream.stop_keep_alive()
    await asyncio.sleep(100)
    assert client.bodies == [b"x"]


async def test_a_client_that_does_not_read_gets_one_sign_and_no_second() -> None:
    client = Client()
    client.stream.keep_alive(10.0, sign, lambda: HEADERS)
    client.reading.clear()
    await asyncio.sleep(100)
    assert len(client.sent) == 1
    before = asyncio.all_tasks()
    await client.stream.stop_keep_alive()
    assert len(asyncio.all_tasks()) == len(before) - 1


async def test_a_client_that_left_is_not_an_error_of_the_keep_alive() -> None:
    client = Client()
    client.stream.keep_alive(10.0, sign, lambda: HEADERS)
    client.error = ConnectionResetError()
    await asyncio.sleep(15)
    await client.stream.stop_keep_alive()


async def test_a_fault_of_the_keep_alive_is_raised_when_it_is_stopped() -> None:
    client = Client()

    def fault(_: float) -> bytes:
        raise ZeroDivisionError

    client.stream.keep_alive(10.0, fault, lambda: HEADERS)
    await asyncio.sleep(15)
    with pytest.raises(ZeroDivisionError):
        await client.stream.stop_keep_alive()
    await client.stream.stop_keep_alive()
