"""The only retry brain: after a failed attempt, again or not, where and when.

Only called before the client was shown any content. What is worth another attempt is a table over the *kind* of the
failure; how long to wait is full jitter over an exponential bound, or what the upstream asked for. Another place is
tried at once; only where all are out is there a wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from modelmux.errors import GatewayError, UpstreamBroken, UpstreamRefused, UpstreamTimeout, UpstreamUnreachable
from modelmux.routing.availability import FREE, Standing
from modelmux.routing.routes import Deployment, Route
from modelmux.routing.selection import select

#: Kinds of refusal (translate.errors) that another attempt may cure.
_CURABLE: Final = frozenset({"rate_limit", "overloaded", "server_error", "timeout"})
#: Clocks whose expiry leaves no answer half computed upstream, and the one that is set in order to go elsewhere.
_CURABLE_CLOCKS: Final = frozenset({"connect", "first_token"})
BASE_DELAY: Final = 0.5
MAX_DELAY: Final = 8.0
_MAX_DOUBLINGS: Final = 10  # far beyond MAX_DELAY, far below what a float holds


class Policy(Struct, frozen=True):
    """How much retrying is allowed. ``attempts`` counts all of them, the first included."""

    attempts: int = 4
    max_retry_after: float = 30.0


class Again(Struct, frozen=True):
    """Try again on ``deployment`` after ``delay`` seconds.

    :param renew_token: with another token: this one was refused.
    :param drop_thoughts: without the history's thinking blocks: one of them was refused.
    """

    delay: float
    deployment: Deployment
    renew_token: bool = False
    drop_thoughts: bool = False


class GiveUp(Struct, frozen=True):
    """The client gets the error; ``reason`` is for the log.

    :param no_quota: the deployment whose quota seems to be zero, as those of all others: better news than the error.
    """

    reason: str
    no_quota: Deployment | None = None


def decide(
    error: GatewayError,
    *,
    route: Route,
    tried: tuple[Deployment, ...],
    renewed: bool,
    thoughtless: bool,
    policy: Policy,
    jitter: float,
    standings: Sequence[Standing] = (),
    key: bytes | None = None,
    now: float = 0.0,
    deadline: float = float("inf"),
    spare: bool = True,
) -> Again | GiveUp:
    """What to do after ``error`` ended the last of the attempts ``tried``.

    :param renewed: whether the token was already renewed for this request.
    :param thoughtless: whether thinking blocks were already left out, or there were none.
    :param jitter: a random number from 0 to 1: for the choice among fresh deployments, or for the wait.
    :param standings, key: for ``select``.
    :param now, deadline: seconds of one clock; nothing begins at the deadline or later.
    :param spare: whether the route's retry budget has one left.
    """
    # Those two mend what we sent, once each: where nothing is repeated, too.
    if isinstance(error, UpstreamRefused) and error.kind == "unauthenticated" and not renewed:
        return Again(0.0, tried[-1], renew_token=True)
    if isinstance(error, UpstreamRefused) and error.kind == "thinking_refused" and not thoughtless:
        return Again(0.0, tried[-1], drop_thoughts=True)
    if len(tried) >= policy.attempts:
        return GiveUp("attempts used up")
    if not _curable(error):
        return GiveUp("not curable")
    target = select(route, tried, jitter, standings, key)
    standing = standings[route.deployments.index(target)] if standings else FREE
    if standing.out and standing.no_quota:
        return GiveUp("no quota", target)
    delay = _delay(error, target, tried, standing, policy, jitter, now)
    if delay is None:
        return GiveUp("asked to wait too long")
    if now + delay >= deadline:
        return GiveUp("no time left")
    return Again(delay, target) if spare else GiveUp("budget")


def _delay(
    error: GatewayError,
    target: Deployment,
    tried: tuple[Deployment, ...],
    standing: Standing,
    policy: Policy,
    jitter: float,
    now: float,
) -> float | None:
    """Seconds to wait before an attempt at ``target``; None if the upstream asks for more than is allowed."""
    if target not in tried and not standing.out:
        return 0.0
    asked = error.retry_after if isinstance(error, UpstreamRefused) and target == tried[-1] else None
    if asked is None and standing.wait_until > now:
        asked = standing.wait_until - now
    if asked is not None:
        return asked if asked <= policy.max_retry_after else None
    doublings = min(len(tried) - 1, _MAX_DOUBLINGS)
    return min(MAX_DELAY, BASE_DELAY * 2.0**doublings) * jitter


def _curable(error: GatewayError) -> bool:
    if isinstance(error, UpstreamRefused):
        return error.kind in _CURABLE
    if isinstance(error, UpstreamTimeout):
        return error.clock in _CURABLE_CLOCKS
    return isinstance(error, UpstreamUnreachable | UpstreamBroken)
