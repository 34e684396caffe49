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
    assert grant(Ask(3, UNLIMITED, None), 10**9, 0, recalled=False).leased == UNLIMITED


def test_a_process_gets_what_is_left() -> None:
    assert grant(Ask(10, 100, 1_000), 500, 290, recalled=False).leased == 100
    assert grant(Ask(10, 100, 1_000), 500, 450, recalled=False).leased == 50
    assert grant(Ask(10, 100, 1_000, keep=10), 990, 0, recalled=False).leased == 10
    assert grant(Ask(90, 100, 1_000, keep=10), 1_000, 0, recalled=False).leased == 10, "it waits, or refuses"


def test_a_part_that_helps_no_request_is_left_to_others() -> None:
    assert grant(Ask(10, 100, 1_000, keep=3, least=8), 500, 493, recalled=True).leased == 3
    assert grant(Ask(10, 100, 1_000, keep=3, least=8), 500, 492, recalled=True).leased == 8


def test_a_process_gives_back_what_it_does_not_need_when_that_is_recalled() -> None:
    kept = grant(Ask(10, 100, 1_000), 500, 420, recalled=True)
    assert (kept.leased, kept.available) == (10, 70)
    assert grant(Ask(10, 20, 1_000), 500, 420, recalled=False).leased == 20, "and what it does not want"


def test_after_a_limit_was_lowered_a_process_has_what_it_keeps() -> None:
    lowered = grant(Ask(50, 80, 100, keep=20), 90, 10, recalled=False)
    assert (lowered.leased, lowered.available) == (20, -20)


@given(amounts, amounts, amounts, amounts, amounts, amounts, amounts, st.booleans())
def test_leases_and_what_is_spent_never_pass_the_limit(
    limit: int, spent: int, others: int, keep: int, least: int, need: int, more: int, recalled: bool
) -> None:
    least, need = keep + least, keep + least + need
    given = grant(Ask(need, need + more, limit, keep, least), spent, others, recalled=recalled)
    after = spent + given.leased + others
    assert after <= max(limit, spent + keep + others), "it never grows above the limit"
    assert given.leased >= keep, "what is held stays"
    assert given.leased == keep or given.leased >= least
    assert given.available == limit - after
