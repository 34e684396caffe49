"""Who waits for room within rate limits: a line for each limit, in order of arrival. No clock, no waiting.

A request waits in the line of one of its limits: the one that has room last. Whoever came later and has that limit,
too, waits behind it; whoever has only others of its limits does not.

Places and bytes of those that wait are limited. Where they are used up, a key gives up some for one that has fewer.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct


class Waiter(Struct, eq=False):
    """
    :param arrival: monotonic seconds, and a number that no other one has.
    :param needs: what it needs of each of its limits, by their names.
    :param key: whose it is. :param size: bytes of its body.
    :ivar line: the limit that it waits for; None if it does not wait.
    :ivar wake: ends its pause.
    :ivar is_displaced: its place is another one's now.
    """

    arrival: tuple[float, int]
    needs: Mapping[str, int]
    key: str = ""
    size: int = 0
    line: str | None = None
    wake: Callable[[], None] | None = None
    is_displaced: bool = False


class Blocked(NamedTuple):
    """Why a request has to wait.

    :param line: name of the limit that has room last.
    :param seconds: until it has, as far as that is known; 0 if it is not.
    :param is_estimate: it may be less: what runs is expected to use more than it mostly does.
    """

    line: str
    seconds: float
    is_estimate: bool = False


class Ahead(NamedTuple):
    """Those who wait for a limit and came before.

    :param total: what they need of it. :param first: what the first one needs; None if no one is there.
    """

    total: int = 0
    first: int | None = None


_NONE_AHEAD: Final = Ahead()


def _arrival(waiter: Waiter) -> tuple[float, int]:
    return waiter.arrival


def _size(waiter: Waiter) -> tuple[float, tuple[float, int]]:
    return waiter.size, waiter.arrival


def _bytes(waiters: Sequence[Waiter]) -> int:
    return sum(waiter.size for waiter in waiters)


class LimitLines:
    """All lines of a process. Its length is how many wait."""

    def __init__(self) -> None:
        self._lines: dict[str, list[Waiter]] = {}
        self._keys: dict[str, list[Waiter]] = {}
        self._count = self._bytes = 0

    def __len__(self) -> int:
        return self._count

    def ahead(self, name: str, waiter: Waiter) -> Ahead:
        """Who waits for a limit and came before."""
        line = self._lines.get(name)
        if line is None or line[0].arrival >= waiter.arrival:
            return _NONE_AHEAD
        total = sum(one.needs[name] for one in line if one.arrival < waiter.arrival)
        return Ahead(total, line[0].needs[name])

    def is_first(self, waiter: Waiter) -> bool:
        """Whether the next one to be admitted in its line."""
        return waiter.line is not None and self._lines[waiter.line][0] is waiter

    def join(self, waiter: Waiter, name: str) -> Waiter | None:
        """Wait for a limit, and for no other one. :returns: see ``leave``."""
        if waiter.line == name:
            return None
        first = self.leave(waiter)
        waiter.line = name
        insort(self._lines.setdefault(name, []), waiter, key=_arrival)
        insort(self._keys.setdefault(waiter.key, []), waiter, key=_arrival)
        self._count += 1
        self._bytes += waiter.size
        return first

    def leave(self, waiter: Waiter) -> Waiter | None:
        """Wait no more. :returns: who is the first in its line now, if there is anyone."""
        name, waiter.line = waiter.line, None
        if name is None:
            return None
        line = self._lines[name]
        line.remove(waiter)
        of_key = self._keys[waiter.key]
        of_key.remove(waiter)
        if not of_key:
            del self._keys[waiter.key]
        self._count -= 1
        self._bytes -= waiter.size
        if line:
            return line[0]
        del self._lines[name]
        return None

    def displaced_by(self, newcomer: Waiter, most: int, most_bytes: float) -> Sequence[Waiter] | None:
        """Who has to leave so that a newcomer may wait: the newest of the key that has the most places, and the largest
        of the one that has the most bytes, if they are more than its own key would have.

        :param most, most_bytes: of all that wait. :returns: None if it may not wait.
        """
        count, size = self._count, self._bytes + newcomer.size
        if count < most and size <= most_bytes:
            return ()
        if newcomer.size > most_bytes:  # before anyone leaves for it
            return None
        remaining = {key: list(waiters) for key, waiters in self._keys.items()}
        own = [*remaining.get(newcomer.key, ()), newcomer]
        leaving: list[Waiter] = []
        while count >= most or size > most_bytes:
            share, order = (len, _arrival) if count >= most else (_bytes, _size)
            largest = max(remaining.values(), key=share, default=[])
            if share(largest) <= share(own):
                return None
            other = max(largest, key=order)
            largest.remove(other)
            leaving.append(other)
            count -= 1
            size -= other.size
        return leaving

    def firsts(self, names: Iterable[str]) -> list[Waiter]:
        """The first ones of some lines, which may have room now."""
        return [self._lines[name][0] for name in names if name in self._lines]
