"""docs/emulator.md names every setting and every word, and its scenario works."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from modelmux.emulator import EmulatorSettings, FaultSpec, Match
from modelmux.emulator.faults.scenario import parse

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "emulator.md").read_text("utf-8")
CODE = " ".join(re.findall(r"`([^`\n]+)`", PAGE))


@pytest.mark.parametrize("struct", [EmulatorSettings, FaultSpec, Match], ids=lambda s: s.__name__)
def test_everything_that_can_be_set_is_documented(struct: type) -> None:
    missing = [name for name in struct.__struct_fields__ if not re.search(rf"\b{name}\b", CODE)]
    assert missing == []


def test_defaults_in_the_table_are_the_real_ones() -> None:
    defaults = EmulatorSettings()
    for name in ("tokens_per_second", "first_token_delay", "ping_interval", "seed", "token_lifetime", "keep_requests"):
        row = re.search(rf"\| `{name}` \| ([\d.]+) \|", PAGE)
        assert row is not None, name
        assert float(row[1]) == getattr(defaults, name)


def test_the_scenario_in_the_page_is_valid() -> None:
    block = next(b for b in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "[[rule]]" in b)
    scenario = parse(tomllib.loads(block))
    assert [rule.fault.times for rule in scenario.rule] == [2, None, None]
    assert scenario.description == "a bad day"
