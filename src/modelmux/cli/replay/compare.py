"""Two records of requests, the second a replay of the first, side by side. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from modelmux.store.traces.record import TracedRequest

_TOKENS: Final = ("input", "cache_read", "cache_write", "output")
_LABELS: Final = {"input": "input", "cache_read": "cache read", "cache_write": "cache write", "output": "output"}


def figures(request: TracedRequest) -> dict[str, Any]:
    """What is compared of a request; None for what is not known."""
    tokens, attempts = request.tokens, request.attempts
    return {
        "model": attempts[-1].model if attempts else None,
        "outcome": f"{request.outcome} {request.status}",
        **{name: None if tokens is None else getattr(tokens, name) for name in _TOKENS},
        "cost": request.cost,
        "duration_ms": request.duration_ms,
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Replay minus original, of tokens and cost; None where one of them is not known."""
    return {name: _difference(before[name], after[name]) for name in (*_TOKENS, "cost")}


def _difference(before: Any, after: Any) -> Any:
    if before is None or after is None:
        return None
    return str(Decimal(after) - Decimal(before)) if isinstance(after, str) else after - before


def table(before: TracedRequest, after: TracedRequest) -> Iterator[str]:
    """Lines for people."""
    old, new = figures(before), figures(after)
    more = differences(old, new)
    rows = [("", "original", "replay", ""), ("model", old["model"] or "-", new["model"] or "-", "")]
    rows.append(("outcome", old["outcome"], new["outcome"], ""))
    rows += [(_LABELS[name], _count(old[name]), _count(new[name]), _signed(more[name])) for name in _TOKENS]
    rows.append(("cost", _usd(old["cost"]), _usd(new["cost"]), _signed_usd(more["cost"])))
    rows.append(("duration", f"{old['duration_ms']:,.0f} ms", f"{new['duration_ms']:,.0f} ms", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _signed(value: int | None) -> str:
    return f"{value:+,}" if value else ""


def _usd(value: str | None) -> str:
    return "unknown price" if value is None else f"${value}"


def _signed_usd(value: str | None) -> str:
    if value is None or not Decimal(value):
        return ""
    sign, amount = ("-", -Decimal(value)) if Decimal(value) < 0 else ("+", Decimal(value))
    return f"{sign}${amount:f}"
