"""Risk: a row that went over the admin API is another one than the ledger has."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from modelmux.accounts.columns import LEDGER, cells, json_row
from modelmux.accounts.entry import Entry
from modelmux.accounts.entry_json import entry_of
from support.ledgers import correction, entries_strategy, entry, full_entry


def through(row: Entry) -> Entry:
    return entry_of(json.loads(json.dumps(json_row(LEDGER, row))))


def test_rows_come_back_as_they_were() -> None:
    full = full_entry(7)
    for row in (entry(1), full, correction(full, 3), entry(2, cost=None)):
        back = through(row)
        assert cells(LEDGER, back) == cells(LEDGER, row)
        assert (back.counts, back.cost, back.debits, back.hold) == (row.counts, row.cost, row.debits, row.hold)


@given(entries_strategy())
def test_any_row_exports_as_before(row: Entry) -> None:
    assert json_row(LEDGER, through(row)) == json_row(LEDGER, row)


def test_what_is_not_a_row_is_an_error() -> None:
    for wrong in ({}, {**json_row(LEDGER, entry(1)), "id": "x"}, {**json_row(LEDGER, entry(1)), "at": None}):
        with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
            entry_of(wrong)
