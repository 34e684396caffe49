"""What Google would bill for the replies of this emulator: one entry a reply that began, by its message id.

The amounts are computed here from the price list, apart from the gateway's own code, so that a ledger can be compared
with them. A reply that was cut off or abandoned is billed in full, because the emulator had written it; ``complete``
tells which arrived whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final

from modelmux.catalog.prices import PriceList, builtin_prices, usd
from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.http import HttpExchange
from modelmux.emulator.model.reply import EmulatedReply

#: The oldest entries are dropped beyond this.
MAX_ENTRIES: Final = 200_000
_MILLION: Final = 1_000_000


class Bill:
    """All entries since the last reset, oldest first."""

    def __init__(self, prices: PriceList | None = None) -> None:
        self._prices = prices or builtin_prices()
        self._entries: dict[str, dict[str, Any]] = {}

    def add(self, call: EmulatedCall, reply: EmulatedReply, at: float) -> None:
        """A reply that is about to be sent."""
        usage = reply.usage
        counts = {
            "input": usage.input, "cache_write": usage.cache_5m, "cache_write_1h": usage.cache_1h,
            "cache_read": usage.cache_read, "output": usage.output,
        }  # fmt: skip
        self._entries[reply.id] = {
            "id": reply.id, "model": call.card.id, "location": call.location, "complete": False, "tokens": counts,
            "web_searches": usage.web_searches, "cost": self._cost(call, reply, counts, at),
        }  # fmt: skip
        while len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]

    def sent(self, reply: EmulatedReply, exchange: HttpExchange) -> None:
        """Note how the reply ended."""
        entry = self._entries.get(reply.id)
        if entry is not None:
            entry["complete"] = exchange.outcome == "complete"

    def clear(self) -> None:
        self._entries.clear()

    def to_json(self) -> dict[str, Any]:
        """The form of ``/_emulator/bill``. Costs are decimal strings in USD, null where there is no price."""
        entries = list(self._entries.values())
        return {
            "entries": [{**one, "cost": None if one["cost"] is None else usd(one["cost"])} for one in entries],
            "total": usd(sum(_priced(entries))),
            "complete": usd(sum(_priced(one for one in entries if one["complete"]))),
        }

    def _cost(self, call: EmulatedCall, reply: EmulatedReply, counts: dict[str, int], at: float) -> int | None:
        """Nano-USD; each kind of token is rounded half up by itself."""
        day = datetime.fromtimestamp(at, UTC).date()
        prompt = sum(counts.values()) - counts["output"]
        fast = reply.usage.speed == "fast"
        rates = self._prices.rates(call.card.id, day, call.location, prompt, fast=fast)
        if rates is None:
            return None
        amounts = (Fraction(count * getattr(rates, kind), _MILLION) for kind, count in counts.items())
        searches = reply.usage.web_searches * rates.web_search
        return searches + sum(int(amount + Fraction(1, 2)) for amount in amounts)


def _priced(entries: Iterable[dict[str, Any]]) -> Iterable[int]:
    return (one["cost"] for one in entries if one["cost"] is not None)
