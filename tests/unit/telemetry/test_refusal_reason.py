"""Risk: a refusal is counted under another reason, or an upstream's as the gateway's own."""

from __future__ import annotations

import pytest

from modelmux.errors import (
    BudgetSpent,
    CallerRateLimited,
    GatewayError,
    GatewayOverloaded,
    InvalidRequest,
    ModelNotFound,
    NotPermitted,
    StoreUnavailable,
    Unauthorized,
    UpstreamError,
)
from modelmux.telemetry.refusal_reason import refusal_reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BudgetSpent("m"), "budget"),
        (CallerRateLimited("m", retry_after=1), "rpm"),
        (CallerRateLimited("m", retry_after=1, rate="concurrent"), "concurrent"),
        (Unauthorized("m"), "key"),
        (NotPermitted("m", code="address_not_allowed"), "key"),
        (NotPermitted("m", param="model"), "model"),
        (NotPermitted("m", code="price_unknown"), "model"),
        (ModelNotFound("m"), "model"),
        (StoreUnavailable("m"), "store"),
        (InvalidRequest("m"), None),
        (GatewayOverloaded("m"), None),
        (UpstreamError("m"), None),
    ],
)
def test_the_reason(error: GatewayError, reason: str | None) -> None:
    assert refusal_reason(error) == reason
