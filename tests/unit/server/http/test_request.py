"""Risk: a header value that becomes a header of its own, an error in a shape that clients do not read, or that is not
counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.errors import GatewayError, HeadTooLarge, InvalidRequest, RequestTimeout
from modelmux.server.http.limits import ShutdownPhase
from modelmux.server.http.request import error_response, head
from support.served import Served

DEFAULT = [(b"date", b"Thu, 01 Jan 2026 00:00:00 GMT")]


@pytest.mark.parametrize(
    ("status", "line"), [(200, b"HTTP/1.1 200 OK"), (404, b"HTTP/1.1 404 Not Found"), (599, b"HTTP/1.1 599 ")]
)
def test_a_head_is_its_lines(status: int, line: bytes) -> None:
    assert head(status, [(b"a", b"b"), (b"c", b"")]) == line + b"\r\na: b\r\nc: \r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: x", b"a\nb", b"a\rb", b"\n"])
def test_a_value_with_a_line_break_is_an_error(value: bytes) -> None:
    with pytest.raises(ValueError, match="line break"):
        head(200, [(b"x", value)])


@pytest.mark.parametrize("error", [InvalidRequest("no"), RequestTimeout("late"), HeadTooLarge("large")], ids=repr)
def test_an_error_ends_the_connection_and_has_the_envelope(error: GatewayError) -> None:
    raw_head, _, body = error_response(error, DEFAULT).partition(b"\r\n\r\n")
    lines = raw_head.split(b"\r\n")
    assert lines[0].startswith(b"HTTP/1.1 %d " % error.status)
    assert b"connection: close" in lines
    assert b"content-length: %d" % len(body) in lines
    assert b"date: Thu, 01 Jan 2026 00:00:00 GMT" in lines
    assert json.loads(body)["error"]["message"] == error.public_message


class Counting:
    """A gateway that counts errors, and whose requests fail without a response."""

    def __init__(self) -> None:
        self.errors: list[GatewayError] = []

    def count_error(self, error: GatewayError) -> None:
        self.errors.append(error)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("raw", "limits", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", {}, 400),
        (b"GET / HTTP/1.1\r\nhost: h\r\nx: " + b"a" * 2000 + b"\r\n\r\n", {"head_bytes": 1000}, 431),
        (b"POST / HTTP/1.1\r\nhost: h\r\n", {"head_seconds": 0.05}, 408),
        (b"GET / HTTP/1.1\r\nhost: h\r\n\r\n", {}, 500),
    ],
    ids=["400", "431", "408", "no response"],
)
async def test_errors_that_the_application_does_not_send_are_counted(
    raw: bytes, limits: dict[str, Any], status: int
) -> None:
    app = Counting()
    async with Served(app, **limits).listening() as server:
        assert (await server.talk(raw)).startswith(b"HTTP/1.1 %d " % status)
    assert [error.status for error in app.errors] == [status]


async def test_requests_that_a_server_refuses_on_its_way_out_are_counted() -> None:
    app = Counting()
    served = Served(app)
    served.state.phase = ShutdownPhase(closing_connections=True, rejecting=True)  # type: ignore[attr-defined]
    async with served.listening() as server:
        assert (await server.talk(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n")).startswith(
            b"HTTP/1.1 503 "
        )
    assert [error.kind.name for error in app.errors] == ["gateway_draining"]
