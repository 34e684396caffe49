"""Risk: an error that makes Codex retry what cannot succeed; a count or a model in the shape of another API."""

from __future__ import annotations

import json

import pytest

from modelmux.dialects.base import CountingDialect, ListedModel
from modelmux.dialects.openai_responses.dialect import OpenAIResponses
from modelmux.dialects.registry import OPENAI_CHAT, OPENAI_RESPONSES
from modelmux.error_kinds import KINDS
from modelmux.errors import GatewayError, InvalidRequest, PayloadTooLarge, UpstreamRefused, UpstreamReply

LISTED = ListedModel("chat", "Chat", 1, None, "active", None, None, 10, 5)
CODEX = [(b"originator", b"Codex_cli_rs")]


@pytest.mark.parametrize(
    ("error", "headers", "status", "code"),
    [
        (PayloadTooLarge("big"), [], 413, "request_too_large"),
        (PayloadTooLarge("big"), CODEX, 400, "context_length_exceeded"),
        (PayloadTooLarge("big"), [(b"originator", b"other")], 413, "request_too_large"),
        (InvalidRequest("no"), CODEX, 400, None),
    ],
)
def test_codex_is_told_that_its_context_is_full_instead_of_a_413(
    error: GatewayError, headers: list[tuple[bytes, bytes]], status: int, code: str | None
) -> None:
    error.request_headers = headers
    response = OPENAI_RESPONSES.error(error, "req_1")
    assert (response.status, json.loads(response.body)["error"]["code"]) == (status, code)


def test_codex_waits_after_a_429_that_says_no_time() -> None:
    error = UpstreamRefused("no", KINDS["rate_limit"], UpstreamReply(429))
    known = UpstreamRefused("no", KINDS["rate_limit"], UpstreamReply(429), retry_after=3.0)
    error.request_headers = known.request_headers = CODEX
    assert dict(OPENAI_RESPONSES.error(error, "req_1").headers)[b"retry-after"].isdigit()
    assert b"retry-after" not in dict(OPENAI_RESPONSES.error(known, "req_1").headers), "the caller adds it"


def test_counts_have_their_own_object() -> None:
    dialect = OpenAIResponses()
    assert isinstance(dialect, CountingDialect)
    assert not isinstance(OPENAI_CHAT, CountingDialect)
    assert json.loads(dialect.token_count(b'{"input_tokens": 7, "x": 1}')) == {
        "object": "response.input_tokens", "input_tokens": 7,
    }  # fmt: skip


def test_models_are_those_of_openai() -> None:
    assert OPENAI_RESPONSES.models([LISTED], {}) == OPENAI_CHAT.models([LISTED], {})
    assert OPENAI_RESPONSES.model(LISTED) == OPENAI_CHAT.model(LISTED)
