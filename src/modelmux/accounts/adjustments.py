"""Top-ups and overrides: what changes the limit of a budget for a while, and the limit that is left by them.

They are never changed or removed. One that was a mistake is answered by another one, since they apply in the order in
which they were made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from modelmux.accounts.amounts import MAX_AMOUNT
from modelmux.accounts.budgets import Budget
from modelmux.accounts.windows import Window

ADJUSTMENT: Final = "adj_"


class Adjustment(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A change of a limit.

    :param kind: ``top_up`` adds to the limit, ``override`` stands in its place.
    :param subject: whose window it is about; empty for all windows of the budget.
    :param amount: in the budget's unit; a top-up may be below 0.
    :param author: who made it, for people.
    :param created: microseconds in UTC.
    :param until: microseconds in UTC, not included; None for the window in which it was made.
    """

    id: str
    budget: str
    kind: Literal["top_up", "override"]
    amount: int
    subject: str = ""
    reason: str = ""
    author: str = ""
    created: int = 0
    until: int | None = None


def holds(adjustment: Adjustment, window: Window, now: int) -> bool:
    """Whether it counts in a window at an instant. Of one that has no end but its window, the instant does not matter:
    a request that began in a window belongs to it, whenever it ends."""
    if adjustment.until is not None:
        return now < adjustment.until
    return window.start <= adjustment.created and (window.end is None or adjustment.created < window.end)


def limit_of(budget: Budget, adjustments: Iterable[Adjustment], subject: str, window: Window, now: int) -> int:
    """The limit of one window of a budget, in its unit: never below 0.

    :param adjustments: of the budget; those of other subjects are left out here.
    :param subject: whose window it is; empty if the budget has one window for all.
    :param now: microseconds in UTC.
    """
    limit = budget.limit
    for one in sorted(adjustments, key=lambda one: (one.created, one.id)):
        if one.subject in ("", subject) and holds(one, window, now):
            limit = one.amount if one.kind == "override" else limit + one.amount
    return min(max(limit, 0), MAX_AMOUNT)


def unchanged_between(adjustments: Iterable[Adjustment], window: Window, now: int) -> tuple[int, float]:
    """From when, and until when, not included, ``limit_of`` returns what it returns now for this window.

    :param adjustments: of the budget.
    :returns: microseconds in UTC; without an end ``math.inf``.
    """
    since, until = window.start, math.inf if window.end is None else window.end
    for one in adjustments:
        if one.until is not None and one.until <= now:
            since = max(since, one.until)
        elif one.until is not None:
            until = min(until, one.until)
    return since, until
