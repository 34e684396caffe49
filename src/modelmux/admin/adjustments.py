"""``/budgets/{id}/top-up``, ``…/override`` and ``…/windows``."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from modelmux.accounts.adjustments import ADJUSTMENT, Adjustment
from modelmux.accounts.attribution import MAX_END_USER
from modelmux.accounts.budget_edits import adjust, check_subject
from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.fields import FieldError
from modelmux.accounts.views import AdjustmentView, WindowView, adjustment_view
from modelmux.admin.forms import Amount, amount_of
from modelmux.admin.operation import MAX_LIMIT, Call, NoParams, Operation, Page, Reply
from modelmux.admin.references import budget_at, named_key, named_person
from modelmux.admin.spending import windows_of
from modelmux.admin.writes import change, check_changes, check_match, etag_of, read_instant
from modelmux.store.directory.receipts import Receipt

_HASH: Final = re.compile(r"[0-9a-f]{32}")


class TopUpForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to add to a limit.

    :param amount: in the unit of the budget; below 0 it takes away.
    :param subject: of a budget for each: one key, person or end user; null for all of them.
    :param until: null for the end of the window of now.
    """

    amount: Amount
    subject: str | None = None
    until: str | None = None
    reason: str = ""


class OverrideForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another limit for a while, in place of that of the budget. The fields are those of a top-up."""

    limit: Amount
    subject: str | None = None
    until: str | None = None
    reason: str = ""


class WindowParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param subject: of a budget for each: only that of one key, person or end user. :param limit: so many windows."""

    subject: str | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 100


async def top_up(call: Call) -> Reply:
    form: TopUpForm = call.body
    return await _adjust(call, "top_up", "amount", form.amount, form)


async def override(call: Call) -> Reply:
    form: OverrideForm = call.body
    return await _adjust(call, "override", "limit", form.limit, form)


async def list_windows(call: Call) -> Reply:
    params: WindowParams = call.params
    directory = await call.read()
    budget = budget_at(call, directory)
    subject = None if params.subject is None else _subject(call, directory, budget, params.subject)
    (windows,) = await windows_of(call, directory, [(budget, subject)], params.limit)
    return Reply(Page(data=windows, has_more=False, next=None))


async def _adjust(
    call: Call, kind: Literal["top_up", "override"], field: str, amount: Amount, form: TopUpForm | OverrideForm
) -> Reply:
    id = call.backend.ids.id(ADJUSTMENT)

    def decide(directory: Directory) -> Edit:
        budget = budget_at(call, directory)
        check_match(call, etag_of(budget))
        check_changes(call, directory, "budget", budget)
        return adjust(directory, Adjustment(
            id=id, budget=budget.id, kind=kind, amount=amount_of(field, amount, budget.unit),
            subject="" if form.subject is None else _subject(call, directory, budget, form.subject),
            reason=form.reason.strip(), author=call.principal.name, created=call.now,
            until=None if form.until is None else read_instant("until", form.until),
        ))  # fmt: skip

    def repeat(directory: Directory, receipt: Receipt) -> Edit:
        nonlocal id
        id = receipt.detail
        return Edit(action="", subject=budget_at(call, directory).id)

    directory, edit, pending = await change(call, decide, repeat)
    budget = directory.budgets[edit.subject]
    made = next(one for one in directory.adjustments_of(budget.id) if one.id == id)
    return Reply(adjustment_view(budget, made), pending=pending)


def _subject(call: Call, directory: Directory, budget: Budget, text: str) -> str:
    """Whose window a field means. :raises FieldError:"""
    if not call.principal.sees_subjects:
        raise FieldError("subject", "your role is not shown whose windows these are", "leave it out")
    match budget.applies_to.each:
        case "key":
            return named_key(call, directory, "subject", text) or ""
        case "person":
            return named_person(call, directory, "subject", text) or ""
        case "end_user" if call.backend.config.accounts.end_user != "plain" and not _HASH.fullmatch(text):
            problem = "names of end users are stored as hashes"
            raise FieldError("subject", problem, "expected the hash, as windows and rows show it")
        case "end_user" if not text or len(text) > MAX_END_USER or not text.isprintable():
            raise FieldError("subject", "it is not an end user", f"expected 1 to {MAX_END_USER} printable characters")
    check_subject(directory, budget, text)
    return text


OPERATIONS: Final = (
    Operation(
        "POST", "/budgets/{id}/top-up", "Add to the limit of a budget for a while", "budgets.write", AdjustmentView,
        top_up, NoParams, TopUpForm, 201,
    ),
    Operation(
        "POST", "/budgets/{id}/override", "Let a budget have another limit for a while", "budgets.write",
        AdjustmentView, override, NoParams, OverrideForm, 201,
    ),
    Operation(
        "GET", "/budgets/{id}/windows", "List the windows of now of a budget, of those who have spent most",
        "budgets.read", Page[WindowView], list_windows, WindowParams,
    ),
)  # fmt: skip
