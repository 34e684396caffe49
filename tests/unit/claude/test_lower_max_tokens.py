"""Risk: lowering the limit changes something else of the request, or leaves an answer that is cut before it begins."""

from __future__ import annotations

import pytest

from modelmux.claude.lower_max_tokens import MIN_TOKENS, lower_max_tokens


def test_only_the_limit_changes() -> None:
    body = b'{"messages": [{"max_tokens": 5000}],  "max_tokens": 5000, "x": 1.10}'
    expected = b'{"messages": [{"max_tokens": 5000}],  "max_tokens": 2000, "x": 1.10}'
    assert lower_max_tokens(body, 2_000) == expected


@pytest.mark.parametrize(
    ("body", "most", "is_lowered"),
    [
        (b'{"max_tokens":5000}', MIN_TOKENS, True),
        (b'{"max_tokens":5000}', MIN_TOKENS - 1, False),
        (b'{"max_tokens":5000,"thinking":{"type":"enabled","budget_tokens":2000}}', 2_001, True),
        (b'{"max_tokens":5000,"thinking":{"type":"enabled","budget_tokens":2000}}', 2_000, False),
        (b'{"max_tokens":5000,"thinking":{"type":"adaptive"}}', 2_000, True),
        (b'{"max_tokens":2000}', 2_000, False),
        (b'{"max_tokens":"5000"}', 2_000, False),
        (b'{"messages":[]}', 2_000, False),
        (b'{"max_tokens":5000,"max_tokens":6000}', 2_000, False),
    ],
)
def test_what_serves_no_one_is_not_done(body: bytes, most: int, is_lowered: bool) -> None:
    assert (lower_max_tokens(body, most) is not None) is is_lowered
