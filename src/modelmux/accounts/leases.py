"""How much of a window a process asks for: enough that requests need not wait, and little enough for others.

A lease covers what the process spends in a minute while the window has far more than that. As the end of the window's
budget comes near, leases shrink, so that the last cents are leased for single requests.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from modelmux.accounts.slices import UNLIMITED

#: Seconds of spending that a lease covers while there is plenty, and while there is not.
_PLENTY: Final = 60
_SCARCE: Final = 5
#: There is plenty if the window has so many times what a lease of ``_PLENTY`` takes.
_TIMES: Final = 20


class Ask(Struct, frozen=True):
    """What a process asks of one window.

    :param need: for all that is held, spent and not yet written, and waited for; at least ``keep``.
    :param want: what it would like to have, at least ``need``.
    :param limit: of the window; None without one.
    :param keep: what it has and does not give back: requests may hold all of it before the answer comes. At
        least what it holds, also where that is more than its lease.
    :param least: the smallest lease that helps it: one of the requests that wait would fit.
    """

    need: int
    want: int
    limit: int | None
    keep: int = 0
    least: int = 0


class Grant(Struct, frozen=True):
    """What the store answers.

    :param leased: the lease of the process, now.
    :param available: what others and this process could still lease.
    :param leased_by_others: what other processes have.
    :param is_recalled: a process waits for more than is available.
    """

    leased: int
    available: int
    leased_by_others: int = 0
    is_recalled: bool = False


def ahead_of(rate: float, available: int, *, holders: int) -> int:
    """How much a process leases beyond what it has to keep.

    :param rate: what it spends of the window in a second.
    :param available: what the window had at the last exchange.
    :param holders: processes that have leases on the window, this one included.
    """
    for_minute = round(rate * _PLENTY)
    ahead = for_minute if available >= _TIMES * for_minute else round(rate * _SCARCE)
    return min(ahead, max(0, available) // (2 * max(1, holders)))


def grant(ask: Ask, spent: int, leased_by_others: int, *, recalled: bool) -> Grant:
    """What a process gets: all that it wants, or what is left, but never less than it keeps. A part that helps none of
    its requests is left to other processes: two that have one each would both wait in vain.

    :param recalled: another process waits, or did.
    """
    if ask.limit is None:
        return Grant(ask.want, UNLIMITED, leased_by_others)
    room = ask.limit - spent - leased_by_others
    wanted = ask.need if recalled else ask.want
    leased = max(ask.keep, min(wanted, room) if room >= ask.least else ask.keep)
    return Grant(leased, room - leased, leased_by_others, recalled)
