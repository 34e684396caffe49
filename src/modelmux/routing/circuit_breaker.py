"""The circuit breaker of one deployment: a table of states without a clock of its own.

    closed ──too many failures──► open ──cooldown is over──► half open ──the probe succeeds──► closed
                                   ▲                             │
                                   └───────the probe fails───────┘  (open for twice as long)

Only failures of the deployment count: no connection, a timeout, 5xx, a broken reply. Failures caused by the request
(400) or by a quota (429) do not; quotas have a cooldown of their own (``quota``).
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

State = Literal["closed", "open", "half_open"]


#: A cooldown is up to this much longer, at random: several gateways should not come back at the same moment.
SPREAD: Final = 0.25


class BreakerSettings(Struct, frozen=True):
    """When a breaker opens and for how long.

    :param consecutive: consecutive failures that open it.
    :param failure_ratio: or this ratio of failures among the last ``window`` outcomes, given ``min_samples`` of them.
    :param first_cooldown, max_cooldown: seconds it stays open the first time, and at most after doubling.
    """

    consecutive: int = 5
    failure_ratio: float = 0.5
    window: int = 20
    min_samples: int = 10
    first_cooldown: float = 5.0
    max_cooldown: float = 120.0


DEFAULT_SETTINGS: Final = BreakerSettings()


class Breaker(Struct, frozen=True):
    """The state of one deployment's breaker.

    :param recent: the last outcomes as bits, the newest lowest, 1 for a failure; ``count`` is their number.
    :param open_until: when an open breaker becomes half open, on the caller's clock.
    :param cooldown: seconds of the current or last open period, without its random part.
    :param probe_in_flight: whether the probe of a half-open breaker is running.
    """

    state: State = "closed"
    recent: int = 0
    count: int = 0
    open_until: float = 0.0
    cooldown: float = 0.0
    probe_in_flight: bool = False


CLOSED: Final = Breaker()


def spread(cooldown: float, jitter: float) -> float:
    """The cooldown with its random part, in seconds.

    :param jitter: a random number from 0 to 1.
    """
    return cooldown * (1.0 + SPREAD * jitter)


def allows(breaker: Breaker, now: float) -> bool:
    """Whether an attempt may start: always while closed, one probe at a time after the cooldown."""
    if breaker.state == "closed":
        return True
    return now >= breaker.open_until and not breaker.probe_in_flight


def on_start(breaker: Breaker, now: float) -> Breaker:
    """An attempt starts. After the cooldown of an open breaker it is the probe."""
    if breaker.state == "closed" or now < breaker.open_until:
        return breaker  # an attempt despite an open breaker, for lack of alternatives: its success closes it as well
    return replace(breaker, state="half_open", probe_in_flight=True)


def on_end(
    breaker: Breaker,
    now: float,
    *,
    failed: bool | None,
    jitter: float = 0.0,
    settings: BreakerSettings = DEFAULT_SETTINGS,
) -> Breaker:
    """An attempt has ended.

    :param failed: None for an outcome that says nothing about the deployment: the client left, a 400, a quota.
    :param jitter: a random number from 0 to 1, for the cooldown.
    """
    if failed is None:
        return replace(breaker, probe_in_flight=False) if breaker.probe_in_flight else breaker
    if not failed and breaker.state != "closed":
        return CLOSED
    if not failed and not breaker.recent and breaker.count >= settings.window:
        return breaker  # the common case: a full window of successes needs no update
    if failed and breaker.state != "closed":
        cooldown = breaker.cooldown
        if breaker.state == "half_open":
            cooldown = min(settings.max_cooldown, 2 * cooldown)
        open_until = now + spread(cooldown, jitter)
        return replace(breaker, state="open", open_until=open_until, cooldown=cooldown, probe_in_flight=False)
    window_mask = (1 << settings.window) - 1
    recent = (breaker.recent << 1 | failed) & window_mask
    count = min(breaker.count + 1, settings.window)
    streak = (1 << settings.consecutive) - 1
    too_many = count >= settings.min_samples and recent.bit_count() >= settings.failure_ratio * count
    if (count >= settings.consecutive and recent & streak == streak) or (failed and too_many):
        cooldown = settings.first_cooldown
        return Breaker("open", open_until=now + spread(cooldown, jitter), cooldown=cooldown)
    return replace(breaker, recent=recent, count=count)
