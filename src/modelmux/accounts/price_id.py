"""The name of the price that a cost was computed with, as rows of the ledger have it."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Final

from modelmux.catalog.locations import GLOBAL
from modelmux.catalog.prices import Price

_FAST: Final = "/fast"


def price_id(price: Price, location: str, *, fast: bool = False) -> str:
    """``claude-opus-5-5/2026-10-07/regional``: a row of the price list and the class of the location, with ``/fast``
    where that mode's multiplier applied."""
    return _named(price.model, price.from_date, location == GLOBAL, fast)


@lru_cache(1_000)
def _named(model: str, begun: date | None, is_global: bool, fast: bool) -> str:
    since = "launch" if begun is None else begun.isoformat()
    return f"{model}/{since}/{'global' if is_global else 'regional'}{_FAST if fast else ''}"


def is_fast(id: str | None) -> bool:
    """Whether the price was that of fast mode."""
    return id is not None and id.endswith(_FAST)
