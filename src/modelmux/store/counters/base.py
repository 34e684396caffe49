"""The protocol of counters: what counts towards a limit, in all processes that share it.

No method waits: an admission is one step of the event loop. A store that other machines share leases what it counts in
the background, and answers from what it has.
"""

from __future__ import annotations

from typing import Protocol


class Counter(Protocol):
    """One limit of one subject. Times are ticks, see ``accounts/rate_limits.py``."""

    @property
    def share(self) -> int:
        """By how many the limit is to be divided: 1, unless what others count cannot be seen."""
        ...

    def used(self, tick: int) -> int:
        """What counts in the last minute."""
        ...

    def add(self, tick: int, amount: int) -> None:
        """Count an amount for a minute."""
        ...

    def correct(self, added: int, tick: int, more: int) -> None:
        """What was added at a tick was not used to a part, or more was."""
        ...

    def ticks_until(self, tick: int, room: int) -> int:
        """Ticks until no more than an amount counts, if nothing is added."""
        ...

    @property
    def running(self) -> int:
        """How many have entered, and not left."""
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
