"""Leases of a limit, as one process decides on them.

Risk: a process counts beyond its lease, or gives back what it has counted; near the limit some hoard what others need.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.accounts.limit_leases import (
    IDLE,
    Ask,
    Lease,
    Seen,
    ask_for,
    first_part,
    granted,
    is_over,
    is_short,
    part_of_node,
    seen_alone,
    seen_with_lease,
    seen_without_lease,
)
from modelmux.accounts.rate_limits import MINUTE, fits

TICK = 10_000
AMOUNTS = st.integers(0, 100)
LEASES = st.builds(
    Lease,
    amount=AMOUNTS,
    others=AMOUNTS,
    holders=st.integers(1, 5),
    reported=st.just(TICK - 1),
    requested=st.sampled_from([TICK, TICK - 1, TICK - 100]),
    usual=st.integers(1, 60),
    short=AMOUNTS,
)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20))
def test_where_all_is_seen_a_request_fits_as_it_does_in_one_process(used: int, needed: int, limit: int) -> None:
    assert Seen(limit, used, limit - used).fits(needed) == fits(used, needed, limit)


@given(LEASES, st.integers(1, 100), st.integers(-3, 100))
def test_what_is_counted_stays_leased_and_a_report_never_raises_a_lease(lease: Lease, limit: int, used: int) -> None:
    before = lease.amount
    ask = ask_for(lease, limit, used, TICK)
    assert ask.limit == limit
    assert lease.amount == ask.amount >= used
    assert ask.amount <= max(before, used, 0)
    assert ask.needed >= 0
    assert ask.ahead >= 0
    assert lease.short == 0
    if TICK - lease.requested > IDLE:
        ahead = ask.amount - max(used, 0) + ask.ahead
        assert ahead <= (lease.usual if used > 0 else 0), "an idle process keeps what one request needs, or nothing"


def test_an_idle_process_keeps_what_one_request_needs_while_something_counts() -> None:
    def kept(used: int, others: int) -> Ask:
        return ask_for(Lease(amount=used + 6, requested=TICK - IDLE - 1, usual=2, others=others), 60, used, TICK)

    assert kept(5, 0) == Ask(60, 7, 0, 0)
    assert kept(5, 53) == Ask(60, 6, 0, 0), "little is left: half of it"
    assert kept(5, 54) == Ask(60, 5, 0, 0), "the last of a limit is for who asks"
    assert kept(0, 0) == Ask(60, 0, 0, 0)


@given(LEASES, st.integers(10, 100), st.integers(0, 100))
def test_the_less_is_left_the_less_is_leased_ahead(lease: Lease, limit: int, used: int) -> None:
    ask = ask_for(lease, limit, used, TICK)
    room = max(limit - lease.others - used, 0)
    assert ask.amount - used <= -(-room // 2)
    assert ask.amount - used + ask.ahead <= max(limit // 10, lease.usual)


@given(LEASES, st.integers(1, 100), st.integers(0, 100), st.integers(1, 100))
def test_within_a_lease_it_fits(lease: Lease, limit: int, used: int, needed: int) -> None:
    seen = seen_with_lease(lease, limit, used)
    assert seen.used == used + lease.others
    if seen.fits(needed):
        assert used + needed <= min(lease.amount, limit) or (used == lease.others == 0 and needed > limit)
    else:
        assert used + needed > min(lease.amount, limit)


@pytest.mark.parametrize(
    ("limit", "processes", "part"), [(60, 1, 6), (60, 3, 2), (60, 12, 1), (1, 1, 1), (5, 200, 1), (1000, 0, 100)]
)
def test_the_first_part(limit: int, processes: int, part: int) -> None:
    assert first_part(limit, processes) == part


def test_without_a_lease_one_request_is_admitted_whatever_it_needs() -> None:
    assert seen_without_lease(1_000, 0, 300, 1).fits(300)
    assert seen_without_lease(1_000, 0, 3_000, 1).fits(3_000)
    assert not seen_without_lease(1_000, 300, 1, 1).fits(1)
    assert seen_without_lease(1_000, 50, 50, 1).fits(50)
    assert not seen_without_lease(1_000, 50, 51, 1).fits(51)
    assert seen_without_lease(1_000, 0, 300, 1, others=700).fits(300)
    assert not seen_without_lease(1_000, 0, 301, 1, others=700).fits(301), "others have the rest"


def test_alone_a_node_takes_its_part_and_at_first_no_more_than_others_have_left() -> None:
    part = Seen(20, 3, 17)
    assert seen_alone(Lease(), 60, 3, part, TICK) == part
    lease = Lease(others=55, reported=TICK - MINUTE)
    assert seen_alone(lease, 60, 3, part, TICK) == Seen(20, 3, 2)
    assert seen_alone(lease, 60, 3, part, TICK + 2) == part
    assert [part_of_node(60, nodes) for nodes in (0, 1, 3, 100)] == [60, 60, 20, 1]


def test_who_asks_at_once() -> None:
    assert is_short(Lease(), 60, 0), "it has never been reported"
    lease = Lease(requested=TICK)
    granted(lease, 10, 0, 0, TICK)
    assert (lease.amount, lease.recorded, lease.holders, lease.reported) == (10, 10, 1, TICK)
    assert not is_short(lease, 60, 7)
    assert is_short(lease, 60, 8), "half of what is leased ahead is used"
    lease.short = 1
    assert is_short(lease, 60, 0), "a request was refused"
    lease = Lease()
    granted(lease, 10, 50, 2, TICK)
    assert not is_short(lease, 60, 10), "there is no room"


def test_what_is_forgotten() -> None:
    lease = Lease(requested=TICK)
    assert not is_over(lease, 0, TICK + IDLE)
    assert is_over(lease, 0, TICK + IDLE + 1)
    assert not is_over(lease, 1, TICK + IDLE + 1)
    granted(lease, 1, 0, 1, TICK)
    lease.amount = 0
    assert not is_over(lease, 0, TICK + IDLE + 1), "others still see it"
