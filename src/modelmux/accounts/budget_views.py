"""Budgets and their windows of now as clients of the API and ``--json`` see them."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from msgspec import Struct

from modelmux.accounts.adjustments import Adjustment, holds
from modelmux.accounts.amounts import format_amount
from modelmux.accounts.budget_windows import window_of
from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.periods import time_text
from modelmux.accounts.windows import Window, WindowRule


class WindowState(Struct, frozen=True, kw_only=True):
    """The window of a subject of a budget.

    :param limit: with top-ups and overrides, in the unit of the budget, as ``spent`` and ``held``.
    :param held: what the processes of the gateway keep for requests that run, and for the next ones.
    """

    subject: str
    window: Window
    limit: int
    spent: int
    held: int


def adjustments_now(directory: Directory, budget: Budget, now: int, zone: tzinfo) -> list[Adjustment]:
    """Those that count now, in the order in which they apply.

    :param now: microseconds in UTC. :param zone: ``accounts.zone``.
    """
    window = window_of(directory, budget, now, zone)
    current = [one for one in directory.adjustments_of(budget.id) if holds(one, window, now)]
    return sorted(current, key=lambda one: (one.created, one.id))


def budget_json(budget: Budget) -> dict[str, Any]:
    """What the admin API shows of a budget."""
    chosen, rule = budget.applies_to, budget.window
    window: dict[str, Any] = {"every": rule.every}
    if rule.zone is not None:
        window["zone"] = rule.zone
    if rule.every == "week":
        window["starts"] = rule.starts
    if rule.hour:
        window["hour"] = rule.hour
    return {
        "id": budget.id,
        "name": budget.name,
        "status": budget.status,
        "applies_to": {f: value for f in chosen.__struct_fields__ if (value := getattr(chosen, f)) is not None},
        "limit": format_amount(budget.limit, budget.unit),
        "unit": budget.unit,
        "window": rule.every if rule == WindowRule(every=rule.every) else window,
        "mode": budget.mode,
        "alerts": [alert / 100 for alert in budget.alerts],
        "on_short": budget.on_short,
        "reserve": budget.reserve,
        "managed": budget.managed,
    }


def state_json(budget: Budget, state: WindowState) -> dict[str, Any]:
    """A window; amounts are decimals in the unit of the budget."""
    return {
        "subject": state.subject or None,
        "start": time_text(state.window.start),
        "resets_at": time_text(state.window.end),
        **{name: format_amount(getattr(state, name), budget.unit) for name in ("limit", "spent", "held")},
    }


def adjustment_json(budget: Budget, one: Adjustment) -> dict[str, Any]:
    """A top-up or an override; ``until`` is null if it holds in the window in which it was made."""
    return {
        "id": one.id,
        "budget": one.budget,
        "kind": one.kind,
        "subject": one.subject or None,
        "amount": format_amount(one.amount, budget.unit),
        "reason": one.reason,
        "author": one.author,
        "created_at": time_text(one.created),
        "until": time_text(one.until),
    }
