"""The retry decision on a route of several models: which errors another model may cure, and which end it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.catalog import builtin
from modelmux.error_kinds import KINDS
from modelmux.errors import (
    GatewayError,
    GatewayOverloaded,
    InvalidRequest,
    UpstreamRefused,
    UpstreamReply,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from modelmux.routing.availability import AVAILABLE, Availability
from modelmux.routing.model import Deployment, Route
from modelmux.routing.retry import AttemptState, Retry, RetryPolicy, Stop, decide_retry, rejects_model
from modelmux.routing.selection import select

SONNET, HAIKU, OPUS = (builtin().card(n) for n in ("claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-8"))
A = Deployment("a", "https://a", "p", "eu", SONNET)
B = Deployment("b", "https://b", "p", "us", SONNET)
F = Deployment("f", "https://f", "p", "eu", HAIKU, order=1)
G = Deployment("g", "https://g", "p", "eu", OPUS, order=2)
ROUTE = Route("r", (A, B, F, G))
SMALL = Route("r", (A, F))


def refused(kind: str, retry_after: float | None = None) -> UpstreamRefused:
    return UpstreamRefused("m", KINDS[kind], UpstreamReply(KINDS[kind].status), retry_after=retry_after)


OVERLOADED, NOT_FOUND, BAD = refused("overloaded"), refused("not_found"), refused("invalid_request")
UNAVAILABLE = Availability(unavailable=True, available_at=7.0)
WAITS = Availability(unavailable=True, available_at=90.0, retry_after_until=90.0)
NO_QUOTA = Availability(unavailable=True, available_at=7.0, quota_is_zero=True)
NO_QUOTA_SOONER = Availability(unavailable=True, available_at=5.0, quota_is_zero=True)


def decision(error: GatewayError, *attempted: Deployment, route: Route = ROUTE, **fields: Any) -> Retry | Stop:
    repaired = {"token_renewed": True, "can_repair": False}
    return decide_retry(error, AttemptState(route, attempted, **(repaired | fields)), RetryPolicy(), 1.0)


REJECTED = {"rejected_models": frozenset([HAIKU.id])}
DECISIONS: list[tuple[str, Retry | Stop, Retry | Stop]] = [
    ("another deployment of the same model first", decision(OVERLOADED, A), Retry(0.0, B)),
    ("then the fallbacks in their order", decision(OVERLOADED, A, B), Retry(0.0, F)),
    ("and again", decision(OVERLOADED, A, B, F), Retry(0.0, G)),
    ("a 404 leaves the model out", decision(NOT_FOUND, A), Retry(0.0, F)),
    ("a 404 without another model", decision(NOT_FOUND, A, route=Route("r", (A, B))), Stop("not_retryable")),
    ("a 404 of a fallback", decision(NOT_FOUND, A, F, route=SMALL), Retry(1.0, A)),
    ("the primary model's refusal is final", decision(BAD, A), Stop("not_retryable")),
    ("after a fallback too", decision(BAD, F, A), Stop("not_retryable")),
    ("a fallback's is not", decision(BAD, A, B, F), Retry(0.0, G)),
    ("nor that of the preparation", decision(InvalidRequest("m"), A, B, F), Retry(0.0, G)),
    ("what rejected before stays out", decision(OVERLOADED, A, F, A, route=SMALL, **REJECTED), Retry(2.0, A)),
    ("all have rejected", decision(BAD, A, F, route=SMALL, rejected_models=frozenset([SONNET.id])),
     Stop("not_retryable")),
    ("which model is the primary one", decision(BAD, A, primary_model=HAIKU.id, route=SMALL), Retry(0.0, F)),
    ("its refusal", decision(BAD, F, primary_model=HAIKU.id, route=SMALL), Stop("not_retryable")),
    ("a limit of the gateway", decision(GatewayOverloaded("m"), A, B, F), Stop("not_retryable")),
    ("a timeout that leaves half a reply", decision(UpstreamTimeout("m", clock="idle"), A, B, F),
     Stop("not_retryable")),
    ("a pinned model's other deployment comes first",
     decision(OVERLOADED, G, pinned_model=OPUS.id, route=Route("r", (A, G, replace(G, id="h", url="https://h")))),
     Retry(0.0, replace(G, id="h", url="https://h"))),
    ("a pinned model that has failed", decision(OVERLOADED, G, pinned_model=OPUS.id), Retry(0.0, B)),
    ("a fallback refuses before the primary model was tried: at once, whatever it rests for",
     decision(BAD, F, route=SMALL, availability=(WAITS, AVAILABLE)), Retry(0.0, A)),
    ("not if the primary model failed", decision(BAD, A, F, route=SMALL, availability=(WAITS, AVAILABLE)),
     Stop("retry_after_too_long")),
    ("the quota of the primary model and of its fallback is zero",
     decision(OVERLOADED, F, route=SMALL, availability=(NO_QUOTA, NO_QUOTA_SOONER)), Stop("quota_is_zero", A)),
    ("the one that would be tried next", decision(OVERLOADED, F, route=SMALL, availability=(NO_QUOTA, NO_QUOTA)),
     Stop("quota_is_zero", A)),
    ("only that of the fallback is left", decision(NOT_FOUND, A, route=SMALL, availability=(AVAILABLE, NO_QUOTA)),
     Stop("not_retryable")),
    ("all unavailable", decision(OVERLOADED, A, route=SMALL, availability=(WAITS, UNAVAILABLE)), Retry(0.5, F)),
    ("two entries for one URL",
     decision(OVERLOADED, A, route=Route("r", (A, replace(A, id="a#2")))), Retry(0.0, replace(A, id="a#2"))),
]  # fmt: skip


@pytest.mark.parametrize(("outcome", "expected"), [d[1:] for d in DECISIONS], ids=[d[0] for d in DECISIONS])
def test_decisions(outcome: Retry | Stop, expected: Retry | Stop) -> None:
    assert outcome == expected


REPAIRS = [
    ("a token is renewed for a fallback", refused("unauthenticated"), {"token_renewed": False}, Retry(0.0, F, True)),
    ("thinking is dropped for a fallback", refused("thinking_refused"), {"can_repair": True},
     Retry(0.0, F, repair=True)),
    ("a second time the fallback is out", refused("thinking_refused"), {}, Retry(1.0, A)),
]  # fmt: skip


@pytest.mark.parametrize(("error", "fields", "expected"), [r[1:] for r in REPAIRS], ids=[r[0] for r in REPAIRS])
def test_repairs(error: GatewayError, fields: dict[str, bool], expected: Retry) -> None:
    assert decision(error, A, F, route=SMALL, **fields) == expected


CURABLE = {name for name, kind in KINDS.items() if kind.retry == "anywhere"}


@pytest.mark.parametrize("name", KINDS)
def test_which_refusals_reject_a_model(name: str) -> None:
    assert rejects_model(refused(name), HAIKU.id, SONNET.id) is (name not in CURABLE)
    assert rejects_model(refused(name), SONNET.id, SONNET.id) is (name in {"not_found", "quota_zero"})


def test_the_way_to_a_model_says_nothing_about_the_request() -> None:
    for error in (UpstreamUnreachable("m"), UpstreamTimeout("m", clock="total"), GatewayError("m")):
        assert not rejects_model(error, HAIKU.id, SONNET.id)
    assert rejects_model(InvalidRequest("m"), HAIKU.id, SONNET.id)
    assert not rejects_model(InvalidRequest("m"), SONNET.id, SONNET.id)


def test_the_model_of_a_conversation_is_preferred_over_the_order() -> None:
    assert select(ROUTE, (), model=OPUS.id) is G
    assert select(ROUTE, (), affinity_key=b"k", model=OPUS.id) is G
    assert select(ROUTE, (), availability=[AVAILABLE] * 3 + [UNAVAILABLE], model=OPUS.id) is A
    assert select(ROUTE, (G,), model=OPUS.id) is A
    assert select(ROUTE, (), model="claude-gone") is A
