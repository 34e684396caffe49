"""Scripted faults: reading a scenario file, and which of its rules a request meets.

Format and an example: ``docs/emulator.md``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from modelmux.emulator.faults import BadDirective, Fault, Match, Rule, Scenario, from_words
from modelmux.emulator.state import State


class BadScenario(ValueError):
    """A scenario file that cannot be used; the text says where and what would do."""


def load(path: Path) -> Scenario:
    """Read a scenario file (TOML).

    :raises BadScenario: it is not TOML, or has unknown or wrong fields.
    :raises OSError: it cannot be read.
    """
    try:
        return parse(tomllib.loads(path.read_text("utf-8")))
    except tomllib.TOMLDecodeError as wrong:
        raise BadScenario(f"{path.name} is not TOML: {wrong}") from wrong


def parse(document: Mapping[str, Any]) -> Scenario:
    """A parsed TOML document -> Scenario. Durations may be numbers of seconds or texts such as ``10ms``.

    :raises BadScenario: unknown or wrong fields.
    """
    rules = []
    listed = document.get("rule", [])
    if not isinstance(listed, list):
        raise BadScenario("rule must be a list of tables; write [[rule]]")
    for place, rule in enumerate(listed):
        if not isinstance(rule, dict):
            raise BadScenario(f"rule {place + 1} must be a table; write [[rule]]")
        fault = rule.get("fault")
        if not isinstance(fault, dict) or not fault:
            raise BadScenario(f"rule {place + 1} has no [rule.fault]; say what goes wrong, for example status = 529")
        try:
            parsed = from_words({word: _word(value) for word, value in fault.items()})
            match = msgspec.convert(rule.get("match", {}), Match)
            rules.append(msgspec.convert({**rule, "fault": {}, "match": {}}, Rule))
            rules[-1] = Rule(fault=parsed, match=match, name=rules[-1].name)
        except (BadDirective, msgspec.ValidationError) as wrong:
            raise BadScenario(f"rule {place + 1}: {wrong}") from wrong
    try:
        head = msgspec.convert({k: v for k, v in document.items() if k != "rule"}, Scenario)
    except msgspec.ValidationError as wrong:
        raise BadScenario(f"scenario: {wrong}") from wrong
    return Scenario(rule=tuple(rules), seed=head.seed, description=head.description)


def _word(value: Any) -> str | None:
    if value is True:
        return None
    return "false" if value is False else str(value)


class Meeting(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule can match on. ``text`` is the last user text."""

    endpoint: str
    project: str = ""
    location: str = ""
    model: str = ""
    stream: bool = False
    text: str = ""


def meet(state: State, meeting: Meeting) -> tuple[Fault, str] | None:
    """The fault of the first rule that matches, with the rule's name; counts the meeting."""
    scenario = state.settings.scenario
    if scenario is None:
        return None
    for place, rule in enumerate(scenario.rule):
        if not _matches(rule.match, meeting):
            continue
        state.rule_hits[place] += 1
        if not _turn(rule.match, state.rule_hits[place]):
            continue
        if rule.match.probability < 1.0 and state.dice.random() >= rule.match.probability:
            continue
        times = rule.fault.times
        if times is not None and state.rule_uses[place] >= times:
            continue
        state.rule_uses[place] += 1
        return rule.fault, rule.name or f"rule {place + 1}"
    return None


def _matches(match: Match, meeting: Meeting) -> bool:
    if match.endpoint not in ("any", meeting.endpoint):
        return False
    if match.stream is not None and match.stream != meeting.stream:
        return False
    if match.text is not None and match.text.lower() not in meeting.text.lower():
        return False
    names = ((match.model, meeting.model), (match.location, meeting.location), (match.project, meeting.project))
    return all(pattern is None or fnmatchcase(name, pattern) for pattern, name in names)


def _turn(match: Match, hit: int) -> bool:
    """Whether the so-many-th matching request is meant."""
    if match.nth is not None:
        return hit in match.nth
    if match.first is not None and hit > match.first:
        return False
    return hit > match.after and (hit - match.after) % match.every == 0
