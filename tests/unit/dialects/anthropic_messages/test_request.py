"""Risk: a Messages request is routed by another name than it says, streamed against its wish, or loses a beta."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.claude.native import NativeRequest
from modelmux.dialects.anthropic_messages.request import ATTEMPTS_OF_A_RETRY
from modelmux.dialects.base import Decoded, Inbound
from modelmux.dialects.registry import ANTHROPIC_MESSAGES, VERTEX_RAW, VERTEX_RAW_STREAM
from modelmux.errors import InvalidRequest


def decode(body: Any, *headers: tuple[bytes, bytes]) -> Decoded:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ANTHROPIC_MESSAGES.decode(Inbound("req_1", 0.0, headers=headers), raw)


def native(decoded: Decoded) -> NativeRequest:
    assert decoded.native is not None
    return decoded.native


def test_what_routing_needs_is_read_and_the_body_stays() -> None:
    raw = b'{ "model":"claude-x", "stream":true, "messages":[{"role":"user","content":[{"type":"text"}]}]}'
    decoded = decode(
        raw, (b"anthropic-beta", b"a, b,,a"), (b"anthropic-beta", b" c"), (b"anthropic-version", b" 2023-06-01 ")
    )
    request = native(decoded)
    assert (decoded.model, decoded.stream, decoded.request, decoded.plan.model) == ("claude-x", True, None, "claude-x")
    assert (request.body, request.stream, request.betas, request.version) == (raw, True, ("a", "b", "c"), "2023-06-01")
    assert [path for path, _ in request.blocks] == [("messages", 0, "content", 0)]
    assert (request.location, request.files) == (None, {})


@pytest.mark.parametrize("name", ["claude-x[1m]", "claude-x[1M]", "claude-x"])
def test_the_mark_of_a_large_context_is_no_part_of_the_name(name: str) -> None:
    assert decode({"model": name}).model == "claude-x"


@pytest.mark.parametrize(
    ("fields", "stream"), [({}, False), ({"stream": None}, False), ({"stream": False}, False), ({"stream": True}, True)]
)
def test_the_stream(fields: dict[str, Any], stream: bool) -> None:
    decoded = decode({"model": "m"} | fields)
    assert (decoded.stream, native(decoded).stream) == (stream, stream)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "model: Field required."), ({"model": 5}, "model: Input should be a string."),
        ({"model": ""}, "model: Input should be a string."),
        ({"model": "m", "stream": 1}, "stream: Input should be true or false."),
        (b"{", ""), (b"[]", ""), (b"", ""),
    ],
)  # fmt: skip
def test_a_bad_request_names_its_field(body: Any, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(body)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("count", "limit"), [(None, None), (b"0", None), (b"1", ATTEMPTS_OF_A_RETRY), (b"x", ATTEMPTS_OF_A_RETRY)]
)
def test_a_retry_of_the_sdk_is_worth_few_attempts(count: bytes | None, limit: int | None) -> None:
    headers = [] if count is None else [(b"x-stainless-retry-count", count)]
    assert decode({"model": "m"}, *headers).max_attempts == limit


@pytest.mark.parametrize(("dialect", "stream"), [(VERTEX_RAW, False), (VERTEX_RAW_STREAM, True)])
@pytest.mark.parametrize("body", [{"stream": True}, {"stream": "odd"}, {"model": 5}, {}])
def test_vertex_paths_name_the_model_the_location_and_the_verb(
    dialect: Any, stream: bool, body: dict[str, Any]
) -> None:
    params = {"model": "claude-x@20250929", "location": "us-east5", "project": "p"}
    decoded = dialect.decode(Inbound("req_1", 0.0, path_params=params), json.dumps(body).encode())
    assert (decoded.model, decoded.stream, native(decoded).stream) == ("claude-x@20250929", stream, stream)
    assert native(decoded).location == "us-east5"
    assert dialect.name == "vertex_raw"


def test_headers_of_replies() -> None:
    upstream = [
        (b"request-id", b"req_u"), (b"anthropic-organization-id", b"o"), (b"anthropic-ratelimit-tokens-limit", b"5"),
        (b"server", b"x"),
    ]  # fmt: skip
    assert ANTHROPIC_MESSAGES.reply_headers("req_1", upstream) == upstream[:2]
    assert ANTHROPIC_MESSAGES.reply_headers("req_1", []) == [(b"request-id", b"req_1")]


def test_a_large_request_is_decoded_as_a_small_one() -> None:
    turns = [{"role": "user", "content": [{"type": "text", "text": "word " * 9, "unknown": 1.5}]}] * 3_000
    decoded = decode({"model": "m", "messages": turns})
    assert native(decoded).content == {"model": "m", "messages": turns}
    assert len(native(decoded).blocks) == 3_000


@pytest.mark.parametrize(
    ("body", "small"),
    [
        (b'{"model": "m", "messages": [' + b'"x", ' * 40_000, b'{"model": "m", "messages": ['),
        (b'"' + b"x" * 200_000 + b'"', b'"x"'),
        (b"[" + b"1, " * 100_000 + b"1]", b"[1]"),
    ],
)
def test_a_large_request_that_is_not_an_object_is_refused_as_a_small_one(body: bytes, small: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(body)
    with pytest.raises(InvalidRequest) as expected:
        decode(small)
    assert caught.value.message == expected.value.message


@pytest.mark.parametrize("part", [{"messages": [{}] * 60_000}, {"system": [{}] * 60_000}, {"tools": [{}] * 60_000}])
def test_a_large_request_of_empty_parts_is_refused(part: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="too many empty messages"):
        decode({"model": "m", "messages": [], **part})


def test_a_large_request_of_the_shortest_parts_is_not() -> None:
    block = {"type": "text", "text": ""}
    assert decode({"model": "m", "messages": [{"role": "user", "content": [block] * 10_000}]}).model == "m"
    assert decode({"model": "m", "messages": 5, "system": "x" * 200_000}).model == "m"
