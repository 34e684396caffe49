"""Rows in doubt that wait for a decision."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from modelmux.accounts.resolve import is_resolved
from modelmux.store.ledger.base import EntryPage, EntryQuery, Ledger

_KIND: Final = ("kind", ("in_doubt",))


async def rows_in_doubt(ledger: Ledger, query: EntryQuery) -> EntryPage:
    """Those of a query for which it was not decided yet what they cost. A page with a cursor may be empty.

    :raises StoreFailed: :raises ValueError: no ledger can answer the question.
    """
    page = await ledger.entries(replace(query, where=(*query.where, _KIND)))
    resolved = set()
    for one in await ledger.corrections([entry.id for entry in page.entries]):
        if is_resolved([one]):
            resolved.add(one.corrects)
    return EntryPage([entry for entry in page.entries if entry.id not in resolved], page.next)
