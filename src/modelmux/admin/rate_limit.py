"""The limits of the admin API itself: calls of a principal, and wrong tokens from an address."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final
from weakref import WeakValueDictionary

from modelmux.admin.errors import TooManyCalls

#: Calls of a principal: so many at once, and so many a second after that.
CALLS: Final = 200
CALLS_PER_SECOND: Final = 50.0
#: Wrong tokens from an address: so many at once, and one more after each of so many seconds.
FAILURES: Final = 20
SECONDS_PER_FAILURE: Final = 6.0
#: Principals and addresses that are remembered; those of longest ago are forgotten.
MAX_REMEMBERED: Final = 10_000
_MICRO: Final = 1_000_000


class _Buckets:
    """A token bucket for each name, as the instant at which it is full again.

    :param size: calls. :param per_call: microseconds in which one comes back.
    """

    def __init__(self, size: int, per_call: int) -> None:
        self._size = size
        self._per_call = per_call
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def wait(self, name: str, now: int) -> float:
        """Seconds until there is room for a call; 0 if there is."""
        full_at = self._full_at.get(name, now)
        return max(0, full_at - now - (self._size - 1) * self._per_call) / _MICRO

    def take(self, name: str, now: int) -> None:
        self._full_at[name] = max(self._full_at.get(name, now), now) + self._per_call
        self._full_at.move_to_end(name)
        if len(self._full_at) > MAX_REMEMBERED:
            self._full_at.popitem(last=False)


class CallLimits:
    """Times are microseconds of a monotonic clock."""

    def __init__(self) -> None:
        self._calls = _Buckets(CALLS, round(_MICRO / CALLS_PER_SECOND))
        self._failures = _Buckets(FAILURES, round(_MICRO * SECONDS_PER_FAILURE))

    def check_principal(self, name: str, now: int) -> None:
        """Count a call. :raises TooManyCalls:"""
        _check(self._calls.wait(name, now), f"{name!r} has made more than {CALLS} calls at once.")
        self._calls.take(name, now)

    def check_address(self, address: str, now: int) -> None:
        """:raises TooManyCalls: too many wrong tokens came from there, whatever comes now."""
        _check(self._failures.wait(address, now), "Too many wrong tokens came from this address.")

    def failed(self, address: str, now: int) -> None:
        self._failures.take(address, now)


class Turns:
    """One question for rows or sums of a principal at a time: the store answers in the order in which it is asked, so
    many questions of one person would delay all others. Those of a page may be one turn."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, name: str) -> asyncio.Lock:
        """Is held while a question is answered; others of the principal wait in their order. It is kept while used."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock


def _check(seconds: float, message: str) -> None:
    if seconds > 0:
        error = TooManyCalls(message, hint="Wait as long as retry-after says.")
        error.retry_after = seconds
        raise error
