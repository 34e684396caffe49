"""The retry policy: after a failed attempt, decides whether to try again, where and when. Pure.

Called only before the client has received any content. Whether a retry can help is a column of the table of error
kinds. The delay is full jitter over an exponential limit, or what the upstream asked for and a little more. An
available deployment that was not attempted yet is tried at once; otherwise the retry waits.

A route may have deployments of several models, those of its fallbacks last in order, so falling back to another model
is the same decision as trying another deployment. But a model may reject the request as such. That is final if it is
the conversation's primary model, which the client asked for; any other model is left out from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from modelmux.errors import GatewayError, RequestError, UpstreamRefused
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

    def limited_to(self, attempts: int | None) -> RetryPolicy:
        """The same policy with a lower number of attempts; None for no other limit."""
        if attempts is None or attempts >= self.max_attempts:
            return self
        return replace(self, max_attempts=attempts)


class AttemptState(Struct, frozen=True):
    """What is known about a request when one of its attempts has failed.

    :param attempted: the deployment of each attempt so far, the failed one last.
    :param token_renewed: whether the access token was already renewed for this request.
    :param can_repair: whether the gateway can change the request so that the failed attempt's error does not recur.
    :param primary_model: the model that the request is for; the route's own if None.
    :param pinned_model: the model that the conversation stays with, preferred over the order of the deployments.
    :param rejected_models: models that rejected the request, see ``rejects_model``: they are not tried again.
    :param availability: of the route's deployments, in their order; empty if all are available.
    :param affinity_key: names the conversation, see ``affinity``.
    :param now, deadline: seconds of one clock; no attempt starts at the deadline or later.
    :param can_retry: whether the route's retry budget has a retry left.
    """

    route: Route
    attempted: tuple[Deployment, ...]
    token_renewed: bool = False
    can_repair: bool = False
    primary_model: str | None = None
    pinned_model: str | None = None
    rejected_models: frozenset[str] = frozenset()
    availability: Sequence[Availability] = ()
    affinity_key: bytes | None = None
    now: float = 0.0
    deadline: float = float("inf")
    can_retry: bool = True


class Retry(Struct, frozen=True):
    """Try again on ``deployment`` after ``delay`` seconds.

    :param renew_token: with a new access token, because the upstream rejected the current one.
    :param repair: after the request was changed, because the upstream rejected a part of it that can be left out.
    """

    delay: float
    deployment: Deployment
    renew_token: bool = False
    repair: bool = False


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
    if kind.retry == "after_repair" and state.can_repair:
        return Retry(0.0, current, repair=True)
    if len(state.attempted) >= policy.max_attempts:
        return Stop("attempts_exhausted")
    primary, rejected = state.primary_model or state.route.card.id, state.rejected_models
    if rejects_model(error, current.card.id, primary):
        rejected |= {current.card.id}
    elif kind.retry != "anywhere":
        return Stop("not_retryable")
    route, available = _without_models(rejected, state)
    if not route.deployments:
        return Stop("not_retryable")
    target = select(route, state.attempted, jitter, available, state.affinity_key, state.pinned_model)
    availability = available[route.deployments.index(target)]
    if availability.unavailable and availability.quota_is_zero:  # and so are the quotas of all others
        own = [deployment for deployment in route.deployments if deployment.card.id == primary]
        return Stop("quota_is_zero", target if target in own else own[0]) if own else Stop("not_retryable")
    # After nothing but rejections the target gets its attempt as if it were the request's first.
    nothing_tried = all(deployment.card.id in rejected for deployment in state.attempted)
    if target not in state.attempted and (nothing_tried or not availability.unavailable):
        delay = 0.0
    else:
        retry_after = _retry_after(error, target == current, availability, state.now)
        if retry_after is not None and retry_after > policy.max_retry_after:
            return Stop("retry_after_too_long")
        # Never earlier than asked; the random part keeps requests that failed together apart.
        longest = _backoff(len(state.attempted)) if retry_after is None else BASE_DELAY
        delay = (retry_after or 0.0) + longest * jitter
    if state.now + delay >= state.deadline:
        return Stop("deadline")
    return Retry(delay, target) if state.can_retry else Stop("retry_budget")


def rejects_model(error: GatewayError, model: str, primary_model: str) -> bool:
    """Whether a model's error leaves no hope for its other deployments, but for other models.

    True of a model that is not found. True of any final refusal, of the preparation or of the upstream, by a model that
    is not the primary one: what it does not accept (a longer conversation, a parameter) another one may.
    """
    if error.kind.retry == "other_model":
        return True
    is_refusal = isinstance(error, RequestError) or (
        isinstance(error, UpstreamRefused) and error.kind.retry != "anywhere"
    )
    return is_refusal and model != primary_model


def _without_models(rejected: frozenset[str], state: AttemptState) -> tuple[Route, list[Availability]]:
    """The route without the deployments of some models, and the availability of the others."""
    deployments = state.route.deployments
    availability = list(state.availability) or [AVAILABLE] * len(deployments)
    if not rejected:
        return state.route, availability
    left = [pair for pair in zip(deployments, availability, strict=True) if pair[0].card.id not in rejected]
    return state.route.limited_to(deployment for deployment, _ in left), [known for _, known in left]


def _retry_after(error: GatewayError, same_deployment: bool, availability: Availability, now: float) -> float | None:
    """Seconds the upstream asked to wait; None if it did not ask."""
    if same_deployment and error.retry_after is not None:
        return error.retry_after
    return availability.retry_after_until - now if availability.retry_after_until > now else None


def _backoff(attempts: int) -> float:
    """The longest delay after this number of attempts."""
    doublings = min(attempts - 1, _MAX_DOUBLINGS)
    return min(MAX_DELAY, BASE_DELAY * 2.0**doublings)
