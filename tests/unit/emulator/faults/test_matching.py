"""Which requests the rules of a scenario apply to."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.emulator import EmulatorSettings, create_emulator
from modelmux.emulator.faults.scenario import parse
from support.emulator_calls import ask, body_of, user


def scenario(**rule: Any) -> Any:
    document = {"rule": [{"fault": {"status": 500}, **rule}]}
    return create_emulator(EmulatorSettings(tokens_per_second=0, scenario=parse(document)))


async def statuses(app: Any, count: int, words: str = "Hi", **options: Any) -> list[int]:
    return [(await ask(app, body_of(words), **options)).status for _ in range(count)]


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


async def test_probability_is_reproducible_for_a_seed() -> None:
    runs = [await statuses(scenario(match={"probability": 0.5}), 30) for _ in range(2)]
    assert runs[0] == runs[1]
    assert {200, 500} == set(runs[0])


async def test_reset_restarts_a_scenario() -> None:
    app = scenario(match={"first": 1})
    assert await statuses(app, 2) == [500, 200]
    app.reset()
    assert await statuses(app, 2) == [500, 200]


async def test_a_directive_takes_precedence_over_the_scenario() -> None:
    app = scenario()
    assert await statuses(app, 1, "Hi [[emulator: status=404]]") == [404]


async def test_token_counting_can_fail_on_its_own() -> None:
    app = scenario(match={"endpoint": "count_tokens"})
    count = {"model": "claude-opus-5", "messages": [user("Hi")]}
    assert (await ask(app, count, model="count-tokens")).status == 500
    assert await statuses(app, 1) == [200]
