"""Risk: money goes through a float, or an amount in the wrong unit is taken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.amounts import MAX_AMOUNT, format_amount, parse_amount
from modelmux.accounts.fields import FieldError


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("50", 50_000_000_000),
        (50, 50_000_000_000),
        (" 0.1 ", 100_000_000),
        ("0.000000001", 1),
        ("123456789.123456789", 123_456_789_123_456_789),  # 17 digits and more do not fit into a float
        ("999999999.999999999", 999_999_999_999_999_999),
        ("-0.5", -500_000_000),
        ("1000000000", MAX_AMOUNT),
    ],
)
def test_dollars_are_exact(text: str | int, nano: int) -> None:
    assert parse_amount("limit", text, "usd") == nano


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("0.0000000001", "usd", "limit: '0.0000000001' is not an amount; expected US dollars such as 50 or 0.25"),
        ("1e3", "usd", "is not an amount"),
        ("1,000", "usd", "is not an amount"),
        ("$5", "usd", "is not an amount"),
        ("٥", "usd", "is not an amount"),
        ("nan", "usd", "is not an amount"),
        ("", "usd", "is not an amount"),
        (".5", "usd", "is not an amount"),
        ("--5", "usd", "is not an amount"),
        ("9" * 5_000, "usd", "is not an amount"),
        ("1000000000.000000001", "usd", "is too large; expected at most 1000000000"),
        ("9" * 19, "tokens", "is too large; expected at most 1000000000000000000"),
        ("1.5", "tokens", "'1.5' is not an amount; expected a whole number of tokens"),
        ("1.0", "requests", "'1.0' is not an amount; expected a whole number of requests"),
    ],
)
def test_what_is_no_amount(text: str, unit: Any, message: str) -> None:
    with pytest.raises(FieldError) as raised:
        parse_amount("limit", text, unit)
    assert message in str(raised.value)


@given(st.integers(-MAX_AMOUNT, MAX_AMOUNT), st.sampled_from(["usd", "tokens", "requests"]))
def test_what_is_shown_is_read_again(amount: int, unit: Any) -> None:
    assert parse_amount("limit", format_amount(amount, unit), unit) == amount
