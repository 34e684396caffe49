"""The retry policy: after a failed attempt, decides whether to try again, where and when. Pure.

Called only before the client has received any content. Whether a retry can help is a table over the *kind* of the
error. The delay is full jitter over an exponential limit, or what the upstream asked for. An available deployment that
was not attempted yet is tried at once; otherwise the retry waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from modelmux.errors import GatewayError, UpstreamBroken, UpstreamRefused, UpstreamTimeout, UpstreamUnreachable
from modelmux.routing.availability import AVAILABLE, Availability
from modelmux.routing.model import Deployment, Route
from modelmux.routing.selection import select

#: Kinds of upstream errors (``claude.upstream_errors``) that another attempt may not meet again.
_RETRYABLE_KINDS: Final = frozenset({"rate_limit", "overloaded", "server_error", "timeout"})
#: ``connect`` leaves no half-computed reply upstream; ``first_token`` exists in order to try another deployment.
_RETRYABLE_TIMEOUTS: Final = frozenset({"connect", "first_token"})
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
    :param availability: of the route's deployments, in their order; empty if all are available.
    :param affinity_key: names the conversation, see ``affinity``.
    :param now, deadline: seconds of one clock; no attempt starts at the deadline or later.
    :param can_retry: whether the route's retry budget has a retry left.
    """

    route: Route
    attempted: tuple[Deployment, ...]
    token_renewed: bool = False
    thinking_removed: bool = False
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
    current = state.attempted[-1]
    if isinstance(error, UpstreamRefused) and error.kind == "unauthenticated" and not state.token_renewed:
        return Retry(0.0, current, renew_token=True)
    if isinstance(error, UpstreamRefused) and error.kind == "thinking_refused" and not state.thinking_removed:
        return Retry(0.0, current, drop_thinking=True)
    if len(state.attempted) >= policy.max_attempts:
        return Stop("attempts_exhausted")
    if not is_retryable(error):
        return Stop("not_retryable")
    target = select(state.route, state.attempted, jitter, state.availability, state.affinity_key)
    availability = state.availability[state.route.deployments.index(target)] if state.availability else AVAILABLE
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


def is_retryable(error: GatewayError) -> bool:
    """Whether another attempt may succeed where one ended with this error."""
    if isinstance(error, UpstreamRefused):
        return error.kind in _RETRYABLE_KINDS
    if isinstance(error, UpstreamTimeout):
        return error.clock in _RETRYABLE_TIMEOUTS
    return isinstance(error, UpstreamUnreachable | UpstreamBroken)


def _retry_after(error: GatewayError, same_deployment: bool, availability: Availability, now: float) -> float | None:
    """Seconds the upstream asked to wait; None if it did not ask."""
    if same_deployment and isinstance(error, UpstreamRefused) and error.retry_after is not None:
        return error.retry_after
    return availability.retry_after_until - now if availability.retry_after_until > now else None


def _backoff(attempts: int) -> float:
    """The longest delay after this number of attempts."""
    doublings = min(attempts - 1, _MAX_DOUBLINGS)
    return min(MAX_DELAY, BASE_DELAY * 2.0**doublings)
