"""What a gateway takes from its surroundings, as one value: clocks, sleep, randomness and ids.

It is passed in; nothing else in the data path reaches for time or randomness, so a test decides both.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

_BYTES_AT_ONCE: Final = 4096


class Ids:
    """Makes random hexadecimal ids, many from one system call: a call costs more than the rest of making an id.

    :param random: returns N random bytes.
    """

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._digits = ""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)  # two processes must not draw the same digits

    def draw(self, digits: int) -> str:
        """N hexadecimal digits, at most 64."""
        available = self._digits
        if len(available) < digits:
            available = self._random(_BYTES_AT_ONCE).hex()
        self._digits = available[:-digits]
        return available[-digits:]

    def _forget(self) -> None:
        self._digits = ""


#: The ids of this process.
IDS: Final = Ids()


@dataclass(frozen=True, slots=True)
class Runtime:
    """Clocks, sleep, randomness and ids.

    :param clock: monotonic seconds.
    :param now: Unix seconds.
    :param sleep: waits N seconds.
    :param jitter: a random number from 0 to 1.
    :param new_id: N random hexadecimal digits.
    """

    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    new_id: Callable[[int], str] = IDS.draw

    def today(self) -> date:
        """The current day. Days are UTC everywhere, so that all gateways change at the same moment."""
        return datetime.fromtimestamp(self.now(), UTC).date()
