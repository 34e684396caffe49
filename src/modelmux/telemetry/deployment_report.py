"""What a worker tells of a deployment: whether it is left alone, and its attempts."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

#: Of a circuit breaker: open deployments are tried last; half open, one probe runs.
Circuit = Literal["closed", "half_open", "open"]
#: Of a quota: ``cooldown`` after a 429; ``zero`` if it seems to be so.
QuotaState = Literal["available", "cooldown", "zero"]


class DeploymentReport(Struct, frozen=True, kw_only=True, array_like=True):
    """A deployment in one process, at the time of its report.

    :param in_flight: attempts that run, streams included. :param queued: that wait for a slot.
    :param until: Unix seconds at which the cooldown of the circuit breaker or of the quota is over; 0 without one.
    """

    id: str
    in_flight: int = 0
    queued: int = 0
    circuit: Circuit = "closed"
    quota: QuotaState = "available"
    until: float = 0.0
