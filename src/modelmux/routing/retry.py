"""The retry policy: after a failed attempt, decides whether to try again, where and when. Pure.

Called only before the client has received any content. Whether a retry can help is a column of the table of error
kinds. The delay is full jitter over an exponential limit, or what the upstream asked for. An available deployment that
was not attempted yet is tried at once; otherwise the retry waits. Deployments of fallback models come last in the order
of a route, so falling back to another model is the same decision as trying another deployment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from modelmux.errors import GatewayError
from modelmux.routing.availability import AVAILABLE, Availability
from modelmux.routing.model import Deployment, Route
from modelmux.routing.selection import select

BASE_DELAY: Final = 0.5
MAX_DELAY: Final = 8.0
_MAX_DOUBLINGS: Final = 10  # reaches MAX_DELAY, and stays far below the range of a float

StopReason = Literal[
    "attempts_exhausted", "not_retryable", "quota_is_zero", "retry_after_too_long", "deadline", "retry_budget"
]


class RetryPolicy(Struct, frozen=True):
    """How much retrying is allowed.

    :param max_attempts: attempts for one request, the first included.
    :param max_retry_after: the longest wait in seconds that the upstream may ask for.
    """

    max_attempts: int = 4
    max_retry_after: float = 30.0


class AttemptState(Struct, frozen=True):
    """What is known about a request when one of its attempts has failed.

    :param attempted: the deployment of each attempt so far, the failed one last.
    :param token_renewed: whether the access token was already renewed for this request.
    :param thinking_removed: whether the history holds no thinking blocks (any more).
    :param rejected_models: models that did not accept the request (400): their deployments are not tried again.
    :param availability: of the route's deployments, in their order; empty if all are available.
    :param affinity_key: names the conversation, see ``affinity``.
    :param now, deadline: seconds of one clock; no attempt starts at the deadline or later.
    :param can_retry: whether the route's retry budget has a retry left.
    """

    route: Route
    attempted: tuple[Deployment, ...]
    token_renewed: bool = False
    thinking_removed: bool = False
    rejected_models: frozenset[str] = frozenset()
    availability: Sequence[Availability] = ()
    affinity_key: bytes | None = None
    now: float = 0.0
    deadline: float = float("inf")
    can_retry: bool = True


class Retry(Struct, frozen=True):
    """Try again on ``deployment`` after ``delay`` seconds.

    :param renew_token: with a new access token, because the upstream rejected the current one.
    :param drop_thinking: without the thinking blocks of the history, because the upstream rejected one of them.
    """

    delay: float
    deployment: Deployment
    renew_token: bool = False
    drop_thinking: bool = False


class Stop(Struct, frozen=True):
    """No further attempt: the client gets the error.

    :param zero_quota: a deployment whose quota seems to be zero, like that of all others of the route. An error that
        says so helps the client more than the last attempt's error.
    """

    reason: StopReason
    zero_quota: Deployment | None = None


def decide_retry(error: GatewayError, state: AttemptState, policy: RetryPolicy, jitter: float) -> Retry | Stop:
    """What to do after ``error`` ended the last attempt of ``state``.

    :param jitter: a random number from 0 to 1, for the choice between deployments or for the delay.
    """
    # These two retries correct the request itself, once each, so neither retry limits nor the budget apply.
    current, kind = state.attempted[-1], error.kind
    if kind.name == "unauthenticated" and not state.token_renewed:
        return Retry(0.0, current, renew_token=True)
    if kind.name == "thinking_refused" and not state.thinking_removed:
        return Retry(0.0, current, drop_thinking=True)
    if len(state.attempted) >= policy.max_attempts:
        return Stop("attempts_exhausted")
    route, availability_of = _eligible(error, state)
    if not route.deployments:
        return Stop("not_retryable")
    target = select(route, state.attempted, jitter, list(availability_of.values()), state.affinity_key)
    availability = availability_of[target.url]
    if availability.unavailable and availability.quota_is_zero:
        return Stop("quota_is_zero", target)
    if target not in state.attempted and not availability.unavailable:
        delay = 0.0
    else:
        retry_after = _retry_after(error, target == current, availability, state.now)
        if retry_after is not None and retry_after > policy.max_retry_after:
            return Stop("retry_after_too_long")
        delay = _backoff(len(state.attempted)) * jitter if retry_after is None else retry_after
    if state.now + delay >= state.deadline:
        return Stop("deadline")
    return Retry(delay, target) if state.can_retry else Stop("retry_budget")


def _eligible(error: GatewayError, state: AttemptState) -> tuple[Route, dict[str, Availability]]:
    """The route with the deployments that may succeed where the last attempt failed, and their availability."""
    excluded, deployments = state.rejected_models, state.route.deployments
    availability = state.availability or [AVAILABLE] * len(deployments)
    if error.kind.retry == "other_model":
        excluded |= {deployment.card.id for deployment in state.attempted}
    elif error.kind.retry != "anywhere":
        deployments = ()
    eligible = {
        deployment: known
        for deployment, known in zip(deployments, availability, strict=False)
        if deployment.card.id not in excluded
    }
    route = state.route if len(eligible) == len(state.route.deployments) else state.route.limited_to(eligible)
    return route, {deployment.url: known for deployment, known in eligible.items()}


def _retry_after(error: GatewayError, same_deployment: bool, availability: Availability, now: float) -> float | None:
    """Seconds the upstream asked to wait; None if it did not ask."""
    if same_deployment and error.retry_after is not None:
        return error.retry_after
    return availability.retry_after_until - now if availability.retry_after_until > now else None


def _backoff(attempts: int) -> float:
    """The longest delay after this number of attempts."""
    doublings = min(attempts - 1, _MAX_DOUBLINGS)
    return min(MAX_DELAY, BASE_DELAY * 2.0**doublings)
