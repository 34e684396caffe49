"""Reading a scenario file: scripted faults as TOML. Format and an example: ``docs/emulator.md``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from modelmux.emulator.faults.rules import BadDirective, Match, Rule, Scenario, parse_fault
from modelmux.wire.json_types import in_json_terms


class BadScenario(ValueError):
    """A scenario file that cannot be used; the message says where and what to write instead."""


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file (TOML).

    :raises BadScenario: not TOML, or unknown or invalid fields.
    :raises OSError: the file cannot be read.
    """
    try:
        return parse(tomllib.loads(path.read_text("utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise BadScenario(f"{path.name} is not TOML: {error}") from error


def parse(document: Mapping[str, Any]) -> Scenario:
    """A parsed TOML document -> Scenario. Durations are numbers of seconds or strings such as ``10ms``.

    :raises BadScenario: unknown or invalid fields.
    """
    tables = document.get("rule", [])
    if not isinstance(tables, list):
        raise BadScenario("rule must be a list of tables; write [[rule]]")
    rules = tuple(_rule(number, table) for number, table in enumerate(tables, 1))
    try:
        head = msgspec.convert({k: v for k, v in document.items() if k != "rule"}, Scenario)
    except msgspec.ValidationError as error:
        raise BadScenario(f"scenario: {in_json_terms(str(error))}") from error
    return Scenario(rule=rules, seed=head.seed, description=head.description)


def _rule(number: int, table: Any) -> Rule:
    if not isinstance(table, dict):
        raise BadScenario(f"rule {number} must be a table; write [[rule]]")
    fault = table.get("fault")
    if not isinstance(fault, dict) or not fault:
        raise BadScenario(f"rule {number} has no [rule.fault]; say what goes wrong, for example status = 529")
    try:
        spec = parse_fault({word: _word(value) for word, value in fault.items()})
        match = msgspec.convert(table.get("match", {}), Match)
        rule = msgspec.convert({**table, "fault": {}, "match": {}}, Rule)
    except (BadDirective, msgspec.ValidationError) as error:
        raise BadScenario(f"rule {number}: {in_json_terms(str(error))}") from error
    return Rule(fault=spec, match=match, name=rule.name)


def _word(value: Any) -> str | None:
    if value is True:
        return None
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    return "false" if value is False else str(value)
