"""Changes of budgets, decided from the directory as it is: see ``edits``.

Budgets are disabled, never deleted: the ledger refers to them. A top-up or an override is a record of its own, so one
of a managed budget does not fight with the configuration.
"""

from __future__ import annotations

import itertools
from typing import Final, Literal

from msgspec.structs import replace

from modelmux.accounts import fields
from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.amounts import MAX_AMOUNT, format_amount
from modelmux.accounts.attribution import is_tag, is_tag_name
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.edits import MANAGED, Edit, action_of, check_unique
from modelmux.accounts.fields import MAX_NAME, FieldError, RecordConflict
from modelmux.accounts.windows import WindowRule

MAX_ALERTS: Final = 10
#: Percent; a hard budget never passes its limit.
MAX_ALERT: Final[dict[str, int]] = {"hard": 100, "soft": 1_000}
MAX_REASON: Final = 256


def save_budget(directory: Directory, budget: Budget, *, by_config: bool = False) -> Edit:
    """A new budget, or one with other fields; an empty edit if it is there as it is.

    :raises FieldError: fields of its window and its selector as ``window.zone`` and ``applies_to.team``.
    """
    before = directory.budgets.get(budget.id)
    if before is not None and before.managed and not by_config:
        raise RecordConflict("managed", "budget", f"{before.name!r} is managed", MANAGED)
    budget = replace(
        budget,
        name=fields.name("name", budget.name),
        applies_to=checked_selector(directory, budget.applies_to),
        alerts=_alerts(budget),
        managed=by_config,
    )
    check_unique("name", budget, budget.name, {one.id: one.name for one in directory.budgets.values()})
    if not 0 < budget.limit <= MAX_AMOUNT:
        problem = f"{format_amount(budget.limit, budget.unit)} cannot be a limit"
        raise FieldError(
            "limit", problem, f"expected more than 0, and at most {format_amount(MAX_AMOUNT, budget.unit)}"
        )
    _check_window(budget.window)
    if budget.on_short == "clamp" and budget.unit == "requests":
        raise FieldError("on_short", "fewer tokens do not help a budget of requests", "expected refuse or wait")
    if budget.metric and (budget.unit != "usd" or budget.applies_to.each is not None):
        problem = "metrics show a budget in USD that has one window, and none for each"
        raise FieldError("metric", problem, "expected false, or such a budget")
    if before is not None and before.unit != budget.unit:
        problem = f"what was spent of {before.name!r} is counted in {before.unit}"
        raise FieldError("unit", problem, "disable it, and make another budget")
    action = action_of("budget", directory.budgets, budget)
    return Edit(action=action, subject=budget.id, budgets=() if budget == before else (budget,))


def with_budget(directory: Directory, edit: Edit, budget: Budget) -> Edit:
    """A change with a new budget that refers to what is new in it. If its name is taken, it gets a number behind it.

    :raises FieldError:
    """
    after = directory.updated(Changes(version=directory.version, teams=edit.teams, people=edit.people, keys=edit.keys))
    taken = {one.name.lower() for one in directory.budgets.values()}
    base = budget.name.strip()[: MAX_NAME - 10]
    names = (base if number == 1 else f"{base}-{number}" for number in itertools.count(1))
    budget = replace(budget, name=next(name for name in names if name.lower() not in taken))
    return replace(edit, budgets=save_budget(after, budget).budgets)


def set_budget_status(directory: Directory, budget: str, status: Literal["active", "disabled"]) -> Edit:
    """Enable or disable a budget. Twice is as good as once: nothing is written then.

    :raises FieldError: it is managed.
    """
    record = directory.budgets[budget]
    if record.managed:
        raise RecordConflict("managed", "budget", f"{record.name!r} is managed", MANAGED)
    changed = () if record.status == status else (replace(record, status=status),)
    return Edit(action=f"budget.{'enable' if status == 'active' else 'disable'}", subject=budget, budgets=changed)


def adjust(directory: Directory, adjustment: Adjustment) -> Edit:
    """Top up a budget, or override its limit for a while; of a managed budget, too.

    :raises FieldError:
    """
    budget = directory.budgets[adjustment.budget]
    least = 0 if adjustment.kind == "override" else -MAX_AMOUNT
    if not least <= adjustment.amount <= MAX_AMOUNT or (adjustment.kind == "top_up" and adjustment.amount == 0):
        what = "limit" if adjustment.kind == "override" else "amount"
        problem = f"{format_amount(adjustment.amount, budget.unit)} cannot be the {what}"
        raise FieldError(what, problem, "expected 0 or more" if what == "limit" else "expected more or less than 0")
    if len(adjustment.reason) > MAX_REASON or not adjustment.reason.isprintable():
        raise FieldError("reason", "it cannot be shown", f"expected at most {MAX_REASON} printable characters")
    check_subject(directory, budget, adjustment.subject)
    if adjustment.until is not None and fields.instant("until", adjustment.until) <= adjustment.created:
        raise FieldError("until", "it is in the past", "expected a time to come, such as 7d")
    action = "budget.top_up" if adjustment.kind == "top_up" else "budget.override"
    return Edit(action=action, subject=budget.id, adjustments=(adjustment,))


def check_subject(directory: Directory, budget: Budget, subject: str) -> None:
    """Whether a budget may have a window of a subject; an empty one stands for all. :raises FieldError:"""
    each = budget.applies_to.each
    if not subject:
        return
    if each is None:
        problem = f"{budget.name!r} has one window for all that it applies to"
        raise FieldError("subject", problem, "leave it out")
    if (each == "key" and subject not in directory.keys) or (each == "person" and subject not in directory.people):
        raise FieldError("subject", f"there is no {each} {subject[:MAX_NAME]!r}", "create it first")


def checked_selector(directory: Directory, selector: Selector) -> Selector:
    """A selector as it is stored. :raises FieldError: ``applies_to.team`` and so on."""
    for field, records in (("key", directory.keys), ("team", directory.teams), ("person", directory.people)):
        id = getattr(selector, field)
        if id is not None and id not in records:
            raise FieldError(f"applies_to.{field}", f"there is no {field} {id[:MAX_NAME]!r}", "create it first")
    if selector.tag is not None:
        name, equals, value = selector.tag.partition("=")
        if not (is_tag(name, value) if equals else is_tag_name(name)):
            problem = f"{selector.tag[:MAX_NAME]!r} is not a tag"
            raise FieldError("applies_to.tag", problem, "expected app=chat, or app for any value")
    patterns = {
        field: fields.models(f"applies_to.{field}", (pattern,))[0]
        for field in ("model", "route")
        if (pattern := getattr(selector, field)) is not None
    }
    return replace(selector, **patterns)


def _alerts(budget: Budget) -> tuple[int, ...]:
    """In their order, each once."""
    most = MAX_ALERT[budget.mode]
    alerts = tuple(sorted(set(budget.alerts)))
    if len(alerts) > MAX_ALERTS:
        raise FieldError("alerts", f"{len(alerts)} entries", f"expected at most {MAX_ALERTS}")
    for alert in alerts:
        if not 1 <= alert <= most:
            problem = f"{alert} % cannot be reached" if alert > most else f"{alert} % is always reached"
            expected = f"expected 1 to {most} percent of the limit of a {budget.mode} budget"
            raise FieldError("alerts", problem, f"{expected}; in the configuration and the API, 0.5 is 50 percent")
    return alerts


def _check_window(rule: WindowRule) -> None:
    """What a window does not look at is refused, not ignored."""
    has_day = rule.every not in ("hour", "lifetime")
    if rule.zone is not None:
        fields.zone("window.zone", rule.zone)
    if (rule.zone is not None or rule.hour) and not has_day:
        field = "window.zone" if rule.zone is not None else "window.hour"
        raise FieldError(field, f"it means nothing for {rule.every!r}", "leave it out")
    if rule.starts != "monday" and rule.every != "week":
        raise FieldError("window.starts", f"it means nothing for {rule.every!r}", "leave it out, or count by week")
    if not 0 <= rule.hour <= 23:
        raise FieldError("window.hour", f"{rule.hour} is not an hour of a day", "expected 0 to 23")
