"""Budgets: what is spent, held and left of each, and a top-up."""

from __future__ import annotations

from typing import Final

from modelmux.dashboard.page import ROOT, Action, Data, Moved, Names, Page, Visit, part

_LIMIT: Final = "100"
#: What a budget that selects nothing, or each of something, applies to.
_EACH: Final = {"key": "each key", "person": "each person", "end_user": "each end user"}


async def build_list(visit: Visit) -> Data:
    after = visit.query.get("after", "")
    page = await visit.read("/budgets", limit=_LIMIT, **({"after": after} if after else {}))
    names = await visit.names()
    for budget in page["data"]:
        _describe(budget, names)
    return page | {"after": after}


async def build_detail(visit: Visit) -> Data:
    budget = await visit.read(f"/budgets/{part(visit.path['id'])}")
    names = await visit.names()
    _describe(budget, names)
    may_top_up = visit.may("budgets.write") and names.may_change_budget(budget["id"]) and not budget["managed"]
    return {"budget": budget, "may_top_up": may_top_up, "form": {}}


async def top_up(visit: Visit) -> Moved:
    form = {name: value.strip() for name, value in visit.form.items()}
    body: Data = {"amount": form.get("amount", ""), "reason": form.get("reason", "")}
    if form.get("subject"):
        body["subject"] = form["subject"]
    if form.get("until"):
        body["until"] = f"{form['until']}T00:00:00Z"
    path = f"/budgets/{part(visit.path['id'])}"
    await visit.write(f"{path}/top-up", body, once=form.get("once") or None)
    return Moved(ROOT + path)


def _describe(budget: Data, names: Names) -> None:
    """Add what it applies to, and in which windows, in words."""
    chosen = budget["applies_to"]
    words = [_EACH[chosen["each"]]] if chosen.get("each") else []
    for kind, name in (("key", names.key), ("team", names.team), ("person", names.person)):
        if chosen.get(kind):
            words.append(f"{kind} {name(chosen[kind])}")
    words += [f"{kind} {chosen[kind]}" for kind in ("model", "route", "tag") if chosen.get(kind)]
    budget["applies_to_text"] = ", ".join(words) or "all requests"
    window = budget["window"]
    budget["window_text"] = window if isinstance(window, str) else window["every"]
    is_of_people = chosen.get("each") == "person"
    for one in budget["windows"]:
        subject = one["subject"]
        named = names.person if is_of_people else names.key
        one["subject_name"] = None if subject is None else named(subject)


BUDGETS: Final = Page(f"{ROOT}/budgets", "budgets.html", "Budgets", "budgets.read", build_list, nav="Budgets")
BUDGET: Final = Page(f"{ROOT}/budgets/{{id}}", "budget.html", "Budget", "budgets.read", build_detail)
ACTIONS: Final = (Action(f"{ROOT}/budgets/{{id}}/top-up", "budgets.write", top_up, BUDGET),)
