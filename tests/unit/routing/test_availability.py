"""Risk: a deployment is blamed for errors of the client, a quota or a deadline, or not blamed for its own."""

from __future__ import annotations

import pytest

from modelmux.error_kinds import KINDS
from modelmux.errors import (
    CredentialsUnavailable,
    GatewayError,
    GatewayOverloaded,
    InvalidRequest,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamReply,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from modelmux.providers.vertex_claude.errors import UPSTREAM_KINDS
from modelmux.routing.availability import counts_as_failure


def upstream_error(kind: str) -> UpstreamRefused:
    return UpstreamRefused("m", KINDS[kind], UpstreamReply(500))


@pytest.mark.parametrize("kind", UPSTREAM_KINDS)
def test_which_kinds_of_upstream_errors_count_as_failures(kind: str) -> None:
    assert counts_as_failure(upstream_error(kind)) is (
        True if kind in {"overloaded", "server_error", "timeout"} else None
    )


OUTCOMES: list[tuple[GatewayError | None, bool | None]] = [
    (None, False),
    (UpstreamUnreachable("m"), True),
    (UpstreamBroken("m", reply_started=False), True),
    (UpstreamBroken("m", reply_started=True), True),
    *((UpstreamTimeout("m", clock=c), True) for c in ("connect", "send", "first_byte", "first_token", "idle")),
    (UpstreamTimeout("m", clock="total"), None),
    (GatewayOverloaded("m"), None),
    (InvalidRequest("m"), None),
    (CredentialsUnavailable("m"), None),
]


@pytest.mark.parametrize(("error", "expected"), OUTCOMES)
def test_which_outcomes_count_as_failures(error: GatewayError | None, expected: bool | None) -> None:
    assert counts_as_failure(error) is expected
