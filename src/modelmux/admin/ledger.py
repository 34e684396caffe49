"""``/ledger``: rows as exports have them, in the order in which they were made."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

from msgspec import Struct

from modelmux.accounts.columns import LEDGER, json_row
from modelmux.accounts.entry import Entry
from modelmux.accounts.uuid7 import format_id
from modelmux.admin.operation import Call, Operation, Reply
from modelmux.admin.requests import FEW, RowParams, entry_query


class LedgerPage(Struct, frozen=True, kw_only=True):
    """A page of rows: ``modelmux usage export --format jsonl`` has them so.

    :param tags: the names of the tags by which usage is added up.
    """

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    has_more: bool
    next: str | None
    tags: list[str]


async def list_rows(call: Call) -> Reply:
    page = await call.backend.ledger.entries(entry_query(call, await call.read(), newest_first=False))
    if len(page.entries) > FEW:
        rows = await asyncio.to_thread(_rows, page.entries)
    else:
        rows = _rows(page.entries)
    next = None if page.next is None else format_id(page.next)  # noqa: A001 - the name in replies
    tags = list(call.backend.config.accounts.tags)
    return Reply(LedgerPage(data=rows, has_more=next is not None, next=next, tags=tags))


def _rows(entries: list[Entry]) -> list[dict[str, Any]]:
    return [json_row(LEDGER, entry) for entry in entries]


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "GET", "/ledger", "List rows as exports have them, the oldest first", "requests.read", LedgerPage, list_rows,
        RowParams,
    ),
)  # fmt: skip
