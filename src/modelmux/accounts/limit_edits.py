"""Changes of the limits of selected requests, decided from the directory as it is: see ``edits``."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from modelmux.accounts import fields
from modelmux.accounts.budget_edits import checked_selector
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import MANAGED, Edit, action_of, check_unique
from modelmux.accounts.fields import FieldError, RecordConflict
from modelmux.accounts.rates import Limit


def save_limit(directory: Directory, limit: Limit, *, by_config: bool = False) -> Edit:
    """A new limit, or one with other fields; an empty edit if it is there as it is.

    :raises FieldError: a field of its selector as ``applies_to.team``.
    """
    before = directory.limits.get(limit.id)
    if before is not None and before.managed and not by_config:
        raise RecordConflict("managed", "limit", f"{before.name!r} is managed", MANAGED)
    rates = fields.rates("limits", limit.limits)
    if rates is None:
        raise FieldError("rpm", "nothing is limited", "expected one of rpm, tpm, itpm, otpm and concurrent")
    selector = checked_selector(directory, limit.applies_to)
    name = fields.name("name", limit.name)
    limit = replace(limit, name=name, limits=rates, applies_to=selector, managed=by_config)
    check_unique("name", limit, limit.name, {one.id: one.name for one in directory.limits.values()})
    action = action_of("limit", directory.limits, limit)
    return Edit(action=action, subject=limit.id, limits=() if limit == before else (limit,))


def set_limit_status(directory: Directory, limit: str, status: Literal["active", "disabled"]) -> Edit:
    """Enable or disable a limit. Twice is as good as once: nothing is written then.

    :raises FieldError: it is managed.
    """
    record = directory.limits[limit]
    if record.managed:
        raise RecordConflict("managed", "limit", f"{record.name!r} is managed", MANAGED)
    changed = () if record.status == status else (replace(record, status=status),)
    return Edit(action=f"limit.{'enable' if status == 'active' else 'disable'}", subject=limit, limits=changed)
