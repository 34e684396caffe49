"""When a request arrived, as its row has it: what budgets, prices and ids go by."""

from __future__ import annotations

from typing import Final

from modelmux.gateway.exchange import Exchange
from modelmux.runtime import Runtime

_MICRO: Final = 1_000_000


def arrival_of(exchange: Exchange, runtime: Runtime) -> int:
    """Microseconds in UTC; the same however often it is asked for, though the clock be set meanwhile."""
    admission = exchange.admission
    if admission.arrived_at is None:
        admission.arrived_at = round((runtime.now() - runtime.clock() + exchange.inbound.received_at) * _MICRO)
    return admission.arrived_at
