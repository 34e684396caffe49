"""What a process asks the store for, exchange after exchange, and what it makes of the answers. No clock, no waiting.

An exchange has two halves. ``asks`` is called before it: surplus leaves the slices there and then, so that no request
can hold what is being given back. ``granted`` takes over the answer: leases are set to what the store says, which is
never less than was kept. So the two sides agree after every exchange that succeeds, whatever became of the ones before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from modelmux.accounts.leases import Ask, Grant, ahead_of
from modelmux.accounts.slices import Hold, Slices, WindowKey

#: Seconds over which the rate of spending is averaged.
_AVERAGE: Final = 60.0
#: A window is worth a lease ahead for so many requests like the last one, however little was spent yet.
_REQUESTS_AHEAD: Final = 4
#: Seconds after which an idle process looks whether what it keeps is wanted elsewhere.
_EXCHANGED_EVERY: Final = 0.5
#: Seconds after which a window that no request asked for is forgotten, once nothing is leased of it.
_FORGOTTEN_AFTER: Final = 120.0


class _Facts(Struct):
    """What is known of a window beside its slice.

    :param limit: as it was when a request last asked.
    :param stored: the lease that the store has; None while that is not known, from an exchange until its answer.
    :param waiting: what each of the requests waits for that wait.
    :param is_lowered: the limit is less than it was when the store was asked last.
    :param recent: what was spent lately, an exponential average times its length.
    :param available: what the store could still lease, at the last exchange.
    """

    limit: int
    used_at: float
    exchanged_at: float = -math.inf
    last: int = 0
    recent: float = 0.0
    recent_at: float = 0.0
    available: int = 0
    others: int = 0
    is_recalled: bool = False
    is_lowered: bool = False
    waiting: list[int] = []
    stored: int | None = 0


class LeaseBook:
    """The slices of a process, and what it knows of their windows. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.slices = Slices()
        self._facts: dict[WindowKey, _Facts] = {}
        #: Sums of the answers, for whoever waits: rises with each.
        self.exchanges = 0

    def reserve(self, amounts: Mapping[WindowKey, int], limits: Mapping[WindowKey, int], now: float) -> Hold | None:
        """Hold amounts of windows, of all or of none; None if one has too little free, or a lease from before its limit
        was lowered."""
        is_lowered = False
        for window, amount in amounts.items():
            facts = self._known(window, limits[window], now)
            facts.last = amount
            is_lowered |= facts.is_lowered
        if is_lowered:
            return None
        held = self.slices.reserve(amounts)
        return held if isinstance(held, Hold) else None

    def wait(self, amounts: Mapping[WindowKey, int], sign: int = 1) -> None:
        """A request begins to wait for amounts, or ends it (``sign`` -1). The next exchange asks for what it lacks."""
        for window, amount in amounts.items():
            facts = self._facts.get(window)
            if facts is None:
                continue
            if sign > 0:
                facts.waiting.append(amount)
            else:
                facts.waiting.remove(amount)

    def settle(self, hold: Hold, costs: Mapping[WindowKey, int], now: float) -> None:
        """See ``Slices.settle``."""
        self.slices.settle(hold, costs)
        for window, cost in costs.items():
            facts = self._facts.get(window)
            if facts is not None:
                facts.recent = _decayed(facts, now) + cost
                facts.recent_at = now

    def missing(self, amounts: Mapping[WindowKey, int]) -> dict[WindowKey, tuple[int, int]]:
        """Windows that have too little for amounts: what this process has free, and what the store had."""
        lacking = {}
        for window, amount in amounts.items():
            free, facts = self.slices.of(window).free, self._facts.get(window)
            if free < amount:
                lacking[window] = (free, facts.available if facts is not None else 0)
        return lacking

    def may_come(self, amounts: Mapping[WindowKey, int]) -> bool:
        """Whether others have leased what is missing, or requests of this process hold it."""
        for window, (free, available) in self.missing(amounts).items():
            facts = self._facts.get(window)
            others = facts.others if facts is not None else 0
            if free + available + others < amounts[window]:
                return False
        return True

    def asks(self, debits: Mapping[WindowKey, int], now: float, *, all_back: bool = False) -> dict[WindowKey, Ask]:
        """What to ask for in an exchange that writes ``debits``.

        :param all_back: the process ends: nothing is kept but what is held.
        """
        result = {}
        for window, one in list(self.slices):
            facts = self._facts.get(window)
            if facts is None:  # spent without a hold: only written
                continue
            debit = debits.get(window, 0)
            needed = one.held + one.spent - debit
            ahead = 0 if all_back or facts.is_recalled or facts.is_lowered else self._ahead(facts, now)
            waiting, least = sum(facts.waiting), min(facts.waiting, default=0)
            useful = (
                waiting if one.free >= least and not facts.is_lowered else 0
            )  # too little for any helps others more
            surplus = one.leased - debit - needed - useful - 2 * ahead
            if surplus > 0:  # for up to twice as much no exchange is worth it
                self.slices.give_back(window, surplus + ahead)
            lease = one.leased - debit
            keep = max(lease, needed)  # after a cost above its hold, what is held may be more than the lease
            need = max(keep, needed + waiting)
            want = need if lease - needed - waiting >= ahead // 2 else max(need, needed + waiting + ahead)
            is_due = lease and now - facts.exchanged_at >= _EXCHANGED_EVERY  # another may need it
            if debit or want != lease or facts.stored != lease or facts.is_recalled or is_due:
                result[window] = Ask(need, want, facts.limit, keep, max(keep, needed + least))
                facts.exchanged_at, facts.stored = now, None
            facts.is_lowered = False
        return result

    def granted(self, debits: Mapping[WindowKey, int], grants: Mapping[WindowKey, Grant], now: float) -> None:
        """Take over the answer to ``asks``, and that ``debits`` were written."""
        self.exchanges += 1
        for window, debit in debits.items():
            self.slices.written(window, debit)
            if window not in self._facts and not self.slices.of(window).spent:  # of a soft budget
                self.slices.forget(window)
        for window, grant in grants.items():
            self.slices.of(window).leased = grant.leased
            facts = self._facts[window]
            facts.available, facts.others = grant.available, grant.leased_by_others
            facts.is_recalled, facts.stored = grant.is_recalled, grant.leased
        self._forget(now)

    @property
    def has_leases(self) -> bool:
        """Whether something would be stranded if nothing were exchanged any more."""
        return any(facts.stored is None or facts.stored > 0 for facts in self._facts.values())

    def _known(self, window: WindowKey, limit: int, now: float) -> _Facts:
        facts = self._facts.get(window)
        if facts is None:
            facts = self._facts[window] = _Facts(limit, now, recent_at=now)
        facts.is_lowered |= limit < facts.limit
        facts.limit, facts.used_at = limit, now
        return facts

    def _ahead(self, facts: _Facts, now: float) -> int:
        rate = _decayed(facts, now) / _AVERAGE
        if now - facts.used_at < _AVERAGE:
            rate = max(rate, _REQUESTS_AHEAD * facts.last / _AVERAGE)
        return ahead_of(rate, facts.available, holders=2 if facts.others else 1)

    def _forget(self, now: float) -> None:
        for window, facts in list(self._facts.items()):
            one = self.slices.of(window)
            is_old = now - facts.used_at > _FORGOTTEN_AFTER and not facts.waiting
            if is_old and not one.held and not one.spent and facts.stored is not None and facts.stored <= 0:
                self.slices.forget(window)
                del self._facts[window]


def sums(debits: Iterable[Sequence[tuple[WindowKey, int]]]) -> dict[WindowKey, int]:
    """The debits of several rows together."""
    total: dict[WindowKey, int] = {}
    for of_row in debits:
        for window, amount in of_row:
            total[window] = total.get(window, 0) + amount
    return total


def _decayed(facts: _Facts, now: float) -> float:
    return facts.recent * math.exp((facts.recent_at - now) / _AVERAGE) if facts.recent else 0.0
