"""What a key, a person, a team or a selector of requests may use a minute, and at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.budgets import Selector

LIMIT: Final = "lim_"
#: ``rpm``: requests a minute. ``tpm``, ``itpm``, ``otpm``: tokens a minute, of prompts and replies, of prompts, of
#: replies. ``concurrent``: requests at once.
Rate = Literal["rpm", "tpm", "itpm", "otpm", "concurrent"]
RATES: Final[tuple[Rate, ...]] = get_args(Rate)
#: Far below what 64 bits hold, whatever is added up.
MAX_RATE: Final = 10**12


class Rates(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """None: without a limit."""

    rpm: int | None = None
    tpm: int | None = None
    itpm: int | None = None
    otpm: int | None = None
    concurrent: int | None = None

    def items(self) -> list[tuple[Rate, int]]:
        """Those that are limited."""
        return [(rate, limit) for rate in RATES if (limit := getattr(self, rate)) is not None]


class Limit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits of the requests that a selector chooses."""

    id: str
    name: str
    limits: Rates
    applies_to: Selector = Selector()
    status: Literal["active", "disabled"] = "active"
    managed: bool = False


def changed_rates(rates: Rates | None, changes: Mapping[str, int | None]) -> Rates | None:
    """Limits with others in place of some. :returns: None without any."""
    after = replace(rates or Rates(), **changes)
    return None if after == Rates() else after
