"""What all writes have in common: the record as its client knows it, the change, and the workers that get it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.fields import FieldError, RecordConflict
from modelmux.accounts.periods import parse_instant
from modelmux.accounts.rates import Limit
from modelmux.accounts.roles import Record, may_give
from modelmux.admin.errors import Conflict, PreconditionFailed, no_record
from modelmux.admin.operation import Call
from modelmux.config.admin_check import roles_of
from modelmux.errors import InvalidRequest, NotPermitted
from modelmux.store.directory.receipts import Once, OtherRequest, Receipt

#: Characters of an ``Idempotency-Key``.
_MAX_KEY: Final = 128


async def change(
    call: Call,
    decide: Callable[[Directory], Edit],
    repeat: Callable[[Directory, Receipt], Edit] | None = None,
) -> tuple[Directory, Edit, int]:
    """Write a change in the name of the principal, and wait for the workers.

    :param repeat: decides what a repetition with the same ``Idempotency-Key`` writes; by default nothing.
    :returns: with how many of them do not have it yet.
    """
    try:
        directory, edit = await call.backend.directory.change(decide, call.author, call.now, once_of(call, repeat))
    except RecordConflict as error:
        if error.code == "taken" and not call.principal.sees_all:  # whose name it is, it may not know
            raise RecordConflict("taken", error.field, "the name is taken", "choose another one") from None
        raise
    except OtherRequest:
        raise reused_key() from None
    return directory, edit, await call.backend.await_workers(directory.version)


def once_of(call: Call, repeat: Callable[[Directory, Receipt], Edit] | None = None) -> Once | None:
    """The change that an ``Idempotency-Key`` stands for; None without one. See ``change``. :raises InvalidRequest:"""
    if call.idempotency_key is None:
        return None
    name = f"{call.principal.name}\n{_checked_key(call.idempotency_key)}"
    return Once(name, call.fingerprint, repeat or (lambda directory, receipt: _nothing(call, directory, receipt)))


def reused_key() -> Conflict:
    """The error for an ``Idempotency-Key`` of another request."""
    return Conflict(
        "This Idempotency-Key was sent with another request within the last 24 hours.",
        param="Idempotency-Key", code="idempotency_key_reused", hint="Send another key with another request.",
    )  # fmt: skip


def _checked_key(key: str) -> str:
    """:raises InvalidRequest:"""
    if not 1 <= len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable():
        hint = f"Expected 1 to {_MAX_KEY} printable characters."
        raise InvalidRequest("Idempotency-Key: it cannot be used.", param="Idempotency-Key", hint=hint)
    return key


def _nothing(call: Call, directory: Directory, receipt: Receipt) -> Edit:
    """An empty edit of the record that was changed. :raises NoSuchRecord: the principal may not see it any more."""
    id = receipt.subject
    kinds: tuple[Mapping[str, Record], ...] = (
        directory.keys, directory.teams, directory.people, directory.budgets, directory.limits, directory.webhooks,
    )  # fmt: skip
    record = next((records[id] for records in kinds if id in records), None)
    if record is None or not call.scope(directory).sees(record):
        raise no_record("record", id)
    return Edit(action="", subject=id)


def etag_of(*records: Any) -> str:
    """Of a record as it is stored, with what belongs to it."""
    return f'"{hashlib.sha256(msgspec.json.encode(records)).hexdigest()[:32]}"'


def check_match(call: Call, etag: str) -> None:
    """Within a change, so that no other one comes between. :raises PreconditionFailed:"""
    if call.if_match is None or call.if_match == "*":
        return
    if etag not in [one.strip() for one in call.if_match.split(",")]:
        raise PreconditionFailed(
            "The record was changed since it was read.", param="If-Match", hint="Read it again, and decide anew."
        )


def check_changes(call: Call, directory: Directory, kind: str, record: Record) -> None:
    """Whether the principal may write a record that it names. :raises NoSuchRecord: as for those that there are not,
    so that ids of others tell nothing."""
    if not call.scope(directory).changes(record):
        raise no_record(kind, record.id, "change")


def check_roles(call: Call, directory: Directory, edit: Edit) -> Edit:
    """Whether the principal may decide who has the addresses of people, before and after: ``admin.roles`` gives roles
    to addresses. :raises NotPermitted:
    """
    roles = roles_of(call.backend.config.admin)
    for person in edit.people:
        before = directory.people.get(person.id)
        for address in {person.email.lower(), (before or person).email.lower()}:
            role = roles.get(address)
            if role is not None and not may_give(call.principal, role):
                raise NotPermitted(
                    f"admin.roles makes {address} an {role}, which the role {call.principal.role} may not change.",
                    code="role_not_allowed", hint="Ask an owner of this gateway.",
                )  # fmt: skip
    return edit


def check_selected(call: Call, directory: Directory, record: Budget | Limit) -> None:
    """Whether the principal may have such a budget or limit. :raises FieldError:"""
    if not call.scope(directory).changes(record):
        problem = "it would apply to more than you may limit"
        raise FieldError("applies_to", problem, "expected a key in your teams, or a team below yours")


def changed_fields(body: Struct, *, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields that a body names, null included."""
    fields = {name: getattr(body, name) for name in body.__struct_fields__ if name not in leave_out}
    return {name: value for name, value in fields.items() if value is not UNSET}


def read_instant(field: str, text: str) -> int:
    """RFC 3339 -> microseconds in UTC. :raises FieldError:"""
    try:
        return parse_instant(text.strip())
    except (ValueError, OverflowError):
        raise FieldError(field, f"{text[:40]!r} is not a time", "expected one such as 2026-12-31T00:00:00Z") from None
