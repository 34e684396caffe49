"""Lines to the console and to files at once."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelmux.config.values import Secret
from modelmux.telemetry.log import make_log


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
    assert "cannot write log files" in events[0]["message"]


def test_a_console_that_takes_no_more_does_not_fail_the_caller(tmp_path: Path) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    log = make_log("info", "json", Full(), directory=tmp_path)
    log.info("one")
    assert [line["event"] for line in only_file(tmp_path)] == ["one"]


async def test_lines_are_held_for_a_moment_and_written_together(tmp_path: Path) -> None:
    class Counting(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    out = Counting()
    log = make_log("info", "json", out, directory=tmp_path, flush_interval=0.05)
    for number in range(10):
        log.info("request", number=number)
    assert out.getvalue() == ""
    await asyncio.sleep(0.1)
    assert out.writes == 1
    assert [line["number"] for line in only_file(tmp_path)] == list(range(10))
    log.info("request", number=10)
    log.warning("worse")
    assert out.getvalue().count("\n") == 12, "a warning waits for nothing and overtakes nothing"
    assert [line["event"] for line in only_file(tmp_path)][-2:] == ["request", "worse"]
    for number in range(640):
        log.info("request", number=number)
    assert out.getvalue().count("\n") == 652, "what is held is bounded"


@pytest.mark.parametrize("style", ["json", "console"])
async def test_an_event_that_cannot_be_shown_costs_the_others_nothing(style: str, tmp_path: Path) -> None:
    class Bad:
        def __repr__(self) -> str:
            raise RuntimeError

    out = io.StringIO()
    log = make_log("info", style, out, directory=tmp_path, flush_interval=60)
    log.info("one")
    log.info("two", what=Bad())
    log.warning("three")
    assert [line["event"] for line in only_file(tmp_path)] == ["one", "two", "three"]
    assert out.getvalue().count("\n") == 3


@pytest.mark.parametrize("style", ["json", "console"])
async def test_in_the_background_many_lines_are_few_portions_in_their_order(style: str, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        log = make_log("info", style, out, directory=tmp_path / "logs", flush_interval=60, in_background=True)
        assert log.console is not None
        portions: list[bytes] = []
        put = log.console.put
        log.console.put = lambda data: portions.append(data) or put(data)  # type: ignore[method-assign,func-returns-value]
        for number in range(640):
            log.info("request", number=number)
        assert portions == []
        log.warning("worse")
        assert len(portions) == 1, "a warning does not wait for the interval"
        for number in range(640, 10_000):
            log.info("request", number=number)
        assert 1 < len(portions) < 20, "what waits for the interval is bounded"
        await asyncio.to_thread(log.flush)
    numbers = [int(number) for number in re.findall(r"number\W+(\d+)", (tmp_path / "out").read_text())]
    assert numbers == list(range(10_000))
    assert [line.get("number") for line in only_file(tmp_path / "logs")] == [*range(640), None, *range(640, 10_000)]
    assert log.dropped() == {"console": 0, "files": 0}


def test_without_a_loop_nobody_would_write_what_is_held_so_nothing_is() -> None:
    out = io.StringIO()
    make_log("info", "json", out, flush_interval=60).info("one")
    assert out.getvalue().count("\n") == 1


SCRIPT = """
import asyncio, os, sys
from modelmux.telemetry.log import make_log
log = make_log("info", "json", sys.stdout, flush_interval=60)
async def main():
    log.info("before")
    if sys.argv[1] == "fork":
        pid = os.fork()
        log.info("child" if pid == 0 else "parent")
        if pid == 0:
            log.flush()
            os._exit(0)
        os.waitpid(pid, 0)
asyncio.run(main())
"""


@pytest.mark.parametrize(("how", "events"), [("exit", ["before"]), ("fork", ["before", "child", "parent"])])
def test_nothing_is_lost_or_said_twice_when_a_process_ends_or_splits(how: str, events: list[str]) -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in said.stdout.splitlines()] == events


def test_what_is_no_json_does_not_end_a_line(tmp_path: Path) -> None:
    out = io.StringIO()
    log = make_log("info", "json", out)
    log.info(
        "odd", types=["a\ud800\n"], number=float("nan"), error=ValueError("x\ny"), raw=b"\xff", more={1: Secret("h")}
    )
    assert out.getvalue().count("\n") == 1
    line = json.loads(out.getvalue())
    assert line["types"] == ["a\ud800\n"]
    assert "Secret('***')" in str(line["more"])


def test_columns_for_people() -> None:
    out = io.StringIO()
    make_log("info", "console", out).info(
        "request", route="m", status=200, message="two words", nothing=None, empty="", bad=["a\x1b[1m"]
    )
    stamp, _, rest = out.getvalue().partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stamp)
    assert rest.split() == [
        "[info", "]", "request", "route=m", "status=200", "message='two", "words'", "empty=''", "bad=['a\\x1b[1m']",
    ]  # fmt: skip


def test_colours_are_for_terminals_only() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, pipe = Terminal(), io.StringIO()
    for out in (terminal, pipe):
        make_log("info", "console", out).error("request", text="x\x1b[2Jy")
    assert "\x1b[31m" in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()
    assert "\x1b" not in pipe.getvalue()


@pytest.mark.parametrize("level", ["trace", "debug", "info", "warn", "error"])
def test_levels(level: str) -> None:
    out = io.StringIO()
    log = make_log(level, "json", out)
    for method in ("debug", "info", "warning", "error"):
        getattr(log, method)("event")
    said = [json.loads(line)["level"] for line in out.getvalue().splitlines()]
    assert (
        said
        == ["debug", "info", "warning", "error"][{"trace": 0, "debug": 0, "info": 1, "warn": 2, "error": 3}[level] :]
    )
