"""Durations. Risk: one that no date can have is accepted, and fails where it is used, long after the start."""

from __future__ import annotations

import pytest

from modelmux.config import Config
from modelmux.config.errors import ConfigError
from modelmux.config.values import Milliseconds, Seconds

CENTURY = 36_500 * 86_400


@pytest.mark.parametrize("kind", [Seconds, Milliseconds])
def test_a_duration_is_at_most_a_century(kind: type[Seconds | Milliseconds]) -> None:
    seconds = 1 if kind is Seconds else 1000
    assert kind.parse("36500d") == CENTURY * seconds
    assert kind.parse(CENTURY * seconds) == CENTURY * seconds
    for value in ("36501d", "1" + "0" * 400, (CENTURY + 1) * seconds, 10**400, float("inf")):
        with pytest.raises(ValueError, match="at most 36500d"):
            kind.parse(value)
    for value in ("-1s", -1, float("nan"), "soon", True):
        with pytest.raises(ValueError, match=r"a duration such as|36500d"):
            kind.parse(value)


def test_a_setting_that_is_too_long_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_dict({"accounts": {"retention": "99999d"}})
    assert caught.value.problems == [
        "accounts.retention: '99999d' is a string; expected a duration of at most 36500d, a century"
    ]
