"""The circuit breaker of one deployment: a table of states, no clock of its own.

    closed ──too many failures──► open ──its time is over──► half open ──a probe succeeds──► closed
                                   ▲                             │
                                   └────────a probe fails────────┘  (open for twice as long)

Only failures that say something of the place count: no connection, a clock that ran out, 5xx, a reply that broke. What
the request itself caused (400) or a quota (429) does not; quotas have a rest of their own in ``fleet``.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

State = Literal["closed", "open", "half_open"]


class Rules(Struct, frozen=True):
    """When a breaker opens and for how long.

    :param consecutive: failures in a row that open it.
    :param share: or this share of failures among the last ``window`` outcomes, once there are ``least`` of them.
    :param first_rest, longest_rest: seconds it stays open the first time, and at most after doubling.
    """

    consecutive: int = 5
    share: float = 0.5
    window: int = 20
    least: int = 10
    first_rest: float = 5.0
    longest_rest: float = 120.0


DEFAULT_RULES: Final = Rules()


class Breaker(Struct, frozen=True):
    """What is remembered of a deployment.

    :param recent: the last outcomes as bits, the newest lowest, 1 for a failure; ``count`` says how many there are.
    :param until: when an open breaker turns half open, on the caller's clock.
    :param rest: seconds of the present or last time it was open.
    :param probing: whether a half-open breaker has let its probe go.
    """

    state: State = "closed"
    recent: int = 0
    count: int = 0
    until: float = 0.0
    rest: float = 0.0
    probing: bool = False


CLOSED: Final = Breaker()


def admits(breaker: Breaker, now: float) -> bool:
    """Whether an attempt may go there: always while closed, one probe at a time once the rest is over."""
    if breaker.state == "closed":
        return True
    return now >= breaker.until and not breaker.probing


def begun(breaker: Breaker, now: float) -> Breaker:
    """An attempt goes there now. Of an open breaker whose rest is over it is the probe."""
    if breaker.state == "closed" or now < breaker.until:
        return breaker  # an attempt in spite of the breaker, because nothing else was left, proves as much as a probe
    return replace(breaker, state="half_open", probing=True)


def ended(breaker: Breaker, now: float, *, failed: bool | None, rules: Rules = DEFAULT_RULES) -> Breaker:
    """An attempt is over.

    :param failed: None for an end that says nothing of the place: the client left, a 400, a quota.
    """
    if failed is None:
        return replace(breaker, probing=False) if breaker.probing else breaker
    if not failed and breaker.state != "closed":
        return CLOSED
    if not failed and not breaker.recent and breaker.count >= rules.window:
        return breaker  # nothing but successes, as nearly always: costs nothing
    if failed and breaker.state != "closed":
        rest = min(rules.longest_rest, 2 * breaker.rest) if breaker.state == "half_open" else breaker.rest
        return replace(breaker, state="open", until=now + rest, rest=rest, probing=False)
    mask = (1 << rules.window) - 1
    recent = (breaker.recent << 1 | failed) & mask
    count = min(breaker.count + 1, rules.window)
    row = (1 << rules.consecutive) - 1
    too_many = count >= rules.least and recent.bit_count() >= rules.share * count
    if (count >= rules.consecutive and recent & row == row) or (failed and too_many):
        return Breaker("open", until=now + rules.first_rest, rest=rules.first_rest)
    return replace(breaker, recent=recent, count=count)
