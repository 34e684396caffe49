"""Risk: a budget that should apply to a request does not, or it is charged to the window of another."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.accounts.budgets import Budget, Request, Selector, chain_of
from modelmux.accounts.windows import WindowRule

REQUEST = Request(
    key="key_a", teams=("team_top", "team_data"), person="usr_ann", end_user="u1",
    model="claude-haiku-4-5@20251001", route="fast", tags={"app": "chat", "env": "prod"},
)  # fmt: skip


def budget(id: str = "bud_a", **selector: Any) -> Budget:
    return Budget(id=id, name=id, limit=1, window=WindowRule(every="month"), applies_to=Selector(**selector))


@pytest.mark.parametrize(
    ("selector", "subject"),
    [
        ({}, ""),
        ({"key": "key_a"}, ""),
        ({"key": "key_b"}, None),
        ({"team": "team_data"}, ""),
        ({"team": "team_top"}, ""),
        ({"team": "team_x"}, None),
        ({"person": "usr_ann"}, ""),
        ({"person": "usr_bob"}, None),
        ({"each": "person"}, "usr_ann"),
        ({"each": "key", "team": "team_top"}, "key_a"),
        ({"each": "end_user"}, "u1"),
        ({"each": "end_user", "team": "team_x"}, None),
        ({"model": "claude-haiku-*"}, ""),
        ({"model": "claude-haiku-4-5"}, ""),
        ({"model": "claude-opus-*"}, None),
        ({"route": "FAST"}, ""),
        ({"route": "f?st"}, None),
        ({"tag": "app"}, ""),
        ({"tag": "app=chat"}, ""),
        ({"tag": "app=mail"}, None),
        ({"tag": "team"}, None),
        ({"tag": "env=prod", "model": "claude-opus-*"}, None),
    ],
)
def test_a20_whom_a_budget_applies_to(selector: dict[str, Any], subject: str | None) -> None:
    chain = chain_of([budget(**selector)], REQUEST)
    assert [whose for _, whose in chain] == ([] if subject is None else [subject])


def test_a_budget_for_each_leaves_out_those_who_are_no_one() -> None:
    nameless = replace(REQUEST, person=None, end_user=None)
    assert chain_of([budget(each="person"), budget(each="end_user")], nameless) == []


def test_all_that_apply_do_in_the_order_of_their_ids() -> None:
    budgets = [
        budget("bud_c"),
        budget("bud_a", team="team_top"),
        budget("bud_b", key="key_b"),
        budget("bud_0", each="key"),
    ]
    assert [one.id for one, _ in chain_of(budgets, REQUEST)] == ["bud_0", "bud_a", "bud_c"]
    assert chain_of([replace(budget(), status="disabled")], REQUEST) == []


def test_a_request_whose_model_is_not_known_yet_has_the_budgets_of_all_models() -> None:
    budgets = [budget("bud_a", model="claude-opus-*"), budget("bud_b", model="claude-opus-*", key="key_b")]
    assert [one.id for one, _ in chain_of(budgets, replace(REQUEST, model=None))] == ["bud_a"]
