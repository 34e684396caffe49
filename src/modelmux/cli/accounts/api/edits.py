"""An edit of the directory -> the calls of the admin API that make it.

The commands decide with the same functions on a store and over the API; here is what differs between the records of
before and after, in the words of the API.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.amounts import format_amount
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.rates import RATES, Limit, Rates
from modelmux.accounts.records import Key, Person, Secret, Team
from modelmux.accounts.views import time_text, window_form
from modelmux.cli.accounts.api.client import path_of

#: What a reply shows.
Kind = Literal["team", "person", "key", "budget", "limit", "adjustment"]
_SECOND: Final = 1_000_000
_CONDITIONS: Final = Selector.__struct_fields__


class ApiCall(Struct, frozen=True):
    """A call that changes something.

    :param id: of the record in the edit; that of the reply takes its place.
    """

    kind: Kind
    id: str
    method: Literal["POST", "PATCH", "DELETE"]
    path: str
    body: dict[str, Any] | None = None


def calls_of(directory: Directory, edit: Edit) -> list[ApiCall]:
    """In an order in which each finds what it refers to; none for a record that stays as it is."""
    calls = [_saved("team", "teams", one.id, directory.teams.get(one.id), one) for one in edit.teams]
    calls += [_saved("person", "people", one.id, directory.people.get(one.id), one) for one in edit.people]
    for member in edit.memberships:
        path = path_of("teams", member.team, "members")
        if member.role is None and directory.role_in(member.person, member.team) is not None:
            calls.append(ApiCall("team", member.team, "DELETE", path + path_of(member.person)))
        elif member.role is not None:
            calls.append(ApiCall("team", member.team, "POST", path, {"person": member.person, "role": member.role}))
    calls += [_key(directory.keys.get(one.id), one) for one in edit.keys]
    if edit.secrets and not edit.keys:
        calls.append(_rotation(edit.secrets[-1].key, [*edit.secrets]))
    calls += [_saved("budget", "budgets", one.id, directory.budgets.get(one.id), one) for one in edit.budgets]
    calls += [_saved("limit", "limits", one.id, directory.limits.get(one.id), one) for one in edit.limits]
    calls += [_adjustment(directory, one) for one in edit.adjustments]
    return [one for one in calls if one.method != "PATCH" or one.body]


def with_ids(value: Any, ids: dict[str, str]) -> Any:
    """A body or a path with the ids of records that were created by calls before."""
    if isinstance(value, dict):
        return {name: with_ids(one, ids) for name, one in value.items()}
    return ids.get(value, value) if isinstance(value, str) else value


def _saved(kind: Kind, resource: str, id: str, before: Any, after: Any) -> ApiCall:
    if before is None:
        form = {name: value for name, value in _form(after).items() if name != "status"}
        return ApiCall(kind, id, "POST", path_of(resource), form)
    old, new = _form(before), _form(after)
    changed: dict[str, Any] = {name: value for name, value in new.items() if old[name] != value}
    for name, members in (("limits", RATES), ("applies_to", _CONDITIONS)):
        if name in changed:
            known, wanted = old[name], changed[name]
            changed[name] = {one: wanted.get(one) for one in members if known.get(one) != wanted.get(one)}
    return ApiCall(kind, id, "PATCH", path_of(resource, id), changed)


def _key(before: Key | None, after: Key) -> ApiCall:
    if before is not None and after.status == "revoked":
        return ApiCall("key", after.id, "POST", path_of("keys", after.id, "revoke"), {"now": after.ends_requests})
    return _saved("key", "keys", after.id, before, after)


def _rotation(key: str, secrets: list[Secret]) -> ApiCall:
    """The last secret is the new one; those before it end when the grace does."""
    created = secrets[-1].created
    ends = [one.valid_until for one in secrets[:-1] if one.valid_until is not None]
    grace = {"grace": round((max(ends) - created) / _SECOND)} if ends else {}
    return ApiCall("key", key, "POST", path_of("keys", key, "rotate"), grace)


def _adjustment(directory: Directory, one: Adjustment) -> ApiCall:
    kind, field = ("top-up", "amount") if one.kind == "top_up" else ("override", "limit")
    body: dict[str, Any] = {
        field: format_amount(one.amount, directory.budgets[one.budget].unit),
        "subject": one.subject or None,
        "until": time_text(one.until),
        "reason": one.reason,
    }
    return ApiCall("adjustment", one.id, "POST", path_of("budgets", one.budget, kind), body)


def _form(record: Team | Person | Key | Budget | Limit) -> dict[str, Any]:
    """All that the API takes of a record, under its names."""
    form: dict[str, Any]
    match record:
        case Team():
            form = {"name": record.name, "parent": record.parent, "zone": record.zone, "contact": record.contact}
        case Person():
            form = {"email": record.email, "name": record.name}
        case Key():
            form = {
                "name": record.name, "team": record.team, "person": record.person, "models": list(record.models),
                "apis": list(record.apis), "addresses": list(record.addresses), "tags": dict(record.tags),
                "expires_at": time_text(record.expires), "capture": record.capture,
            }  # fmt: skip
        case Budget():
            form = {
                "name": record.name, "limit": format_amount(record.limit, record.unit), "unit": record.unit,
                "window": msgspec.to_builtins(window_form(record.window)), "mode": record.mode,
                "on_short": record.on_short, "reserve": record.reserve,
                "metric": record.metric,
            }  # fmt: skip
        case Limit():
            form = {"name": record.name}
    shared: dict[str, Any] = {"status": record.status}
    if isinstance(record, Budget | Limit):
        shared["applies_to"] = msgspec.to_builtins(record.applies_to)
    if isinstance(record, Budget):
        shared["alerts"] = [alert / 100 for alert in record.alerts]
    else:
        shared["limits"] = msgspec.to_builtins(record.limits or Rates())
    return {**form, **shared}
