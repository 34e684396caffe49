"""What accounts add to the log line of a request: the name of its key, its tags, what it cost, what was held for it."""

from __future__ import annotations

from collections.abc import Callable

from modelmux.accounts.directory import Directory
from modelmux.catalog.prices import usd
from modelmux.telemetry.records import Charged


class AccountFields:
    """For ``LogObserver``, which is called right after what makes the rows.

    :param directory: returns that of now. :param charged: of the request that was settled last; None if it is not known
        yet, as that of a reply that was cut off and has to be estimated.
    """

    def __init__(self, directory: Callable[[], Directory], charged: Callable[[], Charged | None]) -> None:
        self._directory = directory
        self._charged = charged

    def __call__(self, key: str) -> dict[str, str | None]:
        """Amounts are exact decimals in USD. :param key: id of the key; empty without one."""
        record, charged = self._directory().keys.get(key), self._charged()
        fields = {"key_name": None if record is None else record.name}
        if charged is None:
            return fields
        return fields | {
            "tags": ",".join([f"{name}={value}" for name, value in charged.tags]) or None,
            "cost_usd": None if charged.cost is None else usd(charged.cost),
            "hold_usd": None if charged.hold is None else usd(charged.hold),
            "priced": charged.price,
        }
