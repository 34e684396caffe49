"""What the request of a log line cost, and how much of its prompt came from the cache: from the tokens in the line.

With accounts the line has the cost of the row of the ledger. Without, the gateway computes none when it writes a line:
that would take longer than the line. What is computed here is that of the ledger, except where a line does not tell: of
a request whose attempts went to several models, all tokens have the price of the last one; what a broken reply did not
report is not estimated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.charge import Call, charge
from modelmux.accounts.fields import FieldError
from modelmux.catalog.prices import PriceList
from modelmux.wire.anthropic import CacheCreation, ServerToolUse, Usage

_READ: Final = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
#: Where a deployment is that the configuration names by a URL alone.
_UNKNOWN_LOCATION: Final = "url"


def cost_of(event: Mapping[str, Any], prices: PriceList) -> int | None:
    """nano-USD; None if the line is not that of a request that used tokens, or the price is unknown."""
    exact = _nano(event.get("cost_usd"))
    if exact is not None:
        return exact
    model, deployment = event.get("model"), event.get("deployment")
    if not isinstance(model, str) or not isinstance(deployment, str) or not _has_tokens(event):
        return None
    location = deployment.rpartition("@")[2]
    try:
        day = datetime.fromisoformat(str(event.get("timestamp"))).astimezone(UTC).date()
    except ValueError:
        return None
    call = Call(
        model=model, location="global" if location == _UNKNOWN_LOCATION else location, day=day, usage=_usage(event),
        is_complete=True, may_be_billed=True,
    )  # fmt: skip
    cost = charge(call, prices).cost
    return None if cost is None else cost.total


def cache_share(event: Mapping[str, Any]) -> float | None:
    """The part of the tokens of the prompt that came from the cache, from 0 to 1; None without a prompt."""
    total = sum(_count(event, name) for name in _READ)
    return _count(event, "cache_read_tokens") / total if total else None


def _nano(value: object) -> int | None:
    """nano-USD of a field of the line; None if there is none, or the line is of another program."""
    try:
        return parse_amount("cost_usd", value, "usd") if isinstance(value, str) else None
    except FieldError:
        return None


def _has_tokens(event: Mapping[str, Any]) -> bool:
    return any(_count(event, name) for name in (*_READ, "output_tokens"))


def _usage(event: Mapping[str, Any]) -> Usage:
    written, hour = _count(event, "cache_write_tokens"), _count(event, "cache_write_1h_tokens")
    return Usage(
        input_tokens=_count(event, "input_tokens"),
        cache_creation_input_tokens=written,
        cache_read_input_tokens=_count(event, "cache_read_tokens"),
        output_tokens=_count(event, "output_tokens"),
        cache_creation=CacheCreation(max(0, written - hour), hour) if hour else None,
        server_tool_use=ServerToolUse(_count(event, "web_searches")),
    )


def _count(event: Mapping[str, Any], name: str) -> int:
    value = event.get(name)
    return value if isinstance(value, int) and value > 0 else 0
