"""Risk: a body that costs memory without limit, one that is read although it cannot be used, an error that its client
never sees because it still sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from modelmux.errors import GatewayError, GatewayOverloaded, InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.server.body import BodyReader, check_headers
from modelmux.server.body_memory import BURST, BodyMemory
from modelmux.server.responses import Receive


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    return await BodyReader(limit, BodyMemory()).read(headers, receive)


class Sender:
    """A client that sends these parts."""

    def __init__(self, *parts: bytes, gone: bool = False) -> None:
        self.messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": part, "more_body": gone or number < len(parts) - 1}
            for number, part in enumerate(parts)
        ]
        if gone:
            self.messages.append({"type": "http.disconnect"})

    async def receive(self) -> Any:
        return self.messages.pop(0)


@pytest.mark.parametrize("parts", [[b"abcdef"], [b"abc", b"def"], [b"", b"abc", b"", b"def", b""], [b"abcdef", b""]])
async def test_the_parts_of_a_body_are_one_body(parts: list[bytes]) -> None:
    assert await read_body({}, Sender(*parts).receive, 6) == b"abcdef"


async def test_an_empty_body_is_a_body() -> None:
    assert await read_body({}, Sender(b"").receive, 6) == b""
    messages: list[Any] = [{"type": "http.request"}]

    async def bare() -> Any:  # both keys are optional
        return messages.pop()

    assert await read_body({}, bare, 6) == b""


async def test_a_client_that_leaves_while_it_sends() -> None:
    with pytest.raises(ClientDisconnected):
        await read_body({}, Sender(b"abc", gone=True).receive, 6)


async def test_a_body_above_the_limit_is_read_and_rejected() -> None:
    sender = Sender(b"x" * 1024, b"x" * 1024, b"x")
    with pytest.raises(PayloadTooLarge):
        await read_body({}, sender.receive, 2048)
    assert sender.messages == [], "it was read, so its client sees the error"


async def test_a_body_far_above_the_limit_is_not_read_to_its_end() -> None:
    sender = Sender(*[b"x" * 1024] * 20)
    with pytest.raises(PayloadTooLarge):
        await read_body({}, sender.receive, 1024)
    assert len(sender.messages) == 20 - 5


async def test_a_body_that_is_announced_far_above_the_limit_is_not_read() -> None:
    sender = Sender(b"x")
    with pytest.raises(PayloadTooLarge):
        await read_body({b"content-length": b"4097"}, sender.receive, 1024)
    assert len(sender.messages) == 1
    assert await read_body({b"content-length": b"4096"}, Sender(b"x").receive, 1024) == b"x", "what arrives counts"


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"", b"x", "٣".encode()])
async def test_an_invalid_length_is_an_error(length: bytes) -> None:
    with pytest.raises(InvalidRequest, match="content-length"):
        await read_body({b"content-length": length}, Sender(b"x").receive, 1024)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, None),
        ({b"content-type": b"application/json"}, None),
        ({b"content-type": b"Application/JSON; charset=utf-8"}, None),
        ({b"content-type": b"application/vnd.api+json"}, None),
        ({b"content-type": b" APPLICATION/JSON ;charset=utf-8"}, None),
        ({b"content-type": b"text/json"}, None),
        ({b"content-type": b"text/plain"}, "must be JSON"),
        ({b"content-type": b"text/plain; json"}, "must be JSON"),
        ({b"content-type": b"text/plain;application/json"}, "must be JSON"),
        ({b"content-type": b"text/plain, application/json"}, "must be JSON"),
        ({b"content-type": b"application/json, text/plain"}, "must be JSON"),
        ({b"content-type": b"application/jsonp"}, "must be JSON"),
        ({b"content-type": b"application/x-www-form-urlencoded+jsonx"}, "must be JSON"),
        ({b"content-type": b"json"}, "must be JSON"),
        ({b"content-type": b"multipart/form-data; boundary=x"}, "must be JSON"),
        ({b"content-type": b""}, "must be JSON"),
        ({b"content-encoding": b"identity"}, None),
        ({b"content-encoding": b" "}, None),
        ({b"content-encoding": b"gzip"}, "Compressed"),
        ({b"content-encoding": b"identity, gzip"}, "Compressed"),
    ],
)
def test_headers_that_rule_a_body_out(headers: dict[bytes, bytes], error: str | None) -> None:
    if error is None:
        check_headers(headers)
        return
    with pytest.raises(UnsupportedMediaType, match=error) as caught:
        check_headers(headers)
    assert isinstance(caught.value, GatewayError)
    assert caught.value.hint


async def test_a_body_that_does_not_fit_is_not_read() -> None:
    rejected = list[int]()
    memory = BodyMemory(10, lambda: rejected.append(1))
    first = BodyReader(100, memory)
    assert await first.read({b"content-length": b"8"}, Sender(b"x" * 8).receive) == b"x" * 8
    sender = Sender(b"abc")
    with pytest.raises(GatewayOverloaded) as caught:
        await BodyReader(100, memory).read({b"content-length": b"3"}, sender.receive)
    assert len(sender.messages) == len(rejected) == 1
    assert caught.value.retry_after
    assert await BodyReader(100, memory).read({b"content-length": b"2"}, Sender(b"ab").receive) == b"ab"
    first.release()
    first.release()
    assert memory.used == 2


async def test_a_body_of_unknown_size_is_read_until_it_does_not_fit() -> None:
    memory = BodyMemory(10)
    other = BodyReader(100, memory)
    await other.read({}, Sender(b"x" * 4).receive)
    reader, sender = BodyReader(100, memory), Sender(b"abc", b"def", b"ghi", b"jkl")
    with pytest.raises(GatewayOverloaded):
        await reader.read({}, sender.receive)
    assert len(sender.messages) == 1
    assert memory.used == 10
    reader.release()
    other.release()
    assert memory.used == 0


async def test_a_body_that_is_alone_fits_and_one_that_is_too_large_takes_nothing() -> None:
    memory = BodyMemory(10)
    reader = BodyReader(100, memory)
    parts = [b"x" * 8, b"x" * 8, b"x" * 8]
    assert len(await reader.read({b"content-length": b"24"}, Sender(*parts).receive)) == 24
    reader.release()
    for headers in ({b"content-length": b"24"}, {}):
        with pytest.raises(PayloadTooLarge):
            await BodyReader(20, memory).read(headers, Sender(*parts).receive)
        assert memory.used == 0


def test_the_end_of_a_burst_is_told_once() -> None:
    over = list[int]()
    memory = BodyMemory()
    for _ in range(2):
        memory.reserve(BURST)
        memory.reserve(10)
        memory.release(10)
        assert len(over) == 0
        memory.release(BURST)
        memory.on_burst_over = lambda: over.append(memory.used)
        memory.reserve(BURST - 1)
        memory.release(BURST - 1)
        memory.on_burst_over = None
    assert over == []
    memory.on_burst_over = lambda: over.append(memory.used)
    memory.reserve(BURST)
    memory.release(BURST)
    memory.release(0)
    assert over == [0]
