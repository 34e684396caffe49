"""A scenario file scripts faults; an invalid one is rejected with the position of the error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from modelmux.emulator import BadScenario, EmulatorSettings, create_emulator, load_scenario
from modelmux.emulator.faults.scenario import parse
from support.emulator_calls import ask, body_of, send

SCENARIO = """
description = "a bad day"
seed = 7

[[rule]]
name = "opus is overloaded twice"
[rule.match]
model = "claude-opus-*"
[rule.fault]
status = 529
times = 2

[[rule]]
[rule.match]
location = "us-east5"
every = 3
[rule.fault]
status = 429
shape = "google"
message = "busy"

[[rule]]
[rule.match]
endpoint = "token"
first = 1
[rule.fault]
status = 503
shape = "html"
"""


async def statuses(app: Any, count: int, words: str = "Hi", **options: Any) -> list[int]:
    return [(await ask(app, body_of(words), **options)).status for _ in range(count)]


async def test_a_scenario_file_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "bad-day.toml"
    path.write_text(SCENARIO, "utf-8")
    app = create_emulator(EmulatorSettings(tokens_per_second=0, scenario=load_scenario(path)))
    assert await statuses(app, 3, model="claude-opus-5") == [529, 529, 200]
    assert await statuses(app, 6, location="us-east5") == [200, 200, 429, 200, 200, 429]
    assert app.requests()[0]["fault"] == "opus is overloaded twice"
    form = b"grant_type=refresh_token&client_id=c&client_secret=s&refresh_token=r"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert [(await send(app, "POST", "/token", form, headers)).status for _ in range(2)] == [503, 200]
    assert (await send(app, "GET", "/healthz")).json["scenario"] == "a bad day"


def test_durations_and_flags_may_be_written_as_in_a_directive() -> None:
    fault = (
        parse({"rule": [{"fault": {"delay": "10ms", "garbage": True, "reset": False, "stall_after_event": 3}}]})
        .rule[0]
        .fault
    )
    assert fault.delay == 0.01
    assert fault.garbage is True
    assert fault.reset is False
    assert fault.stall_after_event == 3


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"rule": [{}]}, "rule 1 has no [rule.fault]"),
        ({"rule": [{"fault": {"explode": True}}]}, "rule 1: unknown word 'explode'"),
        ({"rule": [{"fault": {"status": 500}}, {"fault": {"delay": "soon"}}]}, "rule 2: 'soon' is not a duration"),
        ({"rule": [{"fault": {"status": 500}, "match": {"colour": "red"}}]}, "colour"),
        ({"rule": [{"fault": {"status": 500}, "colour": "red"}]}, "colour"),
        ({"rules": []}, "rules"),
        ({"rule": "x"}, "rule"),
        ({"rule": ["x"]}, "rule 1"),
        ({"rule": [{"fault": {"status": 500}, "match": {"every": 0}}]}, "every"),
    ],
)
def test_an_invalid_scenario_is_reported_with_its_position(document: dict[str, Any], words: str) -> None:
    with pytest.raises(BadScenario, match=re.escape(words)):
        parse(document)


def test_invalid_toml_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("rule = [", "utf-8")
    with pytest.raises(BadScenario, match=r"x\.toml is not TOML"):
        load_scenario(path)
