"""What a killed process noted of a request becomes its row: exact where its calls had ended, at most where they ran.

Risk: a call that ran is charged too little, so that a budget is passed; one that had ended is charged its worst case;
what JSON does to the note changes the cost.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest

from modelmux.accounts.charge import Call, charge
from modelmux.accounts.cost import TokenCounts
from modelmux.accounts.debits import ChargedWindow
from modelmux.accounts.journal_record import (
    JournalCall,
    JournalRecord,
    decode_record,
    encode_record,
    recovered_entry,
)
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.uuid7 import uuid7
from modelmux.catalog import builtin_prices
from modelmux.wire.anthropic import Usage

PRICES = builtin_prices()
MODEL = "claude-sonnet-4-6"
AT = 1_790_000_000_000_000
DAY = date(2026, 9, 21)
USAGE = Usage(input_tokens=100, output_tokens=20, cache_read_input_tokens=7)
MONTH = WindowKey("bud_1", "", 5)
CALLS_A_DAY = WindowKey("bud_2", "key_1", 6)


def call(**changes: Any) -> JournalCall:
    usual = JournalCall(
        "global/sonnet", MODEL, "global", USAGE, is_complete=True, output_reported=True, may_be_billed=True,
        characters=50, prompt_bound=400, output_bound=1_000, is_ended=True, message_id="msg_1",
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def record(*calls: JournalCall, windows: tuple[ChargedWindow, ...] = ()) -> JournalRecord:
    return JournalRecord(
        uuid7(AT, bytes(8)), AT, "key_1", "usr_1", "team_1", "chat", "chat", "fast", True, windows, calls
    )


def test_a_request_that_had_ended_costs_what_it_would_have() -> None:
    written = decode_record(encode_record(record(call(usage=None, may_be_billed=False, is_complete=False), call())))

    entry = recovered_entry(written, PRICES)

    expected = charge(
        Call(model=MODEL, location="global", day=DAY, usage=USAGE, is_complete=True, may_be_billed=True), PRICES
    )
    assert (entry.kind, entry.outcome, entry.status, entry.recovered) == ("usage", "ok", 200, True)
    assert (entry.counts, entry.cost, entry.price) == (expected.counts, expected.cost, expected.price)
    assert (entry.id, entry.at, entry.key, entry.person, entry.team) == (
        uuid7(AT, bytes(8)), AT, "key_1", "usr_1", "team_1",
    )  # fmt: skip
    assert (entry.model, entry.route, entry.upstream_id) == (MODEL, "fast", "msg_1")
    assert [attempt.result for attempt in entry.attempts] == ["process_killed", "ok"]


def test_rounds_of_the_upstream_survive_the_note() -> None:
    usage = msgspec.json.decode(
        b'{"input_tokens":9,"output_tokens":4,"iterations":[{"type":"message","input_tokens":9,"output_tokens":4},'
        b'{"type":"message","input_tokens":30,"output_tokens":5}]}',
        type=Usage,
    )

    entry = recovered_entry(decode_record(encode_record(record(call(usage=usage)))), PRICES)

    assert entry.counts == TokenCounts(input=39, output=9)
    assert len(entry.attempts[0].rounds) == 2


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, TokenCounts(input=400, output=1_000)),
        (Usage(input_tokens=100, output_tokens=1), TokenCounts(input=100, output=1_000)),
    ],
)
def test_a_call_that_ran_is_in_doubt(usage: Usage | None, expected: TokenCounts) -> None:
    running = call(usage=usage, is_complete=False, output_reported=False, characters=0, is_ended=False)

    entry = recovered_entry(record(running), PRICES)

    assert (entry.kind, entry.counts, entry.estimated) == ("in_doubt", expected, True)
    assert (entry.outcome, entry.status, entry.code) == ("gateway_error", 500, "process_killed")


def test_an_answer_that_the_upstream_reported_as_longer_than_its_bound_is_charged_in_full() -> None:
    running = call(usage=Usage(input_tokens=1, output_tokens=1_500), is_complete=False, is_ended=False)

    assert recovered_entry(record(running), PRICES).counts.output == 1_500


def test_a_stream_that_its_client_left_is_charged_for_what_came() -> None:
    left = call(usage=Usage(input_tokens=100, output_tokens=1), is_complete=False, output_reported=False)

    entry = recovered_entry(record(left), PRICES)

    assert (entry.kind, entry.counts.output, entry.estimated) == ("usage", 50 // 3 + 1, True)
    assert (entry.outcome, entry.code) == ("gateway_error", "process_killed")


def test_windows_are_charged_as_by_any_other_row() -> None:
    windows = (ChargedWindow(MONTH, "usd", None, 9_000_000), ChargedWindow(CALLS_A_DAY, "requests"))

    entry = recovered_entry(decode_record(encode_record(record(call(), windows=windows))), PRICES)

    assert entry.cost is not None
    assert entry.debits == ((MONTH, entry.cost.total), (CALLS_A_DAY, 1))
    assert entry.hold == 9_000_000


def test_without_a_price_it_costs_what_it_held() -> None:
    windows = (ChargedWindow(MONTH, "usd", None, 9_000_000), ChargedWindow(CALLS_A_DAY, "usd"))

    entry = recovered_entry(record(call(model="claude-unknown-9"), windows=windows), PRICES)

    assert entry.cost is None
    assert entry.debits == ((MONTH, 9_000_000),)


def test_a_window_for_some_models_is_charged_for_their_calls() -> None:
    calls = (call(is_complete=False, characters=0), call(model="claude-opus-5-5"))
    windows = (
        ChargedWindow(MONTH, "tokens", "claude-opus-*"),
        ChargedWindow(CALLS_A_DAY, "tokens"),
        ChargedWindow(WindowKey("bud_3", "", 5), "requests", "claude-haiku-*"),
        ChargedWindow(WindowKey("bud_4", "", 5), "usd", "claude-sonnet-*", 77),
    )

    entry = recovered_entry(record(*calls, windows=windows), PRICES)

    (sonnet,) = (window for window in entry.debits if window[0].budget == "bud_4")
    assert entry.debits[:2] == ((MONTH, 127), (CALLS_A_DAY, 254))
    assert sonnet[1] == 3_000 * 100 + 300 * 7 + 15_000 * 20
