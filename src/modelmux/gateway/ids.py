"""Ids for requests and replies: random, told apart from all others, drawn many at a time.

The kernel is asked for randomness once for many ids: asking it costs more than all the rest of making one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

_AT_ONCE: Final = 4096


class Ids:
    """Makes hexadecimal ids.

    :param random: gives so many random bytes.
    """

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        self._left = ""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)  # two processes must not draw from one supply

    def draw(self, digits: int) -> str:
        """So many hexadecimal digits, at most 64."""
        left = self._left
        if len(left) < digits:
            left = self._random(_AT_ONCE).hex()
        self._left = left[:-digits]
        return left[-digits:]

    def _forget(self) -> None:
        self._left = ""


#: The supply of this process.
IDS: Final = Ids()
