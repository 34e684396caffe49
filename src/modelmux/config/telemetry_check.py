"""``[telemetry]`` beyond its types: rules for traces that are kept, and the address of a trace."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from modelmux.config.check import Problem
from modelmux.config.errors import ConfigError
from modelmux.config.telemetry_schema import TelemetryConfig
from modelmux.config.values import Seconds

#: What the id of a trace replaces.
TRACE_ID: Final = "{trace_id}"
_URL: Final = re.compile(r"https?://[\x21-\x7e]+")
_RULE: Final = re.compile(r"(slow|cost)\s*>\s*(\S+)")
_ERRORS: Final = "errors"
#: Longest value that is repeated in a message.
_MAX_SHOWN: Final = 100


class KeepRules(Struct, frozen=True):
    """Which traces are kept, whatever the sampler says of them.

    :param errors: of requests that failed, but for what their clients did wrong.
    :param slower: of those that took longer, in seconds. :param dearer: of those that cost more, in USD.
    """

    errors: bool = False
    slower: float | None = None
    dearer: float | None = None


def check_telemetry(telemetry: TelemetryConfig) -> None:
    """:raises ConfigError: naming every value that cannot be used."""
    keep_rules(telemetry)
    url = telemetry.trace_url
    if url is not None and not (_URL.fullmatch(url) and TRACE_ID in url):
        problem = Problem(("telemetry", "trace_url"), f"{url[:_MAX_SHOWN]!r} is not a URL with {TRACE_ID} in it")
        raise ConfigError([str(problem)], hint=f"Write one such as https://traces.example.com/{TRACE_ID}.")


def keep_rules(telemetry: TelemetryConfig) -> KeepRules | None:
    """The rules; None without any. Of two of one kind the wider one counts.

    :raises ConfigError: naming every one that cannot be read.
    """
    problems = list[str]()
    bounds: dict[str, list[float]] = {_ERRORS: [], "slow": [], "cost": []}
    for index, rule in enumerate(telemetry.keep):
        try:
            kind, bound = _rule(rule.strip())
            bounds[kind].append(bound)
        except ValueError as error:
            problem = Problem(("telemetry", "keep", index), f"{rule[:_MAX_SHOWN]!r} is not a rule; {error}")
            problems.append(str(problem))
    if problems:
        raise ConfigError(problems, hint='Write telemetry.keep = ["errors", "slow>30s", "cost>1"].')
    if not telemetry.keep:
        return None
    return KeepRules(bool(bounds[_ERRORS]), _widest(bounds["slow"]), _widest(bounds["cost"]))


def _rule(text: str) -> tuple[str, float]:
    """Kind and bound of a rule. :raises ValueError: what is expected."""
    if text == _ERRORS:
        return _ERRORS, 0.0
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError('expected "errors", "slow>30s" or "cost>1"')
    return match[1], _bound(match[1], match[2])


def _bound(kind: str, text: str) -> float:
    """:raises ValueError: what is expected."""
    if kind == "slow":
        try:
            return float(Seconds.parse(text))
        except ValueError as error:
            raise ValueError(f"expected {error}") from None
    number = float(text) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) else None
    if number is None:
        raise ValueError("expected USD, such as cost>0.5")
    return number


def _widest(bounds: Sequence[float]) -> float | None:
    return min(bounds, default=None)
