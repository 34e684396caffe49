"""``/budgets``: what keys, teams, people and end users may spend."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import replace

from modelmux.accounts.budget_edits import save_budget, set_budget_status, with_budget
from modelmux.accounts.budgets import BUDGET, Budget, Mode, OnShort, Reserve, Selector, Unit
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.fields import FieldError
from modelmux.accounts.records import Status
from modelmux.accounts.views import (
    AdjustmentView,
    BudgetView,
    WindowForm,
    WindowView,
    adjustment_view,
    budget_view,
    plain,
)
from modelmux.accounts.windows import Every
from modelmux.admin.forms import Amount, SelectorForm, amount_of, selector_after, window_rule
from modelmux.admin.operation import Call, ListParams, NoParams, Operation, Page, Reply, page_of
from modelmux.admin.references import budget_at
from modelmux.admin.spending import adjustments_of_now, windows_of
from modelmux.admin.writes import change, changed_fields, check_changes, check_match, check_selected, etag_of

#: Windows of a budget for each that a list shows, and those that a read shows: of those who have spent most.
_LISTED: Final = 10
_READ: Final = 100


class BudgetForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new budget of the requests that it applies to.

    :param name: that of what it applies to, if it has none of its own.
    :param limit: in its unit: a decimal string for USD. :param alerts: parts of the limit.
    :param metric: `/metrics` shows it.
    """

    limit: Amount
    name: str | None = None
    applies_to: SelectorForm = SelectorForm()
    unit: Unit = "usd"
    window: Every | WindowForm = "month"
    mode: Mode = "hard"
    alerts: list[float] = field(default_factory=lambda: [0.5, 0.8, 1.0])
    on_short: OnShort = "refuse"
    reserve: Reserve = "worst"
    metric: bool = False


class BudgetPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a budget. What was spent is counted in its unit, which stays."""

    name: str | UnsetType = UNSET
    limit: Amount | UnsetType = UNSET
    applies_to: SelectorForm | UnsetType = UNSET
    unit: Unit | UnsetType = UNSET
    window: Every | WindowForm | UnsetType = UNSET
    mode: Mode | UnsetType = UNSET
    alerts: list[float] | UnsetType = UNSET
    on_short: OnShort | UnsetType = UNSET
    reserve: Reserve | UnsetType = UNSET
    metric: bool | UnsetType = UNSET
    status: Status | UnsetType = UNSET


class BudgetRow(BudgetView, frozen=True, kw_only=True):
    """A budget with its windows of now; of a budget for each, of those who have spent most."""

    windows: list[WindowView]


class BudgetDetail(BudgetRow, frozen=True, kw_only=True):
    """A budget with the top-ups and overrides that count now, too."""

    adjustments: list[AdjustmentView]


async def list_budgets(call: Call) -> Reply:
    directory = await call.read()
    page = page_of(call.scope(directory).seen(directory.budgets.values()), call.params, lambda budget: budget)
    windows = await windows_of(call, directory, [(budget, None) for budget in page.data], _LISTED)
    rows = [
        BudgetRow(**plain(budget_view(budget)), windows=shown) for budget, shown in zip(page.data, windows, strict=True)
    ]
    return Reply(Page(data=rows, has_more=page.has_more, next=page.next))


async def create_budget(call: Call) -> Reply:
    form: BudgetForm = call.body
    id = call.backend.ids.id(BUDGET)

    def decide(directory: Directory) -> Edit:
        selector = selector_after(call, directory, Selector(), form.applies_to)
        name, limit = form.name or _default_name(directory, selector), amount_of("limit", form.limit, form.unit)
        budget = Budget(
            id=id, name=name, limit=limit, window=window_rule(form.window), applies_to=selector, unit=form.unit,
            mode=form.mode, alerts=_percents(form.alerts), on_short=form.on_short, reserve=form.reserve,
            metric=form.metric,
        )  # fmt: skip
        check_selected(call, directory, budget)
        if form.name is not None:
            return save_budget(directory, budget)
        return with_budget(directory, Edit(action="budget.create", subject=id), budget)

    return await _change(call, decide)


async def read_budget(call: Call) -> Reply:
    directory = await call.read()
    return await _reply(call, directory, budget_at(call, directory), 0)


async def edit_budget(call: Call) -> Reply:
    patch: BudgetPatch = call.body

    def decide(directory: Directory) -> Edit:
        budget = budget_at(call, directory)
        check_match(call, etag_of(budget))
        check_changes(call, directory, "budget", budget)
        if patch.status is not UNSET and set(changed_fields(patch)) == {"status"}:
            return set_budget_status(directory, budget.id, patch.status)
        after = _patched(call, directory, budget, patch)
        check_selected(call, directory, after)
        return save_budget(directory, after)

    return await _change(call, decide)


def _patched(call: Call, directory: Directory, budget: Budget, patch: BudgetPatch) -> Budget:
    """:raises FieldError:"""
    changes: dict[str, Any] = changed_fields(patch, leave_out=("applies_to", "limit", "window", "alerts"))
    if patch.limit is not UNSET:
        changes["limit"] = amount_of("limit", patch.limit, changes.get("unit", budget.unit))
    if patch.window is not UNSET:
        changes["window"] = window_rule(patch.window)
    if patch.alerts is not UNSET:
        changes["alerts"] = _percents(patch.alerts)
    changes["applies_to"] = selector_after(call, directory, budget.applies_to, patch.applies_to)
    return replace(budget, **changes)


def _percents(alerts: list[float]) -> tuple[int, ...]:
    """``0.5`` -> 50. :raises FieldError:"""
    percents = []
    for alert in alerts:
        if not -100 < alert < 100 or abs(alert * 100 - round(alert * 100)) > 1e-6:
            raise FieldError("alerts", f"{alert} is not a part of the limit", "expected such as 0.5, 0.8 and 1")
        percents.append(round(alert * 100))
    return tuple(percents)


def _default_name(directory: Directory, selector: Selector) -> str:
    if selector.key is not None:
        return directory.keys[selector.key].name
    if selector.team is not None:
        return directory.teams[selector.team].name
    if selector.person is not None:
        person = directory.people[selector.person]
        return person.name or person.id  # not the address: others see names of budgets
    return f"each {selector.each.replace('_', ' ')}" if selector.each else "all"


async def _change(call: Call, decide: Any) -> Reply:
    directory, edit, pending = await change(call, decide)
    return await _reply(call, directory, directory.budgets[edit.subject], pending)


async def _reply(call: Call, directory: Directory, budget: Budget, pending: int) -> Reply:
    (windows,) = await windows_of(call, directory, [(budget, None)], _READ)
    adjustments = [adjustment_view(budget, one) for one in adjustments_of_now(call, directory, budget)]
    body = BudgetDetail(**plain(budget_view(budget)), windows=windows, adjustments=adjustments)
    return Reply(body, etag=etag_of(budget), pending=pending)


OPERATIONS: Final = (
    Operation(
        "GET", "/budgets", "List budgets, with what is spent of them", "budgets.read", Page[BudgetRow], list_budgets,
        ListParams,
    ),
    Operation(
        "POST", "/budgets", "Create a budget", "budgets.write", BudgetDetail, create_budget, NoParams, BudgetForm, 201
    ),
    Operation(
        "GET", "/budgets/{id}", "Read a budget, and what is spent of it", "budgets.read", BudgetDetail, read_budget
    ),
    Operation(
        "PATCH", "/budgets/{id}", "Change, enable or disable a budget", "budgets.write", BudgetDetail, edit_budget,
        NoParams, BudgetPatch,
    ),
)  # fmt: skip
