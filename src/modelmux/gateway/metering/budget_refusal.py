"""The error of a request that does not fit into a budget: which one, what is left, what would fit, whom to ask."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Final

from modelmux.accounts.budgets import Unit
from modelmux.catalog.prices import NANO
from modelmux.claude.demand import Demand
from modelmux.errors import BudgetSpent
from modelmux.gateway.metering.applied_budgets import BudgetWindow

_MICRO: Final = 1_000_000
_NANO_PER_CENT: Final = 10_000_000
#: Only a window that ends so soon is worth waiting for: seconds.
_SOON: Final = 60.0
#: Kind of a window -> the adjective.
_ADJECTIVES: Final = {
    "hour": "hourly ", "day": "daily ", "week": "weekly ", "month": "monthly ", "quarter": "quarterly ",
    "year": "yearly ", "lifetime": "",
}  # fmt: skip


def refusal(
    window: BudgetWindow,
    left: int,
    needed: int,
    demand: Demand,
    fits: int,
    *,
    field: str,
    zone: tzinfo,
    contact: str,
    now: float,
) -> BudgetSpent:
    """
    :param left: what neither is spent nor held, in the unit of the budget. :param needed: for this call.
    :param fits: tokens of output for which there is room; 0 if that would not help.
    :param field: what the client calls its limit of tokens.
    :param zone: in which the end of the window is told. :param contact: who can raise the budget.
    :param now: Unix seconds.
    """
    budget, unit = window.budget, window.budget.unit
    ends = "it is never renewed"
    if window.end is not None:
        local = datetime.fromtimestamp(window.end / _MICRO, zone)
        ends = f"renewed {local:%Y-%m-%d %H:%M} {zone}"
    tokens = f"{demand.prompt:,} tokens of input, {demand.output:,} of output"
    limit, remainder = amount_text(window.limit, unit), amount_text(max(left, 0), unit)
    message = (
        f"The {_ADJECTIVES[budget.window.every]}budget {budget.name!r} ({limit}, {ends}) has {remainder} left; this "
        f"request may cost {amount_text(needed, unit, up=True)} ({tokens})."
    )
    ask = f"Ask {contact} for more."
    hint = f"Send {field} of at most {fits:,}, or ask {contact} for more." if fits else ask
    seconds = None if window.end is None else window.end / _MICRO - now
    return BudgetSpent(message, resets_in=seconds if seconds is not None and seconds <= _SOON else None, hint=hint)


def amount_text(amount: int, unit: Unit, *, up: bool = False) -> str:
    """For people: money in cents, rounded down unless ``up``; amounts below a cent in full."""
    if unit != "usd":
        return f"{amount:,} {unit}" if amount != 1 else f"1 {unit.removesuffix('s')}"
    cents = -(-amount // _NANO_PER_CENT) if up else amount // _NANO_PER_CENT
    if amount and abs(amount) < _NANO_PER_CENT:
        return f"${amount / NANO:.9f}".rstrip("0")
    return f"${cents // 100:,}.{cents % 100:02}"
