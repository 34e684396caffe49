"""``/audit``: who changed what, the newest first."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from modelmux.accounts.fields import FieldError
from modelmux.accounts.views import time_text
from modelmux.admin.operation import Call, ListParams, Operation, Page, Reply
from modelmux.store.directory.base import AuditLimits, AuditRow
from modelmux.store.directory.record_rows import HIDDEN

#: Bytes of JSON of the records of a page, unless its first change alone has more. Some 700 new keys.
MOST_BYTES: Final = 512 * 1024
#: How a hidden field is written: within a text, its quotes would have backslashes.
_MARKS: Final = tuple(f'"{name}":'.encode() for name in HIDDEN)
_encode: Final = msgspec.json.Encoder().encode
_Records = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]


class AuditParams(ListParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of changes.

    :param subject: only those of a record, by its id.
    :param longest: bytes of JSON; a change whose records have more comes without them. 0 for all of them.
    """

    subject: Annotated[str, Meta(max_length=128)] | None = None
    longest: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0


class AuditView(Struct, frozen=True, kw_only=True):
    """A change.

    :param origin: ``cli``, ``config``, or the address of a client of this API.
    :param before, after: records by id.
    :param is_cut: it has records, which are longer than ``longest``.
    """

    id: str
    at: str | None
    author: str
    origin: str
    action: str
    subject: str
    before: _Records
    after: _Records
    is_cut: bool = False


async def list_audit(call: Call) -> Reply:
    params: AuditParams = call.params
    if params.after and not (params.after.isascii() and params.after.isdigit() and len(params.after) < 19):
        raise FieldError("after", f"{params.after[:40]!r} is not a place in this list", "expected next of a page")
    limits = AuditLimits(rows=params.limit, longest=params.longest or None, most=MOST_BYTES)
    before = int(params.after) if params.after else None
    page = await call.backend.directory.audit(subject=params.subject, before=before, limits=limits)
    next = str(page.rows[-1].number) if page.has_more else None  # noqa: A001 - the name in replies
    return Reply(Page(data=[_view(row) for row in page.rows], has_more=page.has_more, next=next))


def _view(row: AuditRow) -> AuditView:
    return AuditView(
        id=str(row.number), at=time_text(row.at), author=row.author.name, origin=row.author.origin, action=row.action,
        subject=row.subject, before=_shown_json(row.before_json), after=_shown_json(row.after_json), is_cut=row.is_cut,
    )  # fmt: skip


def shown_records(records: dict[str, Any]) -> dict[str, Any]:
    """Records of a row, without what is for this gateway alone."""
    return {id: {name: value for name, value in record.items() if name not in HIDDEN} for id, record in records.items()}


def _shown_json(records: Raw) -> Raw:
    """As ``shown_records``, of JSON. It is only read where something may be hidden, as in rows of earlier versions."""
    text = bytes(records)
    if any(mark in text for mark in _MARKS):
        return Raw(_encode(shown_records(msgspec.json.decode(text))))
    return records


OPERATIONS: Final = (
    Operation(
        "GET", "/audit", "List who changed what, the newest first, in pages of half a MiB of records", "audit.read",
        Page[AuditView], list_audit, AuditParams,
    ),
)  # fmt: skip
