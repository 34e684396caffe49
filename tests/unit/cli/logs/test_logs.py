"""``modelmux logs``: what it shows, and following across rotation and truncation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from modelmux.cli.logs.reader import Follower, last_lines
from modelmux.cli.main import main
from support.cli import check_snapshot, run

TODAY, YESTERDAY = "modelmux-2026-11-23.log", "modelmux-2026-11-22.log"


def line(event: str, level: str = "info", **fields: object) -> str:
    return json.dumps({"event": event, "level": level, "timestamp": "2026-11-23T06:52:08.123456Z", **fields}) + "\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "MODELMUX_LOG_DIR", "MODELMUX_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / ".local/state/modelmux"
    directory.mkdir(parents=True)
    return directory


def logs(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["logs", *arguments])


def test_it_shows_directory_files_and_lines_for_people(home: Path) -> None:
    (home / YESTERDAY).write_text(line("old"))
    (home / TODAY).write_text(
        line("request", status=200, route="claude opus", none=None) + "not json \x1b[31m\n" + line("failed", "error")
    )
    result = logs()
    assert result.exit_code == 0
    assert result.stdout == (
        f"{home}\n"
        f"  {TODAY}       232 B\n"
        f"  {YESTERDAY}        78 B\n"
        "\n"
        "2026-11-23 06:52:08Z info    old\n"
        '2026-11-23 06:52:08Z info    request  status=200 route="claude opus" none=null\n'
        "not json \\x1b[31m\n"
        "2026-11-23 06:52:08Z error   failed\n"
    )


def test_a_forged_line_break_or_escape_in_a_value_is_shown_as_text(home: Path) -> None:
    (home / TODAY).write_text(line("x", message="a\nb\x1b[2J"))
    assert logs().stdout.splitlines()[-1].endswith("message=a\\nb\\x1b[2J")


def test_the_last_lines_reach_back_over_files_and_the_level_counts_before_the_number(home: Path) -> None:
    (home / YESTERDAY).write_text(line("e1", "error") + line("e2", "error") + line("i1"))
    (home / TODAY).write_text(line("i2") + line("w1", "warning") + line("i3"))
    shown = logs("-n", "2", "--level", "warn", "--json").stdout.splitlines()
    assert [json.loads(text)["event"] for text in shown] == ["e2", "w1"]
    assert logs("-n", "0", "--json").stdout == ""


def test_json_is_json_even_where_the_file_is_not(home: Path) -> None:
    (home / TODAY).write_text("half a li\n" + line("x"))
    first, second = (json.loads(text) for text in logs("--json").stdout.splitlines())
    assert first == {"unparsed": "half a li"}
    assert second["event"] == "x"


def test_without_files_it_says_what_to_do(home: Path) -> None:
    result = logs()
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: there are no log files in {home}\nhint: `modelmux serve` writes them.")
    assert "logs.file = false turns them off" in logs("--set", "logs.file=false").stderr


def test_lines_longer_than_a_block_and_without_an_end_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / TODAY
    long = [str(i) * 70_000 for i in range(3)]
    path.write_text("\n".join(long))
    assert last_lines([path], 9, lambda _: True) == [text.encode() for text in long]
    assert last_lines([tmp_path / "gone"], 9, lambda _: True) == []


def test_following_gives_whole_lines_across_midnight(home: Path) -> None:
    old = home / YESTERDAY
    old.write_text("seen\n")
    follower = Follower(home)
    with old.open("a") as file:
        file.write("one\ntw")
    assert follower.poll() == [b"one"]
    with old.open("a") as file:
        file.write("o\nlast of the day\n")
    (home / TODAY).write_text("first of the day\n")
    assert follower.poll() == [b"two", b"last of the day", b"first of the day"]
    assert follower.poll() == []
    follower.close()


def test_following_survives_truncation_replacement_and_absence(home: Path) -> None:
    follower = Follower(home, from_start=True)
    assert follower.poll() == []
    path = home / TODAY
    path.write_text("one\ntwo\n")
    assert follower.poll() == [b"one", b"two"]
    path.write_text("3\n")
    assert follower.poll() == [b"3"]
    path.rename(home / "moved")
    assert follower.poll() == []
    path.write_text("four\n")
    assert follower.poll() == [b"four"]
    follower.close()


def test_following_ends_with_130_at_ctrl_c(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / TODAY).write_text(line("x"))

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("modelmux.cli.logs.reader.time.sleep", interrupt)
    monkeypatch.setattr(Follower.follow, "__defaults__", (interrupt,))
    result = logs("-f", "--json")
    assert result.exit_code == 130
    assert json.loads(result.stdout)["event"] == "x"
    assert result.stderr == ""


def test_where_there_are_no_log_files_it_says_why(tmp_path: Path) -> None:
    check_snapshot(
        "logs_none",
        run("logs", home=tmp_path),
        run("logs", "--set", "logs.file=false", home=tmp_path),
    )
