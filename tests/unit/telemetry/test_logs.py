"""Lines to the console and to files at once."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from modelmux.config.values import Secret
from modelmux.telemetry.logs import make_log


def only_file(directory: Path) -> list[dict[str, object]]:
    (path,) = directory.iterdir()
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("style", ["console", "json"])
def test_files_hold_json_whatever_the_console_shows(tmp_path: Path, style: str) -> None:
    out = io.StringIO()
    log = make_log("info", style, out, directory=tmp_path / "logs")
    log.debug("hidden")
    log.info("request", text="a\nb\ud800", key=Secret("hush"), status=200)
    (line,) = only_file(tmp_path / "logs")
    assert line | {"timestamp": ""} == {
        "event": "request", "level": "info", "text": "a\\nb\\ud800", "key": "Secret('***')", "status": 200,
        "timestamp": "",
    }  # fmt: skip
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().startswith("{") == (style == "json")


def test_a_directory_that_cannot_be_made_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = io.StringIO()
    log = make_log("info", "json", out, directory=tmp_path / "file" / "logs")
    log.info("one")
    log.info("two")
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["log_files", "one", "two"]
    assert "no log file can be written" in events[0]["message"]


def test_a_console_that_takes_no_more_does_not_fail_the_caller(tmp_path: Path) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    log = make_log("info", "json", Full(), directory=tmp_path)
    log.info("one")
    assert [line["event"] for line in only_file(tmp_path)] == ["one"]
