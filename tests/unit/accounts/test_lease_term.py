"""Risk: a process spends what another one has booked meanwhile, or refuses for ever after one failure."""

from __future__ import annotations

import math

from modelmux.accounts.lease_term import STOPS_AFTER, LeaseTerm


def test_a_term_lasts_from_the_beginning_of_the_last_call_that_reached_the_store() -> None:
    term = LeaseTerm()
    assert not term.has_ended(1e9), "nothing is leased, so nothing can be held"
    term.exchanged(100.0)
    term.renewed(110.0, 115.0)
    assert not term.has_ended(110.0 + STOPS_AFTER)
    assert term.has_ended(110.1 + STOPS_AFTER)


def test_a_term_that_has_ended_begins_with_an_exchange_only() -> None:
    term = LeaseTerm(20.0)
    term.renewed(0.0, 1.0)
    assert not term.has_ended(1e9), "a renewal leases nothing"
    term.exchanged(0.0)
    term.renewed(30.0, 31.0)
    assert term.has_ended(31.0)
    term.exchanged(5.0)
    assert term.has_ended(31.0), "the answer came late"
    term.exchanged(31.0)
    assert not term.has_ended(31.0)


def test_renewals_that_end_in_another_order_shorten_nothing() -> None:
    term = LeaseTerm(20.0)
    term.exchanged(10.0)
    term.renewed(8.0, 11.0)
    assert not term.has_ended(30.0)


def test_no_other_process_ends_the_leases_of_one_machine() -> None:
    term = LeaseTerm(math.inf)
    term.exchanged(0.0)
    assert not term.has_ended(1e9)
