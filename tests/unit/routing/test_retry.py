"""The retry decision, as a table: a retry too many bills twice, one too few shows an error it would have cured."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.claude.upstream_errors import RULES
from modelmux.errors import (
    CredentialsUnavailable,
    GatewayError,
    InvalidRequest,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from modelmux.routing.availability import FREE, Standing
from modelmux.routing.retry import Again, GiveUp, Policy, decide
from modelmux.routing.routes import Deployment, Route
from modelmux.routing.selection import select

A, B, C = (Deployment(i, "u", "p", "global", builtin().cards[0]) for i in "abc")
ONE, TWO, THREE = Route("r", (A,)), Route("r", (A, B)), Route("r", (A, B, C))


def refused(kind: str, retry_after: float | None = None) -> UpstreamRefused:
    return UpstreamRefused(
        "m", status=500, type="t", code=None, upstream_status=500, kind=kind, retry_after=retry_after
    )


def verdict(error: GatewayError, tried: tuple[Deployment, ...] = (A,), route: Route = ONE, **fields: Any) -> Any:
    settings: dict[str, Any] = {"renewed": False, "thoughtless": False, "policy": Policy(), "jitter": 1.0, **fields}
    return decide(error, route=route, tried=tried, **settings)


CURABLE = {"rate_limit", "overloaded", "server_error", "timeout"}


@pytest.mark.parametrize("kind", RULES)
def test_which_refusals_are_tried_again(kind: str) -> None:
    again = verdict(refused(kind), renewed=True, thoughtless=True)
    assert again == (Again(0.5, A) if kind in CURABLE else GiveUp("not curable"))


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


@pytest.mark.parametrize(("error", "curable"), OTHERS)
def test_which_other_failures_are_tried_again(error: GatewayError, curable: bool) -> None:
    assert verdict(error) == (Again(0.5, A) if curable else GiveUp("not curable"))


OUT, LATER = Standing(out=True, back_at=7.0), Standing(out=True, back_at=8.0)
ASKED, NONE = Standing(out=True, back_at=7.0, wait_until=7.0), Standing(out=True, back_at=7.0, no_quota=True)

DECISIONS: list[tuple[str, Any, Again | GiveUp]] = [
    ("a fresh deployment at once", verdict(refused("overloaded"), (A,), TWO), Again(0.0, B)),
    ("even if asked to wait", verdict(refused("rate_limit", 99.0), (A,), TWO), Again(0.0, B)),
    ("then back, after a wait", verdict(refused("overloaded"), (A, B), TWO), Again(1.0, A)),
    ("as long as was asked", verdict(refused("rate_limit", 7.0)), Again(7.0, A)),
    ("asked not to wait at all", verdict(refused("rate_limit", 0.0)), Again(0.0, A)),
    ("as long as is allowed", verdict(refused("rate_limit", 30.0)), Again(30.0, A)),
    ("too long", verdict(refused("rate_limit", 30.1)), GiveUp("asked to wait too long")),
    ("a bound of the operator's", verdict(refused("rate_limit", 7.0), policy=Policy(max_retry_after=5.0)),
     GiveUp("asked to wait too long")),
    ("the last attempt", verdict(refused("overloaded"), (A, A, A, A)), GiveUp("attempts used up")),
    ("the last attempt with a fresh deployment", verdict(refused("overloaded"), (A,), TWO, policy=Policy(attempts=1)),
     GiveUp("attempts used up")),
    ("a refused token is renewed once, in place", verdict(refused("unauthenticated"), (A, B), TWO),
     Again(0.0, B, renew_token=True)),
    ("and not twice", verdict(refused("unauthenticated"), (A, B), TWO, renewed=True), GiveUp("not curable")),
    ("even where nothing is repeated", verdict(refused("unauthenticated"), policy=Policy(attempts=1)),
     Again(0.0, A, renew_token=True)),
    ("nor is what is refused once more", verdict(refused("unauthenticated"), renewed=True, policy=Policy(attempts=1)),
     GiveUp("attempts used up")),
    ("refused thinking is left out once, in place", verdict(refused("thinking_refused"), (A, B), TWO),
     Again(0.0, B, drop_thoughts=True)),
    ("that too where nothing is repeated", verdict(refused("thinking_refused"), policy=Policy(attempts=1)),
     Again(0.0, A, drop_thoughts=True)),
    ("and not if there was none", verdict(refused("thinking_refused"), thoughtless=True), GiveUp("not curable")),
    ("back to where it is free, not on to where it is out", verdict(refused("overloaded"), (A,), TWO,
     standings=(FREE, OUT)), Again(0.5, A)),
    ("all out: to the first that is back, after a wait", verdict(refused("overloaded"), (A,), TWO,
     standings=(LATER, OUT)), Again(0.5, B)),
    ("as long as another place had asked", verdict(refused("overloaded"), (B, A), TWO,
     standings=(LATER, ASKED), now=3.0), Again(4.0, B)),
    ("what was asked before is over", verdict(refused("overloaded"), (B, A), TWO,
     standings=(LATER, ASKED), now=9.0), Again(1.0, B)),
    ("an untried place without quota", verdict(refused("rate_limit"), (A,), TWO, standings=(NONE, NONE)),
     GiveUp("no quota", A)),
    ("the time is over before the wait is", verdict(refused("overloaded"), now=5.0, deadline=5.5),
     GiveUp("no time left")),
    ("it is not", verdict(refused("overloaded"), now=5.0, deadline=5.6), Again(0.5, A)),
    ("no time at all, even for another place", verdict(refused("overloaded"), (A,), TWO, now=5.0, deadline=5.0),
     GiveUp("no time left")),
    ("too many retries lately", verdict(refused("overloaded"), spare=False), GiveUp("budget")),
    ("a token is renewed all the same", verdict(refused("unauthenticated"), spare=False),
     Again(0.0, A, renew_token=True)),
]  # fmt: skip


@pytest.mark.parametrize(("found", "expected"), [d[1:] for d in DECISIONS], ids=[d[0] for d in DECISIONS])
def test_decision(found: Any, expected: Again | GiveUp) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("attempts", "most"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (20, 8.0), (2000, 8.0)]
)
def test_waiting_doubles_up_to_a_bound_and_is_spread_over_all_of_it(attempts: int, most: float) -> None:
    policy = Policy(attempts=100_000)
    for jitter in (0.0, 0.5, 1.0):
        again = verdict(refused("overloaded"), (A,) * attempts, policy=policy, jitter=jitter)
        assert again == Again(most * jitter, A)


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


@pytest.mark.parametrize(("route", "tried", "expected"), SELECTED)
def test_a_deployment_not_tried_comes_first_then_the_one_tried_longest_ago(
    route: Route, tried: tuple[Deployment, ...], expected: Deployment
) -> None:
    assert select(route, tried) == expected
