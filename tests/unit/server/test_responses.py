"""Risk: a client that retries what it should not, or does not retry what it should."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.dialects.base import ErrorResponse
from modelmux.error_kinds import KINDS
from modelmux.errors import (
    GatewayDraining,
    GatewayOverloaded,
    InvalidRequest,
    MethodNotAllowed,
    UpstreamRefused,
    UpstreamReply,
)
from modelmux.server.responses import HeaderList, error_headers, send_error, send_json


class Sent:
    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def send(self, message: Any) -> None:
        self.messages.append(message)


async def test_a_json_response_says_its_type_and_length() -> None:
    sent = Sent()
    await send_json(sent.send, 201, b"{}", [(b"x", b"y")])
    assert sent.messages == [
        {
            "type": "http.response.start", "status": 201,
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"2"), (b"x", b"y")],
        },
        {"type": "http.response.body", "body": b"{}"},
    ]  # fmt: skip


async def test_an_error_has_its_status_and_headers() -> None:
    sent, error = Sent(), GatewayOverloaded("full")
    await send_error(sent.send, error, ErrorResponse(529, b"{}", [(b"a", b"b")]), [(b"x", b"y")])
    start = sent.messages[0]
    assert start["status"] == 529, "the dialect's"
    assert start["headers"][2:] == [(b"x", b"y"), (b"a", b"b"), (b"retry-after", b"1")]
    assert sent.messages[1]["body"] == b"{}"


async def test_the_dialects_own_headers_replace_those_of_the_error() -> None:
    sent = Sent()
    own = [(b"retry-after", b"7"), (b"x-should-retry", b"false")]
    await send_error(sent.send, GatewayDraining("ending"), ErrorResponse(503, b"{}", own), [])
    assert sent.messages[0]["headers"][2:] == own


@pytest.mark.parametrize(
    ("retry_after", "should_retry", "headers"),
    [
        (None, None, []),
        (0.0, None, [(b"retry-after", b"1")]),
        (1.2, None, [(b"retry-after", b"2")]),
        (60.0, True, [(b"x-should-retry", b"true"), (b"retry-after", b"60")]),
        (None, False, [(b"x-should-retry", b"false")]),
    ],
)
def test_headers_that_steer_retries(retry_after: float | None, should_retry: bool | None, headers: HeaderList) -> None:
    error = InvalidRequest("no")
    error.retry_after, error.should_retry = retry_after, should_retry
    assert error_headers(error) == headers


def test_a_method_that_is_not_allowed_names_the_others() -> None:
    assert error_headers(MethodNotAllowed("no", allow="GET, HEAD")) == [(b"allow", b"GET, HEAD")]


@pytest.mark.parametrize(
    ("base", "values"),
    [(None, set()), (0.2, {1, 2}), (2.0, {2, 3, 4}), (5.0, set(range(5, 11))), (60.0, set(range(60, 71)))],
)
def test_a_time_that_the_gateway_makes_up_is_spread(base: float | None, values: set[int]) -> None:
    error = InvalidRequest("no")
    error.retry_after = base
    sent = {int(value) for step in range(200) for _, value in error_headers(error, step / 200)}
    assert sent == values


async def test_a_time_that_a_dialect_makes_up_is_spread_too() -> None:
    sent, error = Sent(), UpstreamRefused("busy", KINDS["rate_limit"], UpstreamReply(429))
    await send_error(sent.send, error, ErrorResponse(429, b"{}", [(b"retry-after", b"2")]), [], 0.99)
    assert sent.messages[0]["headers"][2:] == [(b"retry-after", b"4")]


@pytest.mark.parametrize(("asked", "told"), [(7.0, b"7"), (6.2, b"7"), (0.0, b"1")])
async def test_what_the_upstream_asked_for_is_passed_on_as_it_is(asked: float, told: bytes) -> None:
    reply = UpstreamReply(429, headers=[(b"retry-after", b"9")])
    error = UpstreamRefused("busy", KINDS["rate_limit"], UpstreamReply(429), retry_after=asked)
    assert error_headers(error, 0.99) == [(b"retry-after", told)]
    sent, relayed = Sent(), UpstreamRefused("busy", KINDS["rate_limit"], reply)
    await send_error(sent.send, relayed, ErrorResponse(429, b"{}", [(b"retry-after", b"9")]), [], 0.99)
    assert sent.messages[0]["headers"][2:] == [(b"retry-after", b"9")]
