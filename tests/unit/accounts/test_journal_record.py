"""What a killed process noted of a request becomes its row: exact where its calls had ended, at most where they ran.

Risk: a call that ran is charged too little, so that a budget is passed; one that had ended is charged its worst case;
what JSON does to the note changes the cost.
"""

from __future__ import annotations

import json
from datetime import date
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from modelmux.accounts.worst_case import worst_case
from modelmux.catalog import builtin_prices
from modelmux.claude.demand import Demand, demand_of
from modelmux.wire.anthropic import CacheCreation, ServerToolUse, Usage
from support.translation import SONNET

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


#: Has prices for fast mode.
FAST = "claude-fable-5-2"


@pytest.mark.parametrize("unit", ["usd", "tokens"])
@pytest.mark.parametrize("usage", [None, Usage(input_tokens=100, output_tokens=1)])
@pytest.mark.parametrize("writes", ["none", "5m", "1h"])
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("searches", [0, 2])
def test_a_call_that_ran_is_charged_what_it_held_at_most(
    usage: Usage | None, writes: Any, fast: bool, searches: int, unit: Any
) -> None:
    demand = Demand(prompt=400, output=1_000, writes=writes, fast=fast, searches=searches)
    running = call(
        model=FAST, usage=usage, is_complete=False, output_reported=False, is_ended=False,
        writes=writes, fast=fast, searches=searches,
    )  # fmt: skip

    entry = recovered_entry(record(running), PRICES)

    held = worst_case(demand, unit, PRICES.price(FAST, DAY), "global")
    assert entry.cost is not None
    assert held is not None
    charged = entry.cost.total if unit == "usd" else entry.counts.prompt + entry.counts.output
    assert charged <= held
    if usage is None:
        assert held - charged <= 3
    assert entry.attempts[0].fast == fast


@pytest.mark.parametrize("uses", [2**50, 2**63, 10**30])
def test_numbers_that_a_client_makes_up_can_be_read_and_written_again(uses: int) -> None:
    """Else the row is lost, and what the process had leased for all others is charged."""
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": uses}
    demand = demand_of(json.dumps({"max_tokens": uses, "speed": "fast", "tools": [search] * 9}).encode(), SONNET)
    running = call(
        usage=None, is_complete=False, is_ended=False, prompt_bound=demand.prompt, output_bound=demand.output,
        writes="1h", fast=True, searches=demand.searches, model=FAST,
    )  # fmt: skip

    entry = recovered_entry(decode_record(encode_record(record(running))), PRICES)

    assert entry.cost is not None
    assert entry.cost.total < 10**16, "ten million USD, of which many fit in 64 bits"


def test_a_model_that_has_no_fast_mode_has_its_usual_price() -> None:
    usual, fast = (
        recovered_entry(record(call(usage=None, is_complete=False, is_ended=False, fast=fast)), PRICES)
        for fast in (False, True)
    )

    assert usual.cost is not None
    assert usual.cost == fast.cost


@st.composite
def requests(draw: st.DrawFn) -> list[list[JournalCall]]:
    """Of each attempt the notes: when it left, when its reply began (if it did), and when it was over."""

    def attempt(is_last: bool) -> list[JournalCall]:
        prompt, output, searches = draw(st.integers(0, 300_000)), draw(st.integers(0, 9_000)), draw(st.integers(0, 3))
        writes, fast = draw(st.sampled_from(["none", "5m", "1h"])), draw(st.booleans())
        sent = call(
            model=FAST, usage=None, is_complete=False, output_reported=False, is_ended=False, message_id=None,
            characters=0, prompt_bound=prompt, output_bound=output, writes=writes, fast=fast, searches=searches,
        )  # fmt: skip
        of_begin = draw(st.integers(0, prompt))
        most = prompt if searches else of_begin
        written = draw(st.integers(0, of_begin)) if writes != "none" else 0
        long = draw(st.integers(0, written)) if writes == "1h" else 0
        creation = CacheCreation(ephemeral_1h_input_tokens=long, ephemeral_5m_input_tokens=written - long)
        began = Usage(
            input_tokens=of_begin - written, output_tokens=0, cache_creation_input_tokens=written,
            cache_creation=creation, speed="fast" if fast and draw(st.booleans()) else None,
        )  # fmt: skip
        ended = msgspec.structs.replace(
            began,
            input_tokens=draw(st.integers(of_begin, most)) - written,
            output_tokens=draw(st.integers(0, output)),
            server_tool_use=ServerToolUse(web_search_requests=draw(st.integers(0, searches))),
        )
        change, whole = msgspec.structs.replace, draw(st.booleans())
        if not is_last and draw(st.booleans()):  # refused
            return [sent, change(sent, may_be_billed=False, is_ended=True)]
        if draw(st.booleans()):  # no reply came
            return [sent, change(sent, is_ended=True)]
        begun = change(sent, usage=began, message_id="msg_1")
        characters = draw(st.integers(0, 40_000))
        if whole:
            over = change(begun, usage=ended, is_complete=True, output_reported=True, is_ended=True)
        else:
            over = change(begun, characters=characters, is_ended=True)
        return [sent, begun, over]

    return [attempt(is_last) for is_last in (*[False] * draw(st.integers(0, 2)), True)]


@given(requests())
def test_whenever_the_process_is_killed_its_row_costs_at_least_what_is_known_later(
    attempts: list[list[JournalCall]],
) -> None:
    """And exactly that, when all calls have ended."""
    costs = []
    for index, notes in enumerate(attempts):
        before = [one[-1] for one in attempts[:index]]
        later = [one[-1] for one in attempts[index + 1 :]]
        of_attempt = [recovered_entry(decode_record(encode_record(record(*before, one))), PRICES) for one in notes]
        totals = [entry.cost.total for entry in of_attempt if entry.cost is not None]
        assert len(totals) == len(notes)
        assert all(first >= second for first, second in pairwise(totals))
        assert [entry.kind for entry in of_attempt] == ["in_doubt"] * (len(notes) - 1) + ["usage"]
        costs.append(totals[-1])
        assert later or totals[-1] == sum(
            cost.total for one in (*before, notes[-1]) if (cost := charge(_as_live(one), PRICES).cost) is not None
        )
    assert costs == sorted(costs), "a further call takes nothing back"


def _as_live(one: JournalCall) -> Call:
    """What the row of a process that lives is made of."""
    names = set(Call.__struct_fields__) & set(JournalCall.__struct_fields__) - {"writes", "fast", "searches"}
    return Call(day=DAY, **{name: getattr(one, name) for name in names})
