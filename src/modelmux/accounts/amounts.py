"""Amounts of budgets as people write them, and as integers in the unit of the budget: nano-USD, tokens or requests.

Never floats: ``"0.1"`` is 100,000,000 nano-USD exactly.
"""

from __future__ import annotations

import re
from typing import Final

from modelmux.accounts.budgets import Unit
from modelmux.accounts.fields import FieldError
from modelmux.catalog.prices import usd

#: Largest amount, in any unit: a billion USD. What a window has spent and leased beside it fits in 64 bits.
MAX_AMOUNT: Final = 10**18
_DECIMALS: Final[dict[Unit, int]] = {"usd": 9, "tokens": 0, "requests": 0}
_AMOUNT: Final = re.compile(r"(-?)([0-9]{1,19})(?:\.([0-9]{1,9}))?")
_EXPECTED: Final[dict[Unit, str]] = {
    "usd": "expected US dollars such as 50 or 0.25, with at most 9 decimals",
    "tokens": "expected a whole number of tokens",
    "requests": "expected a whole number of requests",
}


def parse_amount(field: str, value: str | int, unit: Unit) -> int:
    """``"0.25"`` -> 250,000,000 for USD. Below 0 with a minus.

    :raises FieldError: it is not an amount of this unit, or too large.
    """
    text = str(value).strip()
    parts = _AMOUNT.fullmatch(text)
    if parts is None or len(parts[3] or "") > _DECIMALS[unit]:
        raise FieldError(field, f"{text[:40]!r} is not an amount", _EXPECTED[unit])
    decimals = _DECIMALS[unit]
    amount = int(parts[2] + (parts[3] or "").ljust(decimals, "0"))
    if amount > MAX_AMOUNT:
        raise FieldError(field, f"{text[:40]!r} is too large", f"expected at most {format_amount(MAX_AMOUNT, unit)}")
    return -amount if parts[1] else amount


def format_amount(amount: int, unit: Unit) -> str:
    """A plain decimal without superfluous zeros, which ``parse_amount`` reads."""
    return usd(amount) if unit == "usd" else str(amount)
