"""Budgets and their windows of now as text for people."""

from __future__ import annotations

from datetime import tzinfo

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.amounts import format_amount
from modelmux.accounts.budget_windows import WindowState, usable_zone_of_budget
from modelmux.accounts.budgets import Budget, Selector, Unit
from modelmux.accounts.directory import Directory
from modelmux.accounts.periods import format_instant
from modelmux.accounts.windows import WindowRule
from modelmux.cli.usage.report import rounded


def budget_fields(
    zone: tzinfo, directory: Directory, budget: Budget, states: list[WindowState], adjustments: list[Adjustment]
) -> list[tuple[str, str | None]]:
    """For people. :param zone: that of windows which name none."""
    default, zone = zone, usable_zone_of_budget(directory, budget, zone)
    wait = {"refuse": "refused", "wait": "waits", "clamp": "gets fewer tokens"}[budget.on_short]
    return [
        ("id", budget.id),
        ("name", budget.name),
        ("status", budget.status),
        ("applies to", selector_text(directory, budget.applies_to).replace(",", ", ")),
        ("limit", f"{amount_text(budget.limit, budget.unit)} {budget.unit.replace('usd', 'USD')}"),
        ("window", f"{window_text(budget.window)} ({zone})" if _has_zone(budget.window) else budget.window.every),
        ("mode", budget.mode),
        ("if short", None if budget.mode == "soft" else wait),
        ("reserve", None if budget.mode == "soft" else budget.reserve),
        ("alerts", ", ".join(f"{alert} %" for alert in budget.alerts)),
        ("metric", "shown in /metrics" if budget.metric else None),
        ("managed", "by the configuration" if budget.managed else None),
        *(("now", _whose(directory, budget, one) + state_text(default, directory, budget, one)) for one in states),
        *((one.kind.replace("_", "-"), _adjustment_text(directory, budget, one, zone)) for one in adjustments),
    ]  # fmt: skip


def selector_text(directory: Directory, selector: Selector) -> str:
    """``team=Data,each=person`` with the names of now; ``all`` without a condition."""
    shown = {field: getattr(selector, field) for field in selector.__struct_fields__}
    for field in ("key", "team", "person"):
        shown[field] = shown[field] and _name(directory, field, shown[field])
    return ",".join(f"{field}={value}" for field, value in shown.items() if value is not None) or "all"


def subject_text(directory: Directory, budget: Budget, subject: str) -> str:
    """The name of a key, the e-mail address of a person, or an end user as rows have it."""
    return _name(directory, budget.applies_to.each or "", subject)


def window_text(rule: WindowRule) -> str:
    """``week from sunday at 06:00``."""
    starts = f" from {rule.starts}" if rule.every == "week" else ""
    return f"{rule.every}{starts}{f' at {rule.hour:02}:00' if rule.hour else ''}"


def amount_text(amount: int, unit: Unit) -> str:
    """USD with four decimals, or exactly if it is a whole number; others with commas."""
    if unit != "usd":
        return f"{amount:,}"
    return format_amount(amount, unit) if amount % 1_000_000_000 == 0 else rounded(amount)


def _name(directory: Directory, kind: str, id: str) -> str:
    match kind:
        case "key" if id in directory.keys:
            return directory.keys[id].name
        case "team" if id in directory.teams:
            return directory.teams[id].name
        case "person" if id in directory.people:
            return directory.people[id].email
    return id


def state_text(zone: tzinfo, directory: Directory, budget: Budget, state: WindowState) -> str:
    """``12.5000 spent and 0 held of 50, resets 2026-12-01T00:00:00+01:00``."""
    spent, held, limit = (amount_text(getattr(state, name), budget.unit) for name in ("spent", "held", "limit"))
    end = state.window.end
    resets = "" if end is None else f", resets {format_instant(end, usable_zone_of_budget(directory, budget, zone))}"
    return f"{spent} spent and {held} held of {limit}{resets}"


def _whose(directory: Directory, budget: Budget, state: WindowState) -> str:
    return f"{subject_text(directory, budget, state.subject)}: " if state.subject else ""


def _adjustment_text(directory: Directory, budget: Budget, one: Adjustment, zone: tzinfo) -> str:
    whose = f" for {subject_text(directory, budget, one.subject)}" if one.subject else ""
    until = "in this window" if one.until is None else f"until {format_instant(one.until, zone)}"
    reason = f": {one.reason}" if one.reason else ""
    return f"{amount_text(one.amount, budget.unit)}{whose} {until}, by {one.author}{reason}"


def _has_zone(rule: WindowRule) -> bool:
    return rule.every not in ("hour", "lifetime")
