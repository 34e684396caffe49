"""Names for records that are brought along from elsewhere: one that is taken gets a number."""

from __future__ import annotations

from typing import Final

from modelmux.accounts.fields import MAX_NAME

#: Characters of a name before its number, which has room for ten million of one name.
_BASE: Final = MAX_NAME - len("-9999999")


class UniqueNames:
    """
    :param taken: names in lower case; each name that is given out is added.
    """

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._numbers: dict[str, int] = {}  # so that n equal names take n steps, and not n * n

    def take(self, name: str) -> str:
        """The name, cut to leave room, or the first of ``name-2``, ``name-3`` and so on that is free."""
        base = name[:_BASE].rstrip()
        number = self._numbers.get(base.lower(), 1)
        while (free := base if number == 1 else f"{base}-{number}").lower() in self._taken:
            number += 1
        self._numbers[base.lower()] = number + 1
        self._taken.add(free.lower())
        return free
