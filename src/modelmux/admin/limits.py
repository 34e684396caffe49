"""``/limits``: rate limits of selected requests. Keys, teams and people have limits of their own."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from modelmux.accounts.budgets import Selector
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.limit_edits import save_limit, set_limit_status
from modelmux.accounts.rates import LIMIT, Limit, Rates
from modelmux.accounts.records import Status
from modelmux.accounts.views import LimitView, limit_view
from modelmux.admin.forms import RateForm, SelectorForm, rates_after, selector_after
from modelmux.admin.operation import Call, ListParams, NoParams, Operation, Page, Reply, page_of
from modelmux.admin.references import limit_at
from modelmux.admin.writes import change, changed_fields, check_changes, check_match, check_selected, etag_of


class LimitForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new limit of the requests that it applies to."""

    name: str
    limits: RateForm
    applies_to: SelectorForm = SelectorForm()


class LimitPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a limit."""

    name: str | UnsetType = UNSET
    limits: RateForm | UnsetType = UNSET
    applies_to: SelectorForm | UnsetType = UNSET
    status: Status | UnsetType = UNSET


async def list_limits(call: Call) -> Reply:
    directory = await call.read()
    return Reply(page_of(call.scope(directory).seen(directory.limits.values()), call.params, limit_view))


async def create_limit(call: Call) -> Reply:
    form: LimitForm = call.body
    id = call.backend.ids.id(LIMIT)

    def decide(directory: Directory) -> Edit:
        selector = selector_after(call, directory, Selector(), form.applies_to)
        limit = Limit(id=id, name=form.name, limits=rates_after(None, form.limits) or Rates(), applies_to=selector)
        check_selected(call, directory, limit)
        return save_limit(directory, limit)

    return await _change(call, decide)


async def read_limit(call: Call) -> Reply:
    return _reply(limit_at(call, await call.read()), 0)


async def edit_limit(call: Call) -> Reply:
    patch: LimitPatch = call.body

    def decide(directory: Directory) -> Edit:
        limit = limit_at(call, directory)
        check_match(call, etag_of(limit))
        check_changes(call, directory, "limit", limit)
        changes: dict[str, Any] = changed_fields(patch, leave_out=("applies_to", "limits"))
        if patch.status is not UNSET and set(changed_fields(patch)) == {"status"}:
            return set_limit_status(directory, limit.id, patch.status)
        after = replace(
            limit,
            **changes,
            limits=rates_after(limit.limits, patch.limits) or Rates(),
            applies_to=selector_after(call, directory, limit.applies_to, patch.applies_to),
        )
        check_selected(call, directory, after)
        return save_limit(directory, after)

    return await _change(call, decide)


async def _change(call: Call, decide: Any) -> Reply:
    directory, edit, pending = await change(call, decide)
    return _reply(directory.limits[edit.subject], pending)


def _reply(limit: Limit, pending: int) -> Reply:
    return Reply(limit_view(limit), etag=etag_of(limit), pending=pending)


OPERATIONS: Final = (
    Operation("GET", "/limits", "List limits", "limits.read", Page[LimitView], list_limits, ListParams),
    Operation("POST", "/limits", "Create a limit", "limits.write", LimitView, create_limit, NoParams, LimitForm, 201),
    Operation("GET", "/limits/{id}", "Read a limit", "limits.read", LimitView, read_limit),
    Operation("PATCH", "/limits/{id}", "Change a limit", "limits.write", LimitView, edit_limit, NoParams, LimitPatch),
)  # fmt: skip
