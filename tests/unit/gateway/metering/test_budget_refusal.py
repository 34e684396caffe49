"""Risk: who is refused reads an amount that is none, or more than there is."""

from __future__ import annotations

import pytest

from modelmux.gateway.metering.budget_refusal import amount_text


@pytest.mark.parametrize(
    ("amount", "down", "up"),
    [
        (0, "$0.00", "$0.00"),
        (1, "$0.000000001", "$0.000000001"),
        (499, "$0.000000499", "$0.000000499"),
        (1_013_403, "$0.001013403", "$0.001013403"),
        (9_999_999, "$0.009999999", "$0.009999999"),
        (10_000_000, "$0.01", "$0.01"),
        (10_000_001, "$0.01", "$0.02"),
        (1_234_567_000_000, "$1,234.56", "$1,234.57"),
    ],
)
def test_an_amount_below_a_cent_is_told_in_full(amount: int, down: str, up: str) -> None:
    assert (amount_text(amount, "usd"), amount_text(amount, "usd", up=True)) == (down, up)
