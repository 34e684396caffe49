"""What is left of the limits of a key, in headers.

Risk: a client reads a time or a number that is not what the gateway goes by.
"""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.dialects.base import RateLimit
from modelmux.dialects.rate_limit_headers import anthropic_headers, duration, openai_headers
from modelmux.dialects.registry import SURFACES
from modelmux.errors import CallerRateLimited, InvalidRequest

LIMITS = [
    RateLimit("requests", 60, 59, 60.2, 1_800_000_000.2),
    RateLimit("tokens", 1_000, 0, 5.0, 1_800_000_005.0),
    RateLimit("output-tokens", 9, 1, 0.0, 1_800_000_000.0),
]
DIALECTS = {one.calls_upstream.name: one.calls_upstream for one in SURFACES if one.calls_upstream}


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1.0, "0s"), (0.2, "1s"), (59.0, "59s"), (60.0, "1m0s"), (60.1, "1m1s"), (360.0, "6m0s")]
)
def test_durations_are_whole_seconds(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_openai_has_requests_and_tokens() -> None:
    assert openai_headers(LIMITS) == [
        (b"x-ratelimit-limit-requests", b"60"), (b"x-ratelimit-remaining-requests", b"59"),
        (b"x-ratelimit-reset-requests", b"1m1s"), (b"x-ratelimit-limit-tokens", b"1000"),
        (b"x-ratelimit-remaining-tokens", b"0"), (b"x-ratelimit-reset-tokens", b"5s"),
    ]  # fmt: skip


def test_anthropic_has_instants() -> None:
    headers = dict(anthropic_headers(LIMITS))
    assert headers[b"anthropic-ratelimit-requests-reset"] == b"2027-01-15T08:00:01Z"
    assert headers[b"anthropic-ratelimit-output-tokens-remaining"] == b"1"
    assert len(headers) == 9


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
def test_a_refusal_has_them_in_every_dialect(dialect: Any) -> None:
    error = CallerRateLimited("No.", retry_after=3.0)
    error.limits = LIMITS
    response = dialect.error(error, "req_1")
    names = dict(response.headers)
    assert response.status == 429
    assert set(dialect.rate_limit_headers(LIMITS)) <= set(response.headers)
    assert b"retry-after" not in names, "the server adds it"
    assert not any(b"ratelimit" in name for name, _ in dialect.error(InvalidRequest("No."), "req_1").headers)
