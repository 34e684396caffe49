"""A scenario file scripts which requests fail and how."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from modelmux.emulator import BadScenario, EmulatorSettings, create_emulator, load_scenario
from modelmux.emulator.faults.scenario import parse
from support.emulator_calls import ask, body_of, send, user

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


def scenario(**rule: Any) -> Any:
    document = {"rule": [{"fault": {"status": 500}, **rule}]}
    return create_emulator(EmulatorSettings(tokens_per_second=0, scenario=parse(document)))


async def statuses(app: Any, count: int, words: str = "Hi", **options: Any) -> list[int]:
    return [(await ask(app, body_of(words), **options)).status for _ in range(count)]


async def test_a_file_is_read_and_acted_on(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"nth": [2, 4]}, [200, 500, 200, 500, 200]),
        ({"first": 2}, [500, 500, 200, 200, 200]),
        ({"after": 3}, [200, 200, 200, 500, 500]),
        ({"every": 2}, [200, 500, 200, 500, 200]),
        ({"after": 1, "every": 2}, [200, 200, 500, 200, 500]),
        ({"probability": 0.0}, [200] * 5),
        ({"text": "HELLO"}, [200] * 5),
        ({"stream": True}, [200] * 5),
        ({"project": "x*"}, [200] * 5),
        ({"model": "claude-sonnet-*", "location": "global", "text": "hi"}, [500] * 5),
    ],
)
async def test_matching(match: dict[str, Any], expected: list[int]) -> None:
    assert await statuses(scenario(match=match), 5) == expected


async def test_chance_is_the_same_for_the_same_seed() -> None:
    runs = [await statuses(scenario(match={"probability": 0.5}), 30) for _ in range(2)]
    assert runs[0] == runs[1]
    assert {200, 500} == set(runs[0])


async def test_reset_starts_a_scenario_anew() -> None:
    app = scenario(match={"first": 1})
    assert await statuses(app, 2) == [500, 200]
    app.reset()
    assert await statuses(app, 2) == [500, 200]


async def test_the_prompt_wins_over_the_scenario() -> None:
    app = scenario()
    assert await statuses(app, 1, "Hi [[emulator: status=404]]") == [404]


async def test_token_counting_can_fail_on_its_own() -> None:
    app = scenario(match={"endpoint": "count_tokens"})
    count = {"model": "claude-opus-5", "messages": [user("Hi")]}
    assert (await ask(app, count, model="count-tokens")).status == 500
    assert await statuses(app, 1) == [200]


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
def test_a_wrong_scenario_says_where(document: dict[str, Any], words: str) -> None:
    with pytest.raises(BadScenario, match=re.escape(words)):
        parse(document)


def test_what_is_not_toml_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("rule = [", "utf-8")
    with pytest.raises(BadScenario, match=r"x\.toml is not TOML"):
        load_scenario(path)
