"""Stream settings: every word of the 1.x program works, and a row that can never match is an error."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.config import Config, ConfigError
from modelmux.config.streaming import build_stream_modes

BROWSER = [(b"user-agent", b"Mozilla/5.0 Chrome/141")]
CURL = [(b"user-agent", b"curl/8.5.0")]


def modes(**streaming: Any) -> Any:
    return build_stream_modes(Config.from_dict({"streaming": streaming}))


@pytest.mark.parametrize(
    ("mode", "browser", "curl"),
    [
        ("auto", "buffered", "standard"),
        ("standard", "standard", "standard"),
        ("always", "standard", "standard"),
        ("buffered", "buffered", "buffered"),
        ("single", "single", "single"),
        ("never", "single", "single"),
        ("non-streaming", "single", "single"),
    ],
)
def test_every_word_for_a_mode(mode: str, browser: str, curl: str) -> None:
    built = modes(mode=mode)
    assert (built.find(BROWSER), built.find(CURL)) == (browser, curl)


@pytest.mark.parametrize(
    ("word", "mode"),
    [
        ("always", "standard"),
        ("never", "single"),
        ("non-streaming", "single"),
        ("json", "json"),
        ("buffered", "buffered"),
    ],
)
def test_every_word_in_a_row(word: str, mode: str) -> None:
    built = modes(mode="single", clients=[{"user_agent": "Curl", "mode": word}])
    assert (built.find(CURL), built.find(BROWSER)) == (mode, "single")


def test_auto_is_the_default() -> None:
    assert build_stream_modes(Config.from_dict({})).find(BROWSER) == "buffered"


def test_a_text_to_look_for_without_a_header_is_an_error_that_names_the_row() -> None:
    rows = [{"mode": "json"}, {"contains": "x", "mode": "single"}, {"header": "", "contains": "y", "mode": "single"}]
    with pytest.raises(ConfigError) as caught:
        modes(clients=rows)
    assert [p.partition(":")[0] for p in caught.value.problems] == ["streaming.clients[1]", "streaming.clients[2]"]
    assert caught.value.hint


def test_the_old_programs_json_for_everybody_can_be_had() -> None:
    assert modes(clients=[{"mode": "json"}]).find(CURL) == "json"
