"""Who asks for how much and when: requests by a seed, with many keys of which few are used much."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from modelmux.accounts.slices import WindowKey

#: Nano-USD of one USD.
USD: Final = 10**9


@dataclass(frozen=True)
class Plan:
    """What is simulated. Money in nano-USD, times in seconds.

    :param rate: requests a second, of all keys together.
    :param exponent: of Zipf's law: the key of rank r has a share proportional to ``r ** -exponent``.
    :param key_limit, team_limit, all_limit: budgets of each key, of each team, and of all together; None without.
    :param hold: what a request holds, on average: its worst case.
    :param duration: how long a request takes, on average.
    """

    nodes: int = 20
    keys: int = 100_000
    teams: int = 100
    rate: float = 200.0
    seconds: float = 60.0
    exponent: float = 1.0
    key_limit: int | None = 1_000_000 * USD
    team_limit: int | None = None
    all_limit: int | None = None
    hold: int = USD // 20
    duration: float = 4.0
    seed: int = 1


@dataclass(frozen=True)
class Request:
    """
    :param at: seconds since the begin. :param node: which one a load balancer gave it to.
    :param amount: what it holds of each window; ``cost`` is what it turns out to cost.
    """

    number: int
    at: float
    node: int
    key: int
    team: int
    limits: Mapping[WindowKey, int]
    amount: int
    cost: int
    duration: float


def requests(plan: Plan) -> Iterator[Request]:
    """In the order of their time: arrivals at random (Poisson), nodes and costs at random."""
    dice = random.Random(plan.seed)
    shares = list(accumulate(rank**-plan.exponent for rank in range(1, plan.keys + 1)))
    limits: dict[int, dict[WindowKey, int]] = {}
    keys, at, number = range(plan.keys), 0.0, 0
    while (at := at + dice.expovariate(plan.rate)) < plan.seconds:
        (key,) = dice.choices(keys, cum_weights=shares)
        team = key % plan.teams
        if key not in limits:
            limits[key] = limits_of(plan, key, team)
        amount = round(plan.hold * dice.uniform(0.2, 1.8))
        yield Request(
            number, at, dice.randrange(plan.nodes), key, team, limits[key], amount,
            round(amount * dice.uniform(0.05, 0.6)), dice.expovariate(1 / plan.duration),
        )  # fmt: skip
        number += 1


def limits_of(plan: Plan, key: int, team: int) -> dict[WindowKey, int]:
    """The windows of the budgets that apply to a key, with their limits."""
    windows = {
        WindowKey("bud_all", "", 0): plan.all_limit,
        WindowKey("bud_key", f"key_{key}", 0): plan.key_limit,
        WindowKey("bud_team", f"team_{team}", 0): plan.team_limit,
    }
    return {window: limit for window, limit in windows.items() if limit is not None}
