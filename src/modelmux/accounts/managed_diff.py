"""What an edit by the configuration changes, for people and programs: with names in place of ids, and no hashes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from modelmux.accounts.amounts import format_amount
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.rates import Limit
from modelmux.accounts.records import Key, Person, Secret, Team
from modelmux.accounts.views import time_text, window_form

Action = Literal["add", "change", "remove"]
#: Kind -> the field of ``Edit`` and of ``Directory``.
_KINDS: Final = {"team": "teams", "person": "people", "key": "keys", "budget": "budgets", "limit": "limits"}


class RecordChange(Struct, frozen=True, kw_only=True):
    """One record that is added, changed, or not managed by the configuration any more.

    :param kind: ``team``, ``person``, ``key``, ``budget`` or ``limit``.
    :param id: None for one that is added.
    :param before, after: the fields that differ, under the names of the configuration.
    """

    action: Action
    kind: str
    name: str
    id: str | None
    before: dict[str, Any]
    after: dict[str, Any]


def changes_of(directory: Directory, edit: Edit) -> list[RecordChange]:
    """All records that an edit changes, by kind and name.

    :param directory: that of before.
    """
    after = directory.updated(Changes(
        version=directory.version, teams=edit.teams, people=edit.people, keys=edit.keys, secrets=edit.secrets,
        budgets=edit.budgets, limits=edit.limits,
    ))  # fmt: skip
    changes = []
    for kind, field in _KINDS.items():
        ids = {record.id for record in getattr(edit, field)}
        if kind == "key":
            ids |= {secret.key for secret in edit.secrets}
        records = [(getattr(directory, field).get(id), getattr(after, field)[id]) for id in ids]
        changes += [_change(directory, after, kind, known, record) for known, record in records]
    order = list(_KINDS)
    return sorted(changes, key=lambda one: (order.index(one.kind), one.name.lower(), one.name))


def _change(before: Directory, after: Directory, kind: str, known: Any, record: Any) -> RecordChange:
    name = record.email if isinstance(record, Person) else record.name
    new = fields_of(after, record)
    if known is None:
        shown = {field: value for field, value in new.items() if value not in (None, [], {}, "")}
        return RecordChange(action="add", kind=kind, name=name, id=None, before={}, after=shown)
    old = fields_of(before, known)
    differing = [field for field in new if old[field] != new[field]]
    if kind == "key" and "secret" not in differing and current_secret(before, known) != current_secret(after, record):
        differing.append("secret")  # whose hints are equal
    return RecordChange(
        action="remove" if known.managed and not record.managed else "change", kind=kind, name=name, id=record.id,
        before={field: old[field] for field in differing}, after={field: new[field] for field in differing},
    )  # fmt: skip


def fields_of(directory: Directory, record: Team | Person | Key | Budget | Limit) -> dict[str, Any]:
    """All that the configuration says of a record; of its secret, by what people recognize it."""
    fields: dict[str, Any]
    match record:
        case Team():
            fields = {
                "name": record.name, "parent": _team(directory, record.parent), "zone": record.zone,
                "contact": record.contact, "limits": _limits(record.limits),
            }  # fmt: skip
        case Person():
            fields = {"email": record.email, "name": record.name, "limits": _limits(record.limits)}
        case Key():
            fields = {
                "name": record.name, "team": _team(directory, record.team),
                "person": _person(directory, record.person), "models": list(record.models), "apis": list(record.apis),
                "addresses": list(record.addresses), "tags": dict(record.tags), "expires": time_text(record.expires),
                "limits": _limits(record.limits), "capture": record.capture or None,
                "secret": _secret(directory, record),
            }  # fmt: skip
        case Budget():
            fields = {
                "name": record.name, "limit": format_amount(record.limit, record.unit), "unit": record.unit,
                "applies_to": _selector(directory, record.applies_to),
                "window": msgspec.to_builtins(window_form(record.window)), "mode": record.mode,
                "alerts": [alert / 100 for alert in record.alerts], "on_short": record.on_short,
                "reserve": record.reserve,
            }  # fmt: skip
        case _:
            fields = {
                "name": record.name, "applies_to": _selector(directory, record.applies_to),
                "limits": _limits(record.limits),
            }  # fmt: skip
    return {**fields, "status": record.status, "managed": record.managed}


def _limits(rates: Any) -> dict[str, int]:
    limits = {} if rates is None else {name: getattr(rates, name) for name in rates.__struct_fields__}
    return {name: value for name, value in limits.items() if value is not None}


def _secret(directory: Directory, key: Key) -> str | None:
    """What people recognize the current secret by."""
    current = current_secret(directory, key)
    return None if current is None else current.hint or current.kind


def current_secret(directory: Directory, key: Key) -> Secret | None:
    secrets = (one for one in directory.secrets_of(key.id) if one.valid_until is None)
    return next(secrets, None)


def _selector(directory: Directory, selector: Selector) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(selector)
    key = directory.keys.get(selector.key or "")
    named = {
        "key": selector.key if key is None else key.name, "team": _team(directory, selector.team),
        "person": _person(directory, selector.person),
    }  # fmt: skip
    return {field: named.get(field, value) for field, value in fields.items()}


def _team(directory: Directory, id: str | None) -> str | None:
    team = directory.teams.get(id or "")
    return id if team is None else team.name


def _person(directory: Directory, id: str | None) -> str | None:
    person = directory.people.get(id or "")
    return id if person is None else person.email


def counted(changes: Iterable[RecordChange]) -> dict[Action, int]:
    """How many of each kind there are."""
    counts: dict[Action, int] = {"add": 0, "change": 0, "remove": 0}
    for one in changes:
        counts[one.action] += 1
    return counts
