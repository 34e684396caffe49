"""The protocol of counters: what counts towards a limit, in all processes that share it.

No method waits: an admission is one step of the event loop. A store that other machines share leases what it counts in
the background, and answers from what it has.
"""

from __future__ import annotations

from typing import Protocol

from modelmux.accounts.limit_leases import Seen


class Counter(Protocol):
    """One limit of one subject. Times are ticks, see ``accounts/rate_limits.py``."""

    def seen(self, limit: int, needed: int, tick: int, *, at_once: bool = False) -> Seen:
        """What an admission goes by.

        :param needed: what it needs; 0 to look only.
        :param at_once: the limit is one of requests that run, not of a minute.
        """
        ...

    def refused(self, needed: int, counted: int | None = None) -> int:
        """A request did not fit.

        :param counted: what this returned when the same request did not fit before.
        :returns: a number that changes when other nodes were asked for room: until then a request counts once.
        """
        ...

    def used(self, tick: int) -> int:
        """What counts in the last minute, as far as this machine knows."""
        ...

    def add(self, tick: int, amount: int) -> None:
        """Count an amount for a minute."""
        ...

    def correct(self, added: int, tick: int, more: int) -> None:
        """What was added at a tick was not used to a part, or more was."""
        ...

    def ticks_until_fits(self, seen: Seen, needed: int, tick: int) -> int:
        """Ticks until there is room for a request that did not fit, if nothing is added, as far as that is known."""
        ...

    def ticks_until_unused(self, tick: int) -> int:
        """Ticks until nothing counts, if nothing is added."""
        ...

    @property
    def running(self) -> int:
        """How many have entered, and not left, on this machine."""
        ...

    def enter(self, number: int = 1) -> None:
        """:param number: -1 to leave."""
        ...


class Counters(Protocol):
    """All counters of a process."""

    def counter(self, name: str, tick: int, *, is_claim: bool = False) -> Counter:
        """The counter with a name, which is the same in every process.

        :param tick: of now: counters in which nothing counts any more may be forgotten.
        :param is_claim: clients make up such names, as many as they like: they take nothing away from others.
        """
        ...
