"""The outcome of an exchange, for its record."""

from __future__ import annotations

from modelmux.errors import GatewayDraining, GatewayError, RequestError, UpstreamError, UpstreamRefused
from modelmux.telemetry import names
from modelmux.telemetry.records import Outcome

#: Statuses of an upstream's error that the client caused.
_CLIENT_STATUSES = (400, 404, 413)


def outcome_of(error: GatewayError | None, *, client_disconnected: bool) -> Outcome:
    """How an exchange ended.

    :param error: the error sent to the client, if it failed.
    :param client_disconnected: the client left before the end.
    """
    if client_disconnected:
        return names.OUTCOME_CLIENT_DISCONNECTED
    if error is None:
        return names.OUTCOME_OK
    if isinstance(error, RequestError) or (isinstance(error, UpstreamRefused) and error.status in _CLIENT_STATUSES):
        return names.OUTCOME_CLIENT_ERROR
    if isinstance(error, GatewayDraining):
        return names.OUTCOME_DRAINED
    return names.OUTCOME_UPSTREAM_ERROR if isinstance(error, UpstreamError) else names.OUTCOME_GATEWAY_ERROR
