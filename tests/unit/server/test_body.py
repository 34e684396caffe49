"""Risk: a body that costs memory without limit, one that is read although it cannot be used, an error that its client
never sees because it still sends."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.errors import GatewayError, InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.server.body import check_headers, read_body


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
