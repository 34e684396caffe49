"""Risk: the text of a refusal does not say who is limited, or is hard to read."""

from __future__ import annotations

import pytest

from modelmux.accounts.limit_leases import Seen
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
    text = message_of(applied, "rpm", Seen(1, 1, 0), 1)
    assert text == f"The limit 'opus' {who} request a minute; 1 count in the last minute."
    assert "2 requests at once; 2 are running" in message_of(applied, "concurrent", Seen(2, 2, 0), 1)


def test_where_there_is_room_that_the_node_has_not_leased_it_says_so() -> None:
    applied = AppliedLimit("key", "key_1", "ci", "", Rates(rpm=60))
    text = message_of(applied, "rpm", Seen(60, 10, 0), 1)
    assert text == (
        "The API key 'ci' may use 60 requests a minute; 10 count in the last minute; of what is left, this node has to "
        "get its part first."
    )
    tokens = message_of(applied, "tpm", Seen(60, 10, 0), 50)
    assert tokens.endswith("expected to use 50; of what is left, this node has to get its part first.")
