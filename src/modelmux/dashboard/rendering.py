"""Data -> HTML. Every value is escaped; templates are those of the package, and no text of others is one."""

from __future__ import annotations

import functools
from decimal import Decimal
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from modelmux.dashboard.assets import url_of
from modelmux.dashboard.charts import columns, decimal, percent, share

#: Below this amount of USD, digits that matter are further behind the point.
_SMALL: Final = Decimal("0.01")
_LEAST: Final = Decimal("0.0001")
_UNITS: Final = {"tokens": "tokens", "requests": "requests"}
_SUFFIXES: Final = ((10**9, "B"), (10**6, "M"), (10**4, "k"))


class Renderer:
    """Templates are read once in a process, before the first page."""

    def __init__(self) -> None:
        self._templates = _templates()

    def html(self, template: str, **values: Any) -> bytes:
        return self._templates[template].render(**values).encode()


@functools.cache
def _templates() -> dict[str, Template]:
    environment = Environment(
        loader=PackageLoader("modelmux.dashboard"), autoescape=True, undefined=StrictUndefined, auto_reload=False,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False,
    )  # fmt: skip
    environment.filters |= {
        "usd": usd,
        "amount": amount,
        "count": count,
        "short": short,
        "seconds": seconds,
        "quantile": quantile,
    }
    environment.globals |= {"columns": columns, "share": share, "percent": percent, "asset": url_of}
    return {name: environment.get_template(name) for name in environment.list_templates()}


def usd(value: str | None) -> str:
    """``12.3456`` -> ``$12.35``; small amounts keep their first digits, and an unknown price is said so."""
    if value is None:
        return "unknown price"
    number = decimal(value)
    sign, number = ("-", -number) if number < 0 else ("", number)
    if number == 0:
        return "$0.00"
    if number < _LEAST:
        return f"{sign}${_LEAST} or less"
    if number < _SMALL:
        return f"{sign}${number:.2g}"
    return f"{sign}${number:,.2f}" if number >= 1 else f"{sign}${number:.3f}"


def amount(value: str, unit: str) -> str:
    """In the unit of a budget."""
    return usd(value) if unit == "usd" else f"{int(decimal(value)):,} {_UNITS.get(unit, unit)}"


def count(value: float) -> str:
    return f"{value:,}"


def short(value: int) -> str:
    """``1234567`` -> ``1.2M``."""
    for size, suffix in _SUFFIXES:
        if value >= size:
            return f"{value / (1000 if suffix == 'k' else size):,.1f}{suffix}"
    return f"{value:,}"


def quantile(value: dict[str, Any]) -> str:
    """As ``/status`` has it."""
    return f"more than {value['seconds']:g} s" if value["more_than"] else seconds(value["seconds"])


def seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
