"""Which rule of a scenario applies to a request.

Counters of matches and uses live here, so a rule can hit the nth request or the first N.
"""

from __future__ import annotations

import random
from collections import Counter
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from modelmux.emulator.faults.rules import FaultSpec, Match, Scenario
from modelmux.emulator.validation.refused_fields import path_of


class RequestFacts(Struct, frozen=True, kw_only=True):
    """What a rule can match on. ``text`` is the last user text."""

    endpoint: str
    project: str = ""
    location: str = ""
    model: str = ""
    stream: bool = False
    text: str = ""
    betas: tuple[str, ...] = ()
    body: dict[str, Any] = {}


class RuleMatcher:
    """Applies the rules of one scenario, in order. The same seed and requests give the same faults."""

    def __init__(self, scenario: Scenario | None) -> None:
        self._scenario = scenario or Scenario()
        self.reset()

    def reset(self) -> None:
        """Start the scenario from the beginning."""
        self._matches: Counter[int] = Counter()
        self._uses: Counter[int] = Counter()
        self._random = random.Random(self._scenario.seed)  # noqa: S311

    def match(self, facts: RequestFacts) -> tuple[FaultSpec, str] | None:
        """The fault of the first rule that applies, with the rule's name; counts the match."""
        for index, rule in enumerate(self._scenario.rule):
            if not (_matches(rule.match, facts) and _concerns(rule.fault, facts)):
                continue
            self._matches[index] += 1
            if not _is_due(rule.match, self._matches[index]):
                continue
            if rule.match.probability < 1.0 and self._random.random() >= rule.match.probability:
                continue
            times = rule.fault.times
            if times is not None and self._uses[index] >= times:
                continue
            self._uses[index] += 1
            return rule.fault, rule.name or f"rule {index + 1}"
        return None


def _matches(match: Match, facts: RequestFacts) -> bool:
    if match.endpoint not in ("any", facts.endpoint):
        return False
    if match.stream is not None and match.stream != facts.stream:
        return False
    if match.text is not None and match.text.lower() not in facts.text.lower():
        return False
    names = ((match.model, facts.model), (match.location, facts.location), (match.project, facts.project))
    return all(pattern is None or fnmatchcase(name, pattern) for pattern, name in names)


def _concerns(fault: FaultSpec, facts: RequestFacts) -> bool:
    """Whether a fault that refuses betas or fields has one to refuse; any other fault concerns every request."""
    patterns, names = fault.beta_patterns, fault.field_names
    if not patterns and not names:
        return True
    return any(fnmatchcase(beta, pattern) for beta in facts.betas for pattern in patterns) or any(
        path_of(facts.body, name) is not None for name in names
    )


def _is_due(match: Match, count: int) -> bool:
    """Whether the rule applies to the ``count``-th request that matches it (from 1)."""
    if match.nth is not None:
        return count in match.nth
    if match.first is not None and count > match.first:
        return False
    return count > match.after and (count - match.after) % match.every == 0
