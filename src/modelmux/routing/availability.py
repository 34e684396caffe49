"""Availability of a deployment when one is selected, and which errors count against it. Data and one table."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from modelmux.errors import GatewayError


class Availability(Struct, frozen=True):
    """One deployment at one moment; times in seconds of the caller's clock.

    :param unavailable: open circuit breaker, quota cooldown, or no free slot: other deployments are preferred.
    :param available_at: when that may end.
    :param retry_after_until: the end of the wait that the upstream asked for; 0 if it did not ask.
    :param in_flight: running attempts, streams included.
    :param quota_is_zero: its quota seems to be zero; while it is also ``unavailable``, it gets no attempt.
    """

    unavailable: bool = False
    available_at: float = 0.0
    retry_after_until: float = 0.0
    in_flight: int = 0
    quota_is_zero: bool = False


AVAILABLE: Final = Availability()


def counts_as_failure(error: GatewayError | None) -> bool | None:
    """Whether an attempt's outcome counts as a failure of its deployment.

    :param error: None for an attempt that succeeded.
    :returns: None for an outcome that says nothing about the deployment: an error of the client, a quota, a limit or
        a deadline of the gateway.
    """
    if error is None:
        return False
    return True if error.kind.blames_deployment else None
