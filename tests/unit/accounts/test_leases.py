"""Risk: leases together pass a limit, or one process keeps what another needs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.leases import Ask, ahead_of, grant
from modelmux.accounts.slices import UNLIMITED

amounts = st.integers(0, 10**12)


def test_a_lease_covers_a_minute_while_there_is_plenty() -> None:
    assert ahead_of(10, 10**6, holders=4) == 600


def test_near_the_end_it_covers_less() -> None:
    assert ahead_of(10, 11_999, holders=1) == 50
    assert ahead_of(10, 60, holders=2) == 15, "half of its share"
    assert ahead_of(10, 0, holders=2) == 0
    assert ahead_of(10, -5, holders=0) == 0


def test_without_a_limit_there_is_no_end() -> None:
    assert grant(Ask(3, UNLIMITED, None), 0, 10**9, 0, recalled=False).leased == UNLIMITED


def test_a_process_gets_what_is_left() -> None:
    assert grant(Ask(10, 100, 1_000), 10, 500, 300, recalled=False).leased == 100
    assert grant(Ask(10, 100, 1_000), 10, 500, 460, recalled=False).leased == 50
    assert grant(Ask(10, 100, 1_000), 10, 990, 10, recalled=False).leased == 10
    assert grant(Ask(90, 100, 1_000), 10, 1_000, 10, recalled=False).leased == 10, "it waits, or refuses"


def test_it_gives_back_what_it_does_not_need_when_that_is_recalled() -> None:
    kept = grant(Ask(10, 100, 1_000), 80, 500, 500, recalled=True)
    assert (kept.leased, kept.available) == (10, 70)
    assert grant(Ask(10, 20, 1_000), 80, 500, 500, recalled=False).leased == 20, "and what it does not want"


@given(amounts, amounts, amounts, amounts, amounts, amounts, st.booleans())
def test_leases_and_what_is_spent_never_pass_the_limit(
    limit: int, spent: int, leased: int, others: int, need: int, more: int, recalled: bool
) -> None:
    given = grant(Ask(need, need + more, limit), leased, spent, leased + others, recalled=recalled)
    before, after = spent + leased + others, spent + given.leased + others
    assert after <= max(limit, before), "it never grows above the limit"
    assert given.leased >= min(need, leased), "what is held stays"
    assert given.available == limit - after
