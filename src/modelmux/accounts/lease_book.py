"""What a process asks the store for, exchange after exchange, and what it makes of the answers. No clock, no waiting.

An exchange has two halves. ``asks`` is called before it: surplus leaves the slices there and then, so that no request
can hold what is being given back. ``granted`` takes over the answer: leases are set to what the store says, which is
never less than was kept. So the two sides agree after every exchange that succeeds, whatever became of the ones before.

A window is part of an exchange if there is something to say of it: spent, wanted, given back, or not known to the
store. What a process only keeps is left out. Whether that is wanted elsewhere, it learns by looking (``looked``), which
locks nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from modelmux.accounts.leases import Ask, Grant, ahead_of
from modelmux.accounts.outage import LastKnown
from modelmux.accounts.slices import Hold, Slices, WindowKey

#: Seconds over which the rate of spending is averaged.
_AVERAGE: Final = 60.0
#: A window is worth a lease ahead for so many requests like the last one, however little was spent yet.
_REQUESTS_AHEAD: Final = 4
#: Seconds after which a process looks whether what it only keeps is wanted elsewhere.
_LOOKED_EVERY: Final = 0.5
#: Seconds after which all that is leased is exchanged: a store that lost something knows it again, and a process that
#: is seen by its exchanges is seen, long before it could be taken for lost (``silence.LOST_AFTER``).
_REPEATED_EVERY: Final = 60.0
#: Seconds after which a window that no request asked for is given back, and forgotten once nothing is leased of it.
_FORGOTTEN_AFTER: Final = 120.0
#: Forgotten windows of which it is remembered what was known.
_MANY: Final = 10_000
#: Seconds for which a request waits for what other processes have leased and do not need.
RECALL_SECONDS: Final = 1.0
#: Seconds for which it waits while the store has enough for it, and others that came meanwhile took what was leased.
STORE_SECONDS: Final = 5.0
#: Seconds between two exchanges of a request that waits.
BETWEEN_SECONDS: Final = 0.05

#: What a request does that still lacks something after an exchange. ``late``: its budget is not known to be spent, but
#: exchanges are too slow for it.
Next = Literal["wait", "refuse", "late"]
#: What is held beyond leases now and was not before, of several windows the most; or why nothing is: a window is known
#: to be spent, or would stand too far beyond its lease.
Beyond = int | Literal["spent", "refused"]


class _Facts(Struct):
    """What is known of a window beside its slice.

    :param limit: as it was when a request last asked.
    :param stored: the lease that the store has; None while that is not known, from an exchange until its answer.
    :param is_lowered: the limit is less than it was when the store was asked last.
    :param recent: what was spent lately, an exponential average times its length.
    :param available: what the store could still lease, at the last exchange.
    :param requested_limit: what was told to the store. :param spent: what it had written; None before an exchange.
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
    stored: int | None = 0
    requested_limit: int = 0
    spent: int | None = None


class LeaseBook:
    """The slices of a process, and what it knows of their windows. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.slices = Slices()
        self._facts: dict[WindowKey, _Facts] = {}
        self._waiting = Counter[tuple[tuple[WindowKey, int], ...]]()  # what requests wait for -> how many do for it
        #: Sums of the answers, for whoever waits: rises with each.
        self.exchanges = 0
        self._looked_at = -math.inf
        self._repeated_at: float | None = None  # there was nothing to exchange before the first one
        self._remembered: dict[WindowKey, tuple[int, int]] = {}  # what was spent and leased by others

    def extend(self, hold: Hold, amounts: Mapping[WindowKey, int], limits: Mapping[WindowKey, int], now: float) -> bool:
        """Hold more of windows for a request, of all or of none; false if one has too little free, or a lease from
        before its limit was lowered."""
        is_lowered = False
        for window, amount in amounts.items():
            facts = self._known(window, limits[window], now)
            facts.last = amount
            is_lowered |= facts.is_lowered
        return not is_lowered and not self.slices.extend(hold, amounts)

    def extend_beyond(
        self,
        hold: Hold,
        amounts: Mapping[WindowKey, int],
        limits: Mapping[WindowKey, int],
        parts: Mapping[WindowKey, int],
        now: float,
        *,
        has_ended: bool = False,
    ) -> Beyond:
        """Hold more of windows though the store does not answer, of all or of none.

        :param parts: how far each window may stand beyond its lease; others not at all.
        :param has_ended: others may have ended the leases: they cover what is held, and nothing more.
        """
        beyond, is_spent, is_over, slices = 0, False, False, self.slices
        for window, amount in amounts.items():
            facts, one = self._known(window, limits[window], now), slices.of(window)
            if has_ended:
                slices.give_back(window, one.free)
            if facts.spent is None and window in self._remembered:
                facts.spent, facts.others = self._remembered[window]
            known = LastKnown(limits[window], one.leased, facts.spent or 0, facts.others)
            used = one.held + one.spent
            if facts.is_lowered:
                slices.give_back(window, one.leased - known.covered)
            if facts.spent is not None:  # by the limit of now: clients are told, and clamped to it
                facts.available = known.limit - known.spent - known.others - one.leased
            if known.is_spent(used + amount):
                is_spent |= facts.spent is not None
                is_over = True
            more = known.beyond(used + amount)
            is_over |= more > parts.get(window, 0)
            beyond = max(beyond, more - known.beyond(used))
        if is_over:
            return "spent" if is_spent else "refused"
        slices.extend_beyond(hold, amounts)
        return beyond

    def wait(self, amounts: Mapping[WindowKey, int], sign: int = 1) -> None:
        """A request begins to wait for amounts, or ends it (``sign`` -1). The next exchange asks for what it lacks."""
        pairs = tuple(amounts.items())
        self._waiting[pairs] += sign
        if not self._waiting[pairs]:
            del self._waiting[pairs]

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

    def is_in_store(self, amounts: Mapping[WindowKey, int]) -> bool:
        """Whether the store had what is missing, at the last exchange."""
        return all(free + available >= amounts[window] for window, (free, available) in self.missing(amounts).items())

    def may_come(self, amounts: Mapping[WindowKey, int]) -> bool:
        """Whether others have leased what is missing, or requests of this process hold it."""
        for window, (free, available) in self.missing(amounts).items():
            facts = self._facts.get(window)
            others = facts.others if facts is not None else 0
            if free + available + others < amounts[window]:
                return False
        return True

    def after_exchange(
        self, amounts: Mapping[WindowKey, int], since: float, now: float, most: float | None = None
    ) -> Next:
        """What a request does whose amounts are not held after an exchange.

        :param since: when it began to wait. What the store had before that, of a window that another request took
            meanwhile, says nothing: the next exchange asks for it.
        :param most: seconds for which it waits also for what running requests hold; None if it does not.
        """
        waited, missing = now - since, self.missing(amounts)
        if self.is_in_store(amounts) or any(self._facts[window].exchanged_at < since for window in missing):
            return "late" if waited >= STORE_SECONDS else "wait"
        if most is None and not self.may_come(amounts):
            return "refuse"
        return "refuse" if waited >= max(most or 0.0, RECALL_SECONDS) else "wait"

    def is_look_due(self, now: float) -> bool:
        """Whether something is leased of which it was not heard lately whether it is recalled."""
        since = now - _LOOKED_EVERY
        return self._looked_at <= since and any(
            facts.stored and facts.exchanged_at <= since for facts in self._facts.values()
        )

    def looked(self, recalled: Collection[WindowKey], now: float) -> None:
        """Take over which of the windows that this process has leased are recalled. :param now: when that was asked."""
        self._looked_at = now
        for window, facts in self._facts.items():
            facts.is_recalled = window in recalled

    def repeat(self) -> None:
        """The store failed: another may take its place, which has lost something. The next exchange has all that is
        leased, as one does after ``_REPEATED_EVERY``."""
        self._repeated_at = -math.inf

    def asks(self, debits: Mapping[WindowKey, int], now: float, *, all_back: bool = False) -> dict[WindowKey, Ask]:
        """What to ask for in an exchange that writes ``debits``.

        :param all_back: nothing is kept but what is held, and all of that is asked for: the process ends, or the store
            may have ended its leases.
        """
        result = {}
        is_of_all = self._is_exchange_of_all(now) or all_back
        awaited = self._awaited()
        usable = self._awaited(usable=True) if any(facts.is_recalled for facts in self._facts.values()) else {}
        for window, one in list(self.slices):
            facts = self._facts.get(window)
            if facts is None:  # spent without a hold: only written
                continue
            debit = debits.get(window, 0)
            needed = one.held + one.spent - debit
            ahead = 0 if all_back or facts.is_recalled or facts.is_lowered else self._ahead(facts, now)
            all_awaited = awaited.get(window, ())
            waiting_for = usable.get(window, ()) if facts.is_recalled else all_awaited
            waiting, least = sum(waiting_for), min(waiting_for, default=0)
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
            is_left = len(waiting_for) < len(all_awaited)  # what there is of it is asked all the same
            if debit or want != lease or facts.stored != lease or is_left or (lease and is_of_all):
                result[window] = Ask(need, want, facts.limit, keep, max(keep, needed + least))
                facts.exchanged_at, facts.stored, facts.requested_limit = now, None, facts.limit
            facts.is_lowered = False
        return result

    def _awaited(self, *, usable: bool = False) -> dict[WindowKey, list[int]]:
        """What requests wait for, by window.

        :param usable: without what they cannot use yet, because they lack an earlier window. Two processes that each
            kept what they have of one of two windows would both wait in vain for the other.
        """
        awaited: dict[WindowKey, list[int]] = {}
        for pairs, count in self._waiting.items():
            first = min(self.missing(dict(pairs)), default=None) if usable else None
            for window, amount in pairs:
                if first is None or window <= first:
                    awaited.setdefault(window, []).extend([amount] * count)
        return awaited

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
            facts.spent = facts.requested_limit - grant.leased - grant.available - grant.leased_by_others
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

    def _is_exchange_of_all(self, now: float) -> bool:
        """Whether an exchange that begins now repeats all that is leased."""
        if self._repeated_at is None:
            self._repeated_at = now
        is_due = now - self._repeated_at >= _REPEATED_EVERY
        if is_due:
            self._repeated_at = now
        return is_due

    def _ahead(self, facts: _Facts, now: float) -> int:
        if now - facts.used_at > _FORGOTTEN_AFTER:
            return 0
        rate = _decayed(facts, now) / _AVERAGE
        if now - facts.used_at < _AVERAGE:
            rate = max(rate, _REQUESTS_AHEAD * facts.last / _AVERAGE)
        return ahead_of(rate, facts.available, holders=2 if facts.others else 1)

    def _forget(self, now: float) -> None:
        awaited = {window for pairs in self._waiting for window, _ in pairs}
        for window, facts in list(self._facts.items()):
            one = self.slices.of(window)
            is_old = now - facts.used_at > _FORGOTTEN_AFTER and window not in awaited
            if is_old and not one.held and not one.spent and facts.stored is not None and facts.stored <= 0:
                self.slices.forget(window)
                if facts.spent is not None:
                    self._remember(window, facts.spent, facts.others)
                del self._facts[window]

    def _remember(self, window: WindowKey, spent: int, others: int) -> None:
        """What was known of a window that is forgotten, for an outage."""
        self._remembered.pop(window, None)
        if len(self._remembered) >= _MANY:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[window] = spent, others


def sums(debits: Iterable[Sequence[tuple[WindowKey, int]]]) -> dict[WindowKey, int]:
    """The debits of several rows together."""
    total: dict[WindowKey, int] = {}
    for of_row in debits:
        for window, amount in of_row:
            total[window] = total.get(window, 0) + amount
    return total


def _decayed(facts: _Facts, now: float) -> float:
    return facts.recent * math.exp((facts.recent_at - now) / _AVERAGE) if facts.recent else 0.0
