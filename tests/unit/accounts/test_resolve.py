"""Risk: a resolved row costs something else than what was stated, a budget gets back what it was never charged, or a
second decision counts twice.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.debits import sums_of_debits
from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.fields import FieldError
from modelmux.accounts.resolve import balance_json, is_resolved, resolve
from modelmux.accounts.slices import WindowKey
from support.directories import budget, directory_of
from support.entries import MODEL, entry

HAIKU = "claude-haiku-5-5"
WINDOWS = {id: WindowKey(id, "", 0) for id in ("usd", "tokens", "requests", "model", "other", "gone")}
DIRECTORY = directory_of(
    budget("usd", "a"), budget("tokens", "b", unit="tokens"), budget("requests", "c", unit="requests"),
    budget("model", "d", model="claude-opus-*"), budget("other", "e", model=HAIKU),
)  # fmt: skip
#: An attempt that had ended at 300, and one that ran at 700.
ATTEMPTS = (AttemptEntry("h", "overloaded", TokenCounts(input=3), model=HAIKU), AttemptEntry("o", "process_killed", TokenCounts(output=7), model=MODEL))  # fmt: skip  # noqa: E501


def in_doubt(**fields: Any) -> Entry:
    debits = {"usd": 1_000, "tokens": 10, "requests": 1, "model": 700, "other": 300, "gone": 5}
    plain = {
        "kind": "in_doubt", "cost": Cost(input=300, output=700), "counts": TokenCounts(input=3, output=7),
        "attempts": ATTEMPTS, "debits": tuple((WINDOWS[id], amount) for id, amount in debits.items()), "hold": 1_000,
        "recovered": True, "outcome": "gateway_error",
    }  # fmt: skip
    return entry(**{**plain, **fields})


def lease(window: str, amount: int = 50) -> Entry:
    return entry(
        kind="in_doubt", model=None, deployment=None, price=None, cost=Cost(), counts=TokenCounts(),
        debits=((WINDOWS[window], amount),),
    )  # fmt: skip


def made(row: Entry, corrections: list[Entry], cost: int | None, directory: Directory = DIRECTORY) -> Entry | None:
    return resolve(directory, row, corrections, cost, " the invoice says so ")


def after(row: Entry, *costs: int | None) -> list[Entry]:
    rows = [row]
    for cost in costs:
        one = made(row, rows[1:], cost)
        rows += [] if one is None else [one]
    return rows


def totals(rows: list[Entry]) -> tuple[int, TokenCounts, dict[str, int]]:
    counts = TokenCounts()
    for one in rows:
        counts += one.counts
    spent = {key.budget: amount for key, amount in sums_of_debits(rows).items()}
    return sum(one.cost.total for one in rows if one.cost is not None), counts, spent


def test_a_stated_cost_is_what_it_cost_and_budgets_follow() -> None:
    row = in_doubt()
    cost, counts, spent = totals(after(row, 400))
    assert (cost, counts) == (400, row.counts), "of its tokens nothing was said"
    assert spent == {"usd": 400, "tokens": 10, "requests": 1, "model": 100, "other": 300, "gone": 5}
    cost, _, spent = totals(after(row, 1_500))
    assert (cost, spent["usd"], spent["model"], spent["other"]) == (1_500, 1_500, 1_200, 300)
    assert totals(after(row, 100))[2]["model"] == 0, "no window gets back more than it was charged"


def test_nothing_used_is_nothing_charged_but_a_request() -> None:
    cost, counts, spent = totals(after(in_doubt(), None))
    assert (cost, counts) == (0, TokenCounts())
    assert spent == {"usd": 0, "tokens": 0, "requests": 1, "model": 0, "other": 0, "gone": 5}


def test_the_row_says_what_it_is_of() -> None:
    row = in_doubt(key="key_1", team="a/b")
    one = made(row, [], 400)
    assert one is not None
    assert (one.kind, one.corrects, one.reason, one.at) == ("resolve", row.id, "the invoice says so", row.at)
    assert (one.key, one.team, one.model, one.attempts, one.hold) == ("key_1", "a/b", MODEL, (), 0)
    assert one.id[:6] == row.id[:6]
    assert one.id == made(row, [], 500).id, "two decisions at once are one row"  # type: ignore[union-attr]
    assert is_resolved([one])
    assert not is_resolved([])


def test_the_same_decision_again_adds_nothing_and_another_one_the_difference() -> None:
    row = in_doubt()
    assert len(after(row, 400, 400)) == 2
    assert len(after(row, None, None)) == 2
    assert totals(after(row, 400, 900))[:1] == (900,)
    assert totals(after(row, 400, 900))[2] == totals(after(row, 900))[2]
    assert totals(after(row, None, 400))[2]["usd"] == 400
    assert len(after(row, 1_000)) == 2, "what it is charged already is a decision, too"
    assert len(after(row, 1_000, 1_000)) == 2


def test_a_price_that_is_unknown_does_not_matter() -> None:
    row = in_doubt(cost=None, price=None)
    rows = after(row, 250)
    cost, _, spent = totals(rows)
    assert (cost, spent["usd"], spent["model"]) == (250, 250, 250)
    assert rows[1].reason == "the price was unknown: the invoice says so"
    assert totals(after(row, 250, 100))[0] == 100
    assert balance_json([row])["cost"] is None
    assert balance_json(rows) == {
        "cost": "0.00000025",
        "budgets": {"usd": 250, "tokens": 10, "requests": 1, "model": 250, "other": 250, "gone": 5},
    }


def test_the_rest_of_a_lease_changes_budgets_alone() -> None:
    for cost, spent in ((20, 20), (None, 0)):
        assert totals(after(lease("usd"), cost)) == (0, TokenCounts(), {"usd": spent})
    for window in ("tokens", "requests"):
        assert totals(after(lease(window), None))[2] == {window: 0}
        with pytest.raises(FieldError, match=r"cost: the row charges 50 .* expected void"):
            made(lease(window), [], 20)


@pytest.mark.parametrize(
    ("fields", "cost", "reason", "message"),
    [
        ({"kind": "usage"}, 1, "x", "id: the row is not in doubt"),
        ({"corrects": bytes(16)}, 1, "x", "id: the row is not in doubt"),
        ({}, -1, "x", "cost: -0.000000001 cannot be a cost"),
        ({}, 10**15 + 1, "x", "cost: 1000000.000000001 cannot be a cost"),
        ({}, 1, " ", "reason: "), ({}, 1, "x" * 501, "reason: "), ({}, None, "a\nb", "reason: "),
    ],
)  # fmt: skip
def test_what_cannot_be_resolved_is_named(fields: dict[str, Any], cost: int | None, reason: str, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        resolve(DIRECTORY, in_doubt(**fields), [], cost, reason)


def test_what_was_taken_back_stays_taken_back() -> None:
    row = in_doubt()
    with pytest.raises(FieldError, match="not in doubt"):
        made(row, [entry(kind="void", corrects=row.id)], 5)


amounts = st.integers(0, 10**9)
costs = st.builds(Cost, **dict.fromkeys(Cost.__struct_fields__, amounts))


@given(costs, st.lists(st.none() | st.integers(0, 10**10), min_size=1, max_size=4))
def test_whatever_is_decided_the_sum_is_the_last_decision_and_no_component_is_below_0(
    cost: Cost, decisions: list[int | None]
) -> None:
    rows = after(in_doubt(cost=cost, debits=((WINDOWS["usd"], cost.total),)), *decisions)
    together = Cost()
    for one in rows:
        assert one.cost is not None
        together += one.cost
    assert together.total == totals(rows)[2].get("usd", 0) == (decisions[-1] or 0)
    assert min(astuple(together)) >= 0
