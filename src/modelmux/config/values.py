"""Types of values that TOML does not have: durations, sizes, secrets. It knows no setting by name."""

from __future__ import annotations

import re
from typing import Final, Self

_NUMBER: Final = r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-zµ]*)\s*"
_SECONDS: Final = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_DAY: Final = _SECONDS["d"]
#: A century. What is longer is a mistake, and more than a date can be away from another one.
_MOST_SECONDS: Final = 36_500 * _DAY
_TOO_LONG: Final = "a duration of at most 36500d, a century"
_BYTES: Final = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "k": 2**10, "kib": 2**10, "m": 2**20, "mib": 2**20,
                 "g": 2**30, "gib": 2**30}  # fmt: skip


def _scaled(text: str, units: dict[str, float] | dict[str, int]) -> float | None:
    """A number with a unit, in the base unit; None if it is not one. A number without a unit is in the base unit."""
    match = re.fullmatch(_NUMBER, text.lower())
    if match is None or (match[2] and match[2] not in units):
        return None
    return float(match[1]) * (units[match[2]] if match[2] else 1)


def _digits(number: float) -> str:
    """A number without an exponent, which ``parse`` does not accept."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


class Seconds(float):
    """A duration in seconds, written as a number or as ``"500ms"``, ``"5s"``, ``"2m"``, ``"1h"``."""

    expected: Final = 'a duration such as 30 (seconds), "500ms" or "5m"'

    @classmethod
    def parse(cls, value: object) -> Self:
        """:raises ValueError: not a duration, a negative one, or more than a century."""
        number = _scaled(value, _SECONDS) if isinstance(value, str) else _number(value)
        if number is None or not number >= 0:
            raise ValueError(cls.expected)
        if number > _MOST_SECONDS:
            raise ValueError(_TOO_LONG)
        return cls(number)

    def __str__(self) -> str:
        if self >= _DAY and self % _DAY == 0:
            return f"{_digits(self / _DAY)}d"
        return f"{_digits(1000 * self)}ms" if 0 < self < 1 else f"{_digits(self)}s"


class Milliseconds(int):
    """A duration in milliseconds, written as a number or as ``"500ms"``, ``"5s"``: the type of a former setting."""

    expected: Final = 'a duration such as 5000 (milliseconds), "500ms" or "5s"'

    @classmethod
    def parse(cls, value: object) -> Self:
        """:raises ValueError: not a duration, a negative one, or more than a century."""
        if isinstance(value, str) and not value.strip().isdigit():
            number = _scaled(value, _SECONDS)
            number = None if number is None else 1000 * number
        else:
            number = _number(float(value) if isinstance(value, str) else value)
        if number is None or not number >= 0:
            raise ValueError(cls.expected)
        if number > 1000 * _MOST_SECONDS:
            raise ValueError(_TOO_LONG)
        return cls(round(number))

    def __str__(self) -> str:
        return f"{int(self)}ms"


class Bytes(int):
    """A size in bytes, written as a number or as ``"64KiB"``, ``"30MiB"``, ``"1GB"``."""

    expected: Final = 'a size such as 65536 (bytes), "64KiB" or "30MiB"'

    @classmethod
    def parse(cls, value: object) -> Self:
        """:raises ValueError: not a size, or a negative one."""
        number = _scaled(value, _BYTES) if isinstance(value, str) else _number(value)
        if number is None or not 0 <= number < 2**53 or number != int(number):
            raise ValueError(cls.expected)
        return cls(number)

    def __str__(self) -> str:
        for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
            if self and self % scale == 0:
                return f"{self // scale}{unit}"
        return f"{int(self)}"


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


class Secret:
    """A value that never shows itself: its repr and str are masks."""

    __slots__ = ("_value",)

    expected: Final = "a string"

    def __init__(self, value: str) -> None:
        self._value = value

    @classmethod
    def parse(cls, value: object) -> Self:
        """:raises ValueError: not text."""
        if not isinstance(value, str):
            raise ValueError(cls.expected)  # noqa: TRY004 - as every parse here
        return cls(value)

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)
