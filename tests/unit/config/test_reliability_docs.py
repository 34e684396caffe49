"""docs/reliability.md: the example loads, and the figures are those of the code."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from modelmux.config import Config, build_routes, parse
from modelmux.errors import GatewayOverloaded
from modelmux.routing import quota, retry, retry_budget, selection
from modelmux.routing.circuit_breaker import DEFAULT_SETTINGS as RULES
from modelmux.wire.http import Timeouts

TEXT = (Path(__file__).parents[3] / "docs" / "reliability.md").read_text("utf-8")


def test_the_example_loads_and_its_clocks_are_the_models_own() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    config = parse('[vertex]\nproject = "p"\n' + example)
    route = build_routes(config, config.build_catalog(), date(2026, 12, 1)).find("quick")
    assert (route.timeouts.first_token, route.timeouts.total, route.timeouts.connect) == (8, 120, 5)


def test_every_clock_and_bound_is_told_with_its_default() -> None:
    config = Config()
    named = dict(re.findall(r"^\| `((?:timeouts|limits|server)\.\w+)` \(([^)]*)\)", TEXT, re.MULTILINE))
    named |= dict(re.findall(r"`(limits\.max_queued_requests|limits\.queue_timeout)` \(([^)]*)\)", TEXT))
    for name, told in named.items():
        table, key = name.split(".")
        value = getattr(getattr(config, table), key)
        number = {"off": "0", "30 MiB": str(30 * 2**20)}.get(told, told.removesuffix(" s"))
        assert float(number) == float(value), name
    clocks = {name.removeprefix("timeouts.") for name in named if name.startswith("timeouts.")}
    assert clocks == set(Timeouts.__dataclass_fields__) - {"pool"}
    bounds = {name.removeprefix("limits.") for name in named if name.startswith("limits.")}
    assert bounds == {"max_concurrent_requests", "max_queued_requests", "queue_timeout"}


def test_the_figures_in_the_sentences_are_those_of_the_code() -> None:
    for told in (
        "up to 0.5 s, 1 s, 2 s … 8 s", "more than 30 s", "one retry for every five requests, and ten to begin with",
        "five failures in a row, or when half of the last twenty attempts (of ten at least) failed",
        "a cooldown of 5 s one request tries it", "up to two minutes", "1 s, 2 s … 30 s", "one request a minute checks",
        "twice its fair share in flight (and eight more)",
        "`retry-after: 2`",
    ):  # fmt: skip
        assert told in " ".join(TEXT.split()), told
    assert (retry.BASE_DELAY, retry.MAX_DELAY, retry.RetryPolicy().max_retry_after) == (0.5, 8, 30)
    assert (retry_budget.RETRY_RATIO, retry_budget.MIN_RETRIES) == (1 / 5, 10)
    assert (RULES.consecutive, RULES.failure_ratio, RULES.window, RULES.min_samples) == (5, 0.5, 20, 10)
    assert (RULES.first_cooldown, RULES.max_cooldown) == (5, 120)
    assert (quota.FIRST_COOLDOWN, quota.MAX_COOLDOWN, quota.MAX_PROBE_INTERVAL) == (1, 30, 60)
    assert (selection.LOAD_FACTOR, selection.LOAD_SLACK, GatewayOverloaded.RETRY_AFTER) == (2, 8, 2)
