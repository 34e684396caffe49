"""Daily log files: no line lost or split, whatever the disk, the clock and other processes do."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelmux.telemetry.log_files import CHECK_SECONDS, LogFiles, default_directory, log_files
from support.clock import Clock

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
DAY = 86_400


class Sink:
    """Log files with a clock to turn, and what they complained of."""

    def __init__(self, directory: Path, keep: int = 30) -> None:
        self.clock = Clock(NOON)
        self.problems: list[str] = []
        self.files = LogFiles(directory, keep, self.problems.append, now=self.clock)


@pytest.fixture
def sink(tmp_path: Path) -> Sink:
    sink = Sink(tmp_path / "logs")
    yield sink  # type: ignore[misc]
    sink.files.close()


def test_a_line_goes_to_the_file_of_its_day_which_only_its_owner_reads(sink: Sink, tmp_path: Path) -> None:
    sink.files.write('{"event":"one"}')
    path = tmp_path / "logs" / "modelmux-2026-11-23.log"
    assert path.read_text() == '{"event":"one"}\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sink.problems == []


def test_midnight_utc_begins_a_new_file_and_loses_nothing(sink: Sink, tmp_path: Path) -> None:
    sink.clock.now = datetime(2026, 11, 23, 23, 59, 59, 999_000, tzinfo=UTC).timestamp()
    sink.files.write("before")
    sink.clock.now += 0.002
    sink.files.write("after")
    assert (tmp_path / "logs/modelmux-2026-11-23.log").read_text() == "before\n"
    assert (tmp_path / "logs/modelmux-2026-11-24.log").read_text() == "after\n"


def test_a_clock_set_back_goes_back_to_the_file_of_that_day(sink: Sink, tmp_path: Path) -> None:
    sink.files.write("one")
    sink.clock.now -= 3 * DAY
    sink.files.write("two")
    assert (tmp_path / "logs/modelmux-2026-11-20.log").read_text() == "two\n"


def test_the_oldest_files_go_and_nothing_else_does(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    for name in ("modelmux-2026-01-01.log", "modelmux-2026-01-02.log", "notes.log", "modelmux-2026-01-03.log.gz"):
        (directory / name).write_text("x\n")
    sink = Sink(directory, keep=2)
    sink.files.write("one")
    sink.files.close()
    assert sorted(p.name for p in directory.iterdir()) == [
        "modelmux-2026-01-02.log", "modelmux-2026-01-03.log.gz", "modelmux-2026-11-23.log", "notes.log",
    ]  # fmt: skip


def test_a_file_taken_away_is_made_anew_within_a_minute(sink: Sink, tmp_path: Path) -> None:
    path = tmp_path / "logs/modelmux-2026-11-23.log"
    sink.files.write("one")
    path.unlink()
    sink.files.write("lost with the file")
    sink.clock.now += CHECK_SECONDS
    sink.files.write("three")
    assert path.read_text() == "three\n"


def test_a_line_that_was_cut_short_is_ended_before_the_next_one(sink: Sink, tmp_path: Path) -> None:
    path = tmp_path / "logs/modelmux-2026-11-23.log"
    path.parent.mkdir()
    path.write_text('{"event":"cut')
    sink.files.write("next")
    assert path.read_text() == '{"event":"cut\nnext\n'


def test_a_directory_that_cannot_be_made_is_said_once_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file is in the way")
    sink = Sink(tmp_path / "logs")
    for _ in range(3):
        sink.files.write("one")
        sink.clock.now += CHECK_SECONDS
    assert len(sink.problems) == 1
    assert str(tmp_path / "logs") in sink.problems[0]
    (tmp_path / "logs").unlink()
    sink.files.write("two")
    sink.files.close()
    assert (tmp_path / "logs/modelmux-2026-11-23.log").read_text() == "two\n"


def test_a_full_disk_is_said_once_and_the_torn_line_is_ended(
    sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full = os.write, True

    def write(fd: int, data: bytes) -> int:
        if not full:
            return real(fd, data)
        if len(data) > 3:
            return real(fd, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    sink.files.write("before")
    monkeypatch.setattr("modelmux.telemetry.log_files.os.write", write)
    for line in ("first lost", "second lost"):
        sink.files.write(line)
        sink.clock.now += CHECK_SECONDS
    full = False
    sink.files.write("after")
    lines = (tmp_path / "logs/modelmux-2026-11-23.log").read_text().splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert len(sink.problems) == 1
    assert "full" in sink.problems[0] or "cut" in sink.problems[0]


def test_it_does_not_open_a_file_for_each_line(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = os.open
    monkeypatch.setattr("modelmux.telemetry.log_files.os.open", lambda *args: opened.append(args) or real(*args))
    for _ in range(100):
        sink.files.write("x")
    assert len(opened) == 1


def test_a_link_laid_in_the_way_is_not_followed(sink: Sink, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    target = tmp_path / "precious"
    target.write_text("keep me")
    (tmp_path / "logs/modelmux-2026-11-23.log").symlink_to(target)
    sink.files.write("one")
    assert target.read_text() == "keep me"
    assert len(sink.problems) == 1


def test_a_line_that_another_process_is_writing_is_not_ended_by_this_one(tmp_path: Path) -> None:
    first, second = Sink(tmp_path), Sink(tmp_path)
    first.files.write("one")
    (path,) = tmp_path.iterdir()
    with path.open("ab") as half:  # what a reader sees of a write that is not through
        half.write(b"two, the first ha")
    second.files.write("lf")
    assert path.read_text() == "one\ntwo, the first half\n"
    first.files.close()
    second.files.close()
    path.write_text("dead")
    second.files.write("alive")
    assert path.read_text() == "dead\nalive\n"


def test_several_processes_append_whole_lines_to_one_file(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from modelmux.telemetry.log_files import LogFiles\n"
        "files = LogFiles(Path(sys.argv[1]), 30, print)\n"
        "for i in range(500): files.write(sys.argv[2] * 2000)\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name]) for name in "abc"]
    assert [process.wait(100) for process in running] == [0, 0, 0]
    lines = [line for path in sorted(tmp_path.iterdir()) for line in path.read_text().splitlines()]
    assert len(lines) == 1500
    assert set(lines) == {"a" * 2000, "b" * 2000, "c" * 2000}


def test_the_directory_is_the_platforms_own() -> None:
    home = {"HOME": "/home/me"}
    assert default_directory(home, "linux") == Path("/home/me/.local/state/modelmux")
    assert default_directory({**home, "XDG_STATE_HOME": "/state"}, "linux") == Path("/state/modelmux")
    assert default_directory({**home, "XDG_STATE_HOME": "relative"}, "linux") == Path("/home/me/.local/state/modelmux")
    assert default_directory(home, "darwin") == Path("/home/me/Library/Logs/modelmux")
    assert default_directory({"LOCALAPPDATA": "/local"}, "win32") == Path("/local/modelmux/Logs")


def test_files_are_found_newest_first(tmp_path: Path) -> None:
    for day in ("2026-01-02", "2026-11-23", "2026-01-10"):
        (tmp_path / f"modelmux-{day}.log").touch()
    (tmp_path / "other.log").touch()
    assert [p.name[9:19] for p in log_files(tmp_path)] == ["2026-11-23", "2026-01-10", "2026-01-02"]
    assert log_files(tmp_path / "absent") == []
