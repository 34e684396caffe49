"""The retry decision, as a table: a retry too many bills twice, one too few shows an error it would have cured."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.error_kinds import KINDS
from modelmux.errors import (
    CredentialsUnavailable,
    GatewayError,
    InvalidRequest,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamReply,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from modelmux.providers.vertex_claude.errors import UPSTREAM_KINDS
from modelmux.routing.availability import AVAILABLE, Availability
from modelmux.routing.model import Deployment, Route
from modelmux.routing.retry import AttemptState, Retry, RetryPolicy, Stop, decide_retry
from modelmux.routing.selection import select

A, B, C = (Deployment(i, "u", "p", "global", builtin().cards[0]) for i in "abc")
DEFAULT_POLICY = RetryPolicy()
ONE, TWO, THREE = Route("r", (A,)), Route("r", (A, B)), Route("r", (A, B, C))


def upstream_error(kind: str, retry_after: float | None = None) -> UpstreamRefused:
    return UpstreamRefused("m", KINDS[kind], UpstreamReply(500), retry_after=retry_after)


def decision(
    error: GatewayError,
    attempted: tuple[Deployment, ...] = (A,),
    route: Route = ONE,
    *,
    policy: RetryPolicy = DEFAULT_POLICY,
    jitter: float = 1.0,
    **fields: Any,
) -> Retry | Stop:
    return decide_retry(error, AttemptState(route, attempted, **fields), policy, jitter)


RETRYABLE = {"rate_limit", "overloaded", "server_error", "timeout"}


@pytest.mark.parametrize("kind", UPSTREAM_KINDS)
def test_which_refusals_are_tried_again(kind: str) -> None:
    outcome = decision(upstream_error(kind), token_renewed=True, can_repair=False)
    assert outcome == (Retry(0.5, A) if kind in RETRYABLE else Stop("not_retryable"))


OTHERS: list[tuple[GatewayError, bool]] = [
    (UpstreamUnreachable("m"), True),
    (UpstreamBroken("m", reply_started=True), True),
    (UpstreamBroken("m", reply_started=False), True),
    (UpstreamTimeout("m", clock="connect"), True),
    (UpstreamTimeout("m", clock="first_token"), True),
    *((UpstreamTimeout("m", clock=clock), False) for clock in ("pool", "send", "first_byte", "idle", "total")),
    (InvalidRequest("m"), False),
    (CredentialsUnavailable("m"), False),
    (GatewayError("m"), False),
]


@pytest.mark.parametrize(("error", "retryable"), OTHERS)
def test_which_other_failures_are_tried_again(error: GatewayError, retryable: bool) -> None:
    assert decision(error) == (Retry(0.5, A) if retryable else Stop("not_retryable"))


UNAVAILABLE = Availability(unavailable=True, available_at=7.0)
UNAVAILABLE_LONGER = Availability(unavailable=True, available_at=8.0)
RETRY_AFTER = Availability(unavailable=True, available_at=7.0, retry_after_until=7.0)
ZERO_QUOTA = Availability(unavailable=True, available_at=7.0, quota_is_zero=True)
NO_RETRIES = RetryPolicy(max_attempts=1)

OVERLOADED, UNAUTHENTICATED = upstream_error("overloaded"), upstream_error("unauthenticated")
THINKING_REFUSED, BETA_REFUSED = upstream_error("thinking_refused"), upstream_error("beta_refused")


def rate_limit(retry_after: float) -> UpstreamRefused:
    return upstream_error("rate_limit", retry_after)


DECISIONS: list[tuple[str, Retry | Stop, Retry | Stop]] = [
    ("another deployment at once", decision(OVERLOADED, (A,), TWO), Retry(0.0, B)),
    ("another deployment at once despite a Retry-After", decision(rate_limit(99.0), (A,), TWO), Retry(0.0, B)),
    ("then the first one again after a delay", decision(OVERLOADED, (A, B), TWO), Retry(1.0, A)),
    ("the delay is the Retry-After and a random part", decision(rate_limit(7.0)), Retry(7.5, A)),
    ("a Retry-After of zero", decision(rate_limit(0.0)), Retry(0.5, A)),
    ("the longest Retry-After allowed", decision(rate_limit(30.0)), Retry(30.5, A)),
    ("a longer Retry-After", decision(rate_limit(30.1)), Stop("retry_after_too_long")),
    ("a limit set by the operator", decision(rate_limit(7.0), policy=RetryPolicy(max_retry_after=5.0)),
     Stop("retry_after_too_long")),
    ("the last attempt", decision(OVERLOADED, (A, A, A, A)), Stop("attempts_exhausted")),
    ("the last attempt, another deployment left", decision(OVERLOADED, (A,), TWO, policy=NO_RETRIES),
     Stop("attempts_exhausted")),
    ("a rejected token is renewed once, same deployment", decision(UNAUTHENTICATED, (A, B), TWO),
     Retry(0.0, B, renew_token=True)),
    ("but not twice", decision(UNAUTHENTICATED, (A, B), TWO, token_renewed=True), Stop("not_retryable")),
    ("even without retries", decision(UNAUTHENTICATED, policy=NO_RETRIES), Retry(0.0, A, renew_token=True)),
    ("the renewed token is rejected, no retries", decision(UNAUTHENTICATED, token_renewed=True, policy=NO_RETRIES),
     Stop("attempts_exhausted")),
    ("rejected thinking is dropped once, same deployment", decision(THINKING_REFUSED, (A, B), TWO, can_repair=True),
     Retry(0.0, B, repair=True)),
    ("thinking is dropped even without retries", decision(THINKING_REFUSED, policy=NO_RETRIES, can_repair=True),
     Retry(0.0, A, repair=True)),
    ("a rejected beta is left out once", decision(BETA_REFUSED, can_repair=True, can_retry=False),
     Retry(0.0, A, repair=True)),
    ("only these two can be repaired", decision(upstream_error("invalid_request"), can_repair=True),
     Stop("not_retryable")),
    ("unless there was none", decision(THINKING_REFUSED, can_repair=False), Stop("not_retryable")),
    ("the same deployment if the other one is unavailable", decision(OVERLOADED, (A,), TWO,
     availability=(AVAILABLE, UNAVAILABLE)), Retry(0.5, A)),
    ("all unavailable: the first that will be available, after a delay", decision(OVERLOADED, (A,), TWO,
     availability=(UNAVAILABLE_LONGER, UNAVAILABLE)), Retry(0.5, B)),
    ("the Retry-After of an earlier attempt there", decision(OVERLOADED, (B, A), TWO,
     availability=(UNAVAILABLE_LONGER, RETRY_AFTER), now=3.0), Retry(4.5, B)),
    ("the Retry-After of an earlier attempt has passed", decision(OVERLOADED, (B, A), TWO,
     availability=(UNAVAILABLE_LONGER, RETRY_AFTER), now=9.0), Retry(1.0, B)),
    ("the other deployment has no quota", decision(upstream_error("rate_limit"), (A,), TWO,
     availability=(ZERO_QUOTA, ZERO_QUOTA)), Stop("quota_is_zero", A)),
    ("the deadline comes before the retry", decision(OVERLOADED, now=5.0, deadline=5.5), Stop("deadline")),
    ("the deadline comes after the retry", decision(OVERLOADED, now=5.0, deadline=5.6), Retry(0.5, A)),
    ("the deadline is now, another deployment left", decision(OVERLOADED, (A,), TWO, now=5.0, deadline=5.0),
     Stop("deadline")),
    ("the retry budget is exhausted", decision(OVERLOADED, can_retry=False), Stop("retry_budget")),
    ("a token is renewed without a retry budget", decision(UNAUTHENTICATED, can_retry=False),
     Retry(0.0, A, renew_token=True)),
]  # fmt: skip


@pytest.mark.parametrize(("actual", "expected"), [d[1:] for d in DECISIONS], ids=[d[0] for d in DECISIONS])
def test_decision(actual: Retry | Stop, expected: Retry | Stop) -> None:
    assert actual == expected


@pytest.mark.parametrize(
    ("attempts", "max_delay"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (20, 8.0), (2000, 8.0)]
)
def test_waiting_doubles_up_to_a_bound_and_is_spread_over_all_of_it(attempts: int, max_delay: float) -> None:
    policy = RetryPolicy(max_attempts=100_000)
    for jitter in (0.0, 0.5, 1.0):
        outcome = decision(upstream_error("overloaded"), (A,) * attempts, policy=policy, jitter=jitter)
        assert outcome == Retry(max_delay * jitter, A)


SELECTED: list[tuple[Route, tuple[Deployment, ...], Deployment]] = [
    (THREE, (), A),
    (THREE, (A,), B),
    (THREE, (B,), A),
    (THREE, (A, C), B),
    (THREE, (A, B, C), A),
    (THREE, (A, B, C, A), B),
    (THREE, (A, A, B, C), A),
    (THREE, (A, B, B, C, A), B),
    (TWO, (A, B, B), A),
    (ONE, (A, A), A),
]


@pytest.mark.parametrize(("route", "attempted", "expected"), SELECTED)
def test_a_deployment_not_tried_comes_first_then_the_one_tried_longest_ago(
    route: Route, attempted: tuple[Deployment, ...], expected: Deployment
) -> None:
    assert select(route, attempted) == expected


def test_a_request_may_allow_fewer_attempts_than_the_policy() -> None:
    policy = RetryPolicy(max_attempts=3)
    assert [policy.limited_to(attempts).max_attempts for attempts in (None, 1, 2, 3, 4)] == [3, 1, 2, 3, 3]
    assert policy.limited_to(2).max_retry_after == policy.max_retry_after


@pytest.mark.parametrize(("attempts", "expected"), [(None, 4), (2, 2), (4, 4), (9, 4), (1, 1)])
def test_a_request_may_be_worth_fewer_attempts_but_never_more(attempts: int | None, expected: int) -> None:
    policy = RetryPolicy(max_attempts=4, max_retry_after=7.0)
    assert policy.limited_to(attempts) == RetryPolicy(max_attempts=expected, max_retry_after=7.0)
