"""Risk: a refusal names the wrong cause: a limit that has room, or the part of a node where others wait."""

from __future__ import annotations

from modelmux.accounts.limit_leases import Seen
from modelmux.accounts.limits import AppliedLimit
from modelmux.accounts.rates import Rates
from modelmux.gateway.limits.refusal import message_of

LIMIT = AppliedLimit("key", "key_a", "ci", "", Rates(rpm=2))


def test_room_that_is_there_for_others_has_its_own_words() -> None:
    full, free = Seen(2, 2, 0), Seen(2, 1, 1)
    text = "The API key 'ci' may use 2 requests a minute; "
    assert message_of(LIMIT, "rpm", full, 1, is_behind=True) == f"{text}2 count in the last minute."
    assert message_of(LIMIT, "rpm", free, 1, is_behind=True) == (
        f"{text}1 count in the last minute; earlier requests wait for what is left."
    )
    assert "this node has to get its part" in message_of(LIMIT, "rpm", free, 1)
