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

    :param need: what it has to keep: held, spent and not yet written, and what a request waits for.
    :param want: what it would like to have, at least ``need``.
    :param limit: of the window; None without one.
    """

    need: int
    want: int
    limit: int | None


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


def grant(ask: Ask, leased: int, spent: int, leased_by_all: int, *, recalled: bool) -> Grant:
    """What a process gets: all that it wants, or what is left, but never less than it has to keep.

    :param leased: what the process has. :param leased_by_all: this included.
    """
    others = leased_by_all - leased
    if ask.limit is None:
        return Grant(ask.want, UNLIMITED, others)
    left = ask.limit - spent - leased_by_all
    wanted = ask.need if recalled else ask.want
    more = min(wanted - leased, max(0, left))
    return Grant(leased + more, left - more, others, recalled)
