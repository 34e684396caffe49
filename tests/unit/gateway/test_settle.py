"""Risk: an outcome that sends an operator to the wrong place: a client's mistake counted as a failing upstream."""

from __future__ import annotations

import pytest

from modelmux.error_kinds import KINDS
from modelmux.errors import (
    CredentialsUnavailable,
    GatewayDraining,
    GatewayError,
    GatewayOverloaded,
    InvalidRequest,
    OutsideGeography,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamReply,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from modelmux.gateway.settle import outcome_of
from modelmux.providers.vertex_claude.errors import UPSTREAM_KINDS


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (InvalidRequest("no"), "client_error"),
        (UpstreamUnreachable("no route"), "upstream_error"),
        (UpstreamBroken("cut", reply_started=True), "upstream_error"),
        (UpstreamTimeout("late", clock="total"), "upstream_error"),
        (OutsideGeography("out"), "gateway_error"),
        (CredentialsUnavailable("none"), "gateway_error"),
        (GatewayOverloaded("full"), "gateway_error"),
        (GatewayDraining("ending"), "drained"),
        (GatewayError("failed"), "gateway_error"),
    ],
    ids=repr,
)
def test_outcomes_of_errors(error: GatewayError | None, outcome: str) -> None:
    assert outcome_of(error, client_disconnected=False) == outcome
    assert outcome_of(error, client_disconnected=True) == "client_gone"


#: Kinds of the upstream's errors that are the client's doing.
OF_THE_CLIENT = {"invalid_request", "context_length", "too_large", "thinking_refused", "not_enabled", "not_found",
                 "beta_refused", "request_size", "content_filter"}  # fmt: skip


@pytest.mark.parametrize("kind", UPSTREAM_KINDS)
def test_outcomes_of_refusals(kind: str) -> None:
    refused = UpstreamRefused("no", KINDS[kind], UpstreamReply(KINDS[kind].status))
    assert outcome_of(refused, client_disconnected=False) == (
        "client_error" if kind in OF_THE_CLIENT else "upstream_error"
    )
