"""What the holder of a key sees of it: what it may do, and what is left of its limits and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelmux.accounts.access import contact_of
from modelmux.accounts.amounts import format_amount
from modelmux.accounts.budget_windows import WindowState
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Directory
from modelmux.accounts.limits import LimitUse
from modelmux.accounts.records import Key
from modelmux.accounts.views import plain, time_text, window_view

Chain = Sequence[tuple[Budget, WindowState]]


def own_key_json(
    directory: Directory, key: Key, hint: str, budgets: Chain, limits: Sequence[LimitUse]
) -> dict[str, Any]:
    """A key as its holder sees it. An empty list allows all.

    :param hint: of the secret that the request was sent with.
    :param budgets: that its requests may be charged to, each with its window of now.
    """
    chain = tightest_first(budgets)
    team, person = directory.teams.get(key.team or ""), directory.people.get(key.person or "")
    return {
        "object": "key",
        "id": key.id,
        "name": key.name,
        "hint": hint,
        "status": key.status,
        "team": None if team is None else {"id": team.id, "name": team.name},
        "person": None if person is None else {"id": person.id, "email": person.email},
        "contact": contact_of(directory, key),
        "created_at": time_text(key.created),
        "expires_at": time_text(key.expires),
        "models": list(key.models),
        "apis": list(key.apis),
        "addresses": list(key.addresses),
        "tags": dict(key.tags),
        "limits": [_limit_json(directory, one) for one in limits],
        "budgets": [chain_json(budget, state) for budget, state in chain],
        "tightest_budget": next((budget.id for budget, _ in chain if budget.mode == "hard"), None),
    }


def tightest_first(budgets: Chain) -> list[tuple[Budget, WindowState]]:
    """Those that refuse before those that only count; of one unit that with least left; and of the units that whose
    tightest budget has the smaller part of its limit left."""
    shares: dict[tuple[str, str], float] = {}
    least: dict[tuple[str, str], int] = {}
    for budget, state in budgets:
        unit, left = (budget.mode, budget.unit), remaining(state)
        if left < least.get(unit, left + 1):
            least[unit], shares[unit] = left, left / state.limit if state.limit else 0.0

    def rank(one: tuple[Budget, WindowState]) -> tuple[bool, float, str, int, str]:
        budget, state = one
        return budget.mode == "soft", shares[budget.mode, budget.unit], budget.unit, remaining(state), budget.id

    return sorted(budgets, key=rank)


def remaining(state: WindowState) -> int:
    """What is neither spent nor held, in the unit of the budget."""
    return max(0, state.limit - state.spent - state.held)


def chain_json(budget: Budget, state: WindowState) -> dict[str, Any]:
    """A budget of a key with its window of now; amounts are decimals in its unit."""
    return {
        "id": budget.id,
        "name": budget.name,
        "unit": budget.unit,
        "mode": budget.mode,
        "window": budget.window.every,
        "for": _conditions(budget.applies_to),
        **plain(window_view(budget, state)),
        "remaining": format_amount(remaining(state), budget.unit),
    }


def _limit_json(directory: Directory, one: LimitUse) -> dict[str, Any]:
    record = directory.limits.get(one.applied.id)
    return {
        "rate": one.rate,
        "holder": one.applied.holder,
        "name": one.applied.name,
        "for": {} if record is None else _conditions(record.applies_to),
        "limit": one.limit,
        "used": one.used,
        "remaining": max(0, one.limit - one.used),
    }


def _conditions(selector: Selector) -> dict[str, str]:
    """What has to be true of a request beside whose it is."""
    return {name: value for name in ("model", "route", "tag") if (value := getattr(selector, name)) is not None}
