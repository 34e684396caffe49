"""Corrections of costs that were computed with other prices than today's, or without one: a page of rows at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import Entry
from modelmux.accounts.rerate import has_models, is_rerated
from modelmux.accounts.rerate import rerate as correction_of
from modelmux.accounts.usage_views import money
from modelmux.catalog.prices import PriceList
from modelmux.store.directory.base import Author
from modelmux.store.ledger.base import EntryQuery, Ledger

#: Kinds of corrections that say what a request without a price costs.
_PRICED: Final = ("rerate", "void", "resolve")


@dataclass
class Rerated:
    """What a run did.

    :param corrected: requests by model. :param difference: nano-USD by model.
    :param unpriced: requests by model, still without a price.
    :param skipped: requests of several models, whose rows do not say which tokens are of which.
    """

    corrected: Counter[str] = field(default_factory=Counter)
    difference: Counter[str] = field(default_factory=Counter)
    unpriced: Counter[str] = field(default_factory=Counter)
    skipped: int = 0

    def json(self) -> dict[str, Any]:
        """For machines."""
        models = [
            {"model": model, "requests": count, "difference": money(self.difference[model])}
            for model, count in sorted(self.corrected.items())
        ]
        return {
            "models": models,
            "requests": self.corrected.total(),
            "difference": money(self.difference.total()),
            "unpriced": dict(sorted(self.unpriced.items())),
            "skipped": self.skipped,
        }


async def rerate_page(
    ledger: Ledger,
    query: EntryQuery,
    prices: PriceList,
    directory: Directory,
    result: Rerated,
    by: tuple[Author, int] | None,
) -> bytes | None:
    """Add the corrections of one page of entries, which a row of the audit log names.

    :param result: what was done is added to it.
    :param by: who does it, and when (microseconds in UTC); None to write nothing.
    :returns: what ``after`` is for the next page; None at the end.
    :raises StoreFailed:
    """
    page = await ledger.entries(query)
    requests = [entry for entry in page.entries if is_rerated(entry)]
    existing: dict[bytes | None, list[Entry]] = {}
    for one in await ledger.corrections([entry.id for entry in requests]) if requests else ():
        existing.setdefault(one.corrects, []).append(one)
    done = Rerated()
    added = _corrections(requests, existing, prices, directory, done)
    if added and by is not None:
        shown = {one["model"]: one for one in done.json()["models"]}
        await ledger.append_audited(added, *by, "ledger.rerate", shown)
    result.corrected += done.corrected
    result.difference.update(done.difference)
    result.unpriced += done.unpriced
    result.skipped += done.skipped
    return page.next


def _corrections(
    requests: Sequence[Entry],
    existing: dict[bytes | None, list[Entry]],
    prices: PriceList,
    directory: Directory,
    result: Rerated,
) -> list[Entry]:
    added: list[Entry] = []
    for entry in requests:
        corrections, model = existing.get(entry.id, []), entry.model or "-"
        correction = correction_of(entry, corrections, prices, directory)
        if correction is not None and correction.cost is not None:
            added.append(correction)
            result.corrected[model] += 1
            result.difference[model] += correction.cost.total
        elif entry.model is not None and not has_models(entry):
            result.skipped += 1
        elif entry.cost is None and not any(one.kind in _PRICED for one in corrections):
            result.unpriced[model] += 1
    return added
