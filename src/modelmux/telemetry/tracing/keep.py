"""Which traces are kept although no sampler chose them: decided when a request is over, from its record alone."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from modelmux.config.telemetry_check import KeepRules
from modelmux.telemetry import names
from modelmux.telemetry.records import ExchangeRecord

#: Outcomes that are errors of Vertex AI or of the gateway.
_ERRORS: Final = (names.OUTCOME_UPSTREAM_ERROR, names.OUTCOME_GATEWAY_ERROR)


def keeps(rules: KeepRules, record: ExchangeRecord, cost: Callable[[], str | None]) -> bool:
    """Whether a request is kept.

    :param cost: in USD, a decimal, None if it is unknown; asked for only where a rule wants it.
    """
    if rules.errors and record.outcome in _ERRORS:
        return True
    if rules.slower is not None and record.duration > rules.slower:
        return True
    if rules.dearer is None or not record.attempts:
        return False
    usd = cost()
    return usd is not None and Decimal(usd) > Decimal(str(rules.dearer))
