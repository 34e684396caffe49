"""Numbers -> shapes of SVG, whose sizes are attributes: the content security policy of the pages allows no style."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

from msgspec import Struct

#: The drawing of a chart, in its own units.
WIDTH: Final = 720
HEIGHT: Final = 120
#: Between columns: at most this, and at most a third of a column and its gap.
_GAP: Final = 3
_MOST_OF_STEP: Final = 3


class Column(Struct, frozen=True):
    """A column of a chart, with a part of it at its foot.

    :param x, width: of both. :param y, height: of all. :param part_y, part_height: of the part.
    """

    x: float
    width: float
    y: float
    height: float
    part_y: float
    part_height: float


class Share(Struct, frozen=True):
    """A budget as parts of a bar, in percent. :param percent: that is spent; over 100 if more is."""

    spent: float
    held: float
    left: float
    percent: float


def columns(values: Sequence[int], parts: Sequence[int]) -> list[Column]:
    """:param parts: of the values, such as the errors among requests."""
    top = max([*values, 1])
    step = WIDTH / max(len(values), 1)
    gap = min(_GAP, step / _MOST_OF_STEP)
    shapes = []
    for index, (value, part) in enumerate(zip(values, parts, strict=True)):
        height, part_height = (round(HEIGHT * one / top, 2) for one in (value, min(part, value)))
        shapes.append(
            Column(
                x=round(index * step + gap / 2, 2), width=round(step - gap, 2), y=round(HEIGHT - height, 2),
                height=height, part_y=round(HEIGHT - part_height, 2), part_height=part_height,
            )
        )  # fmt: skip
    return shapes


def share(limit: str, spent: str, held: str) -> Share:
    """Of decimals. What is spent beyond the limit fills the bar."""
    total, used, reserved = decimal(limit), max(decimal(spent), Decimal(0)), max(decimal(held), Decimal(0))
    if total <= 0:
        return Share(spent=100.0, held=0.0, left=0.0, percent=100.0)
    spent_part = min(used / total * 100, Decimal(100))
    held_part = min(reserved / total * 100, 100 - spent_part)
    return Share(
        spent=round(float(spent_part), 2), held=round(float(held_part), 2),
        left=round(float(100 - spent_part - held_part), 2), percent=float(round(used / total * 100, 1)),
    )  # fmt: skip


def percent(part: str | float, total: str | float) -> float:
    """0 of nothing."""
    return float(round(decimal(part) / decimal(total) * 100, 1)) if decimal(total) > 0 else 0.0


def decimal(value: str | float) -> Decimal:
    """0 for what is not a number."""
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)
