"""What a store has of the window of a budget, and how it answers a process that asks for a lease: in every engine."""

from __future__ import annotations

from typing import Final, NamedTuple

from modelmux.accounts.leases import Ask, Grant, grant

#: Microseconds for which a window is recalled after a process got less than it needs.
RECALLED_FOR: Final = 1_000_000


class StoredWindow(NamedTuple):
    """
    :param leased: by all processes.
    :param recalled: microseconds in UTC; until then, who has a lease is asked to give back what it does not hold.
    """

    spent: int = 0
    leased: int = 0
    recalled: int = 0


def answered(ask: Ask, window: StoredWindow, leased: int, now: int) -> tuple[Grant, StoredWindow | None]:
    """The answer, and the window afterwards; None if nothing has to be remembered.

    :param leased: by the process that asks. :param now: microseconds in UTC.
    """
    by_others = window.leased - leased
    if ask.limit is None:  # nothing is kept back from others
        return grant(ask, window.spent, by_others, recalled=False), None
    answer = grant(ask, window.spent, by_others, recalled=window.recalled > now)
    is_short = answer.leased < ask.need and by_others > 0
    recalled = now + RECALLED_FOR if is_short else window.recalled
    return answer, StoredWindow(window.spent, by_others + answer.leased, recalled)
