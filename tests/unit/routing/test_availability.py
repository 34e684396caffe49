"""Risk: a place is blamed for what the client, a quota or a deadline of ours did, or goes unblamed for what it did."""

from __future__ import annotations

import pytest
from modelmux.claude.upstream_errors import RULES

from modelmux.errors import (
    CredentialsUnavailable,
    GatewayError,
    GatewayOverloaded,
    InvalidRequest,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from modelmux.routing.availability import counts_as_failure


def refused(kind: str) -> UpstreamRefused:
    return UpstreamRefused("m", status=500, type="t", code=None, upstream_status=500, kind=kind)


@pytest.mark.parametrize("kind", RULES)
def test_a_refusal_speaks_of_the_place_only_if_the_place_is_ill(kind: str) -> None:
    assert counts_as_failure(refused(kind)) is (True if kind in {"overloaded", "server_error", "timeout"} else None)


ENDS: list[tuple[GatewayError | None, bool | None]] = [
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


@pytest.mark.parametrize(("error", "expected"), ENDS)
def test_what_an_end_says_of_the_place(error: GatewayError | None, expected: bool | None) -> None:
    assert counts_as_failure(error) is expected
