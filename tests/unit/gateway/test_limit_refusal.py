"""Risk: the text of a refusal does not say who is limited, or is hard to read."""

from __future__ import annotations

import pytest

from modelmux.accounts.limits import AppliedLimit
from modelmux.accounts.rates import Rates
from modelmux.gateway.limits.refusal import message_of


@pytest.mark.parametrize(
    ("subject", "is_claim", "who"),
    [("", False, "allows 1"), ("usr_1", False, "allows each person 1"), ("key_1", False, "allows each key 1"),
     ("usr_1", True, "allows each end user 1")],
)  # fmt: skip
def test_a_limit_of_its_own_says_whose(subject: str, is_claim: bool, who: str) -> None:
    applied = AppliedLimit("limit", "lim_1", "opus", subject, Rates(rpm=1), is_claim)
    text = message_of(applied, "rpm", 1, 1, 0)
    assert text == f"The limit 'opus' {who} request a minute; 1 count in the last minute."
    assert "2 requests at once; 2 are running" in message_of(applied, "concurrent", 2, 2, 0)
