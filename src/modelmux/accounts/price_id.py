"""The name of the price that a cost was computed with, as rows of the ledger have it."""

from __future__ import annotations

from typing import Final

from modelmux.catalog.locations import GLOBAL
from modelmux.catalog.prices import Price

_FAST: Final = "/fast"


def price_id(price: Price, location: str, *, fast: bool = False) -> str:
    """``claude-opus-5-5/2026-10-07/regional``: a row of the price list and the class of the location, with ``/fast``
    where that mode's multiplier applied."""
    begun = price.from_date.isoformat() if price.from_date is not None else "launch"
    return f"{price.model}/{begun}/{'global' if location == GLOBAL else 'regional'}{_FAST if fast else ''}"


def is_fast(id: str | None) -> bool:
    """Whether the price was that of fast mode."""
    return id is not None and id.endswith(_FAST)
