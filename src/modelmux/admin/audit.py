"""``/audit``: who changed what, the newest first."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from modelmux.accounts.fields import FieldError
from modelmux.accounts.views import time_text
from modelmux.admin.operation import Call, ListParams, Operation, Page, Reply
from modelmux.store.directory.base import AuditRow

#: Members of stored secrets that are for this gateway alone.
_HIDDEN: Final = ("digest", "pepper")


class AuditParams(ListParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of changes.

    :param subject: only those of a record, by its id.
    :param longest: characters of JSON; a change whose records have more comes without them. 0 for all of them.
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
    before: dict[str, Any]
    after: dict[str, Any]
    is_cut: bool = False


async def list_audit(call: Call) -> Reply:
    params: AuditParams = call.params
    if params.after and not (params.after.isascii() and params.after.isdigit() and len(params.after) < 19):
        raise FieldError("after", f"{params.after[:40]!r} is not a place in this list", "expected next of a page")
    rows = await call.backend.directory.audit(
        subject=params.subject, before=int(params.after) if params.after else None, limit=params.limit + 1,
        longest=params.longest or None,
    )  # fmt: skip
    chosen, has_more = rows[: params.limit], len(rows) > params.limit
    next = str(chosen[-1].number) if has_more else None  # noqa: A001 - the name in replies
    return Reply(Page(data=[_view(row) for row in chosen], has_more=has_more, next=next))


def _view(row: AuditRow) -> AuditView:
    return AuditView(
        id=str(row.number), at=time_text(row.at), author=row.author.name, origin=row.author.origin, action=row.action,
        subject=row.subject, before=shown_records(row.before), after=shown_records(row.after), is_cut=row.is_cut,
    )  # fmt: skip


def shown_records(records: dict[str, Any]) -> dict[str, Any]:
    """Records of a row, without what is for this gateway alone."""
    return {
        id: {name: value for name, value in record.items() if name not in _HIDDEN} for id, record in records.items()
    }


OPERATIONS: Final = (
    Operation(
        "GET", "/audit", "List who changed what, the newest first", "audit.read", Page[AuditView], list_audit,
        AuditParams,
    ),
)  # fmt: skip
