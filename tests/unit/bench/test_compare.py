"""Risk: a comparison of a revision with itself, noise reported as a change, or worktrees left behind."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

import bench.__main__ as command
from bench import compare, processes, revision
from bench.report import Row


def row(new: list[float], old: list[float], failed: dict[str, float] | None = None) -> Row:
    return Row("unary", "us", {"new": new, "old": old}, failed or {})


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ([11, 12], [9, 10], "worse"),
        ([9, 10], [11, 12], "better"),
        ([10, 12], [9, 10], ""),  # the ranges touch
        ([10, 30], [9, 11], ""),  # far worse on average, but not beyond the spread
        ([10, 10], [10, 10], ""),
    ],
)
def test_only_ranges_that_do_not_overlap_differ(new: list[float], old: list[float], expected: str) -> None:
    assert compare.verdict(row(new, old), "new", "old") == expected


def test_failures_are_not_figures() -> None:
    assert compare.verdict(row([1, 1], [9, 9], {"new": 0.06}), "new", "old") == "failed"
    assert compare.verdict(row([9, 9], [1, 1], {"old": 0.06}), "new", "old") == "no baseline"
    assert compare.verdict(row([], [1, 1]), "new", "old") == "failed"
    assert compare.verdict(row([9, 9], [1, 1], {"new": 0.04, "old": 0.04}), "new", "old") == "worse"


def test_the_table_has_a_line_for_each_row() -> None:
    rows = [row([110, 100, 120], [50, 40, 60]), row([1.5], [3.0]), row([1.0], [1.0], {"old": 1.0})]
    lines = compare.table(rows, "new", "old", {"python": "3", "cores": "2"}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:5]]
    assert cells == [
        ["", "unit", "new", "old", "ratio", "verdict"],
        ["---"] * 6,
        ["unary", "us", "110 (100..120)", "50 (40..60)", "2.200", "worse"],
        ["unary", "us", "1.50 (1.50..1.50)", "3.00 (3.00..3.00)", "0.500", "better"],
        ["unary", "us", "1.00 (1.00..1.00)", "failed", "", "no baseline"],
    ]
    assert lines[-1] == "python 3; cores 2"


def selected(pattern: str) -> list[str]:
    rows = compare.select_rows(compare.PLAN, re.compile(pattern))
    return [*(case.name for case in rows.closed_loop), *([rows.paced] if rows.paced else [])]


def test_rows_are_those_of_the_check_and_selected_by_name() -> None:
    assert selected("") == [
        "unary, 1 kB", "unary, 47 kB prompt", "unary, 40 kB", "stream of 100 deltas", "paced event, 200 streams",
    ]  # fmt: skip
    assert selected("stream") == ["stream of 100 deltas", "paced event, 200 streams"]
    assert selected("^unary, 1 ") == ["unary, 1 kB"]
    with pytest.raises(ValueError, match="unary, 1 kB; unary"):
        selected("none")


def test_the_sides_alternate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    monkeypatch.setattr(compare.nginx, "mock", lambda *_, **__: _Context((None, "http://mock")))
    monkeypatch.setattr(compare.suite, "paced_upstream", lambda *_: _Context(_Upstream()))
    monkeypatch.setattr(compare, "_measure_closed_loop", lambda _, side, *__: measured.append(side.python))
    monkeypatch.setattr(compare, "_measure_paced", lambda _, side, *__: measured.append(f"{side.python} paced"))
    session = compare.Session(tmp_path, compare.PLAN, None, None)
    sides = (compare.Side("new", "a"), compare.Side("old", "b"))
    compare.measure(session, sides, compare.select_rows(compare.PLAN, re.compile("")), 2)
    assert measured == ["a", "a paced", "b", "b paced"] * 2


class _Context:
    def __init__(self, value: object) -> None:
        self.value = value

    def __enter__(self) -> object:
        return self.value

    def __exit__(self, *_: object) -> None:
        pass


class _Upstream:
    url = "http://paced"

    def set_pace(self, interval: float, deltas: int) -> None:
        assert (interval, deltas) == (0.02, 100)


def test_the_gateway_runs_in_the_environment_of_its_side(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "this is the other python: $*"\nexit 3\n')
    python.chmod(0o755)
    with (
        pytest.raises(RuntimeError, match="this is the other python: -m modelmux serve"),
        processes.gateway(tmp_path, "http://127.0.0.1:9", python=str(python)),
    ):
        pytest.fail("it must not start")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    root = tmp_path / "repository"
    git = ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    for content in ("first", "second"):
        (root / "file").write_text(content)
        subprocess.run([*git, "add", "file"], check=True)
        subprocess.run([*git, "commit", "--quiet", "--message", content], check=True)
    return root


def worktrees(root: Path) -> int:
    command = ["git", "-C", str(root), "worktree", "list"]
    return len(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, revision.RevisionError])
def test_the_worktree_is_removed(repository: Path, error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    trees: list[Path] = []

    def install(tree: Path, environment: Path) -> str:
        trees.append(tree)
        assert (tree / "file").read_text() == "first"
        if error is revision.RevisionError:
            raise error
        return "python"

    monkeypatch.setattr(revision, "_install", install)
    with pytest.raises(error), revision.installed(repository, "HEAD~1") as other:
        assert re.fullmatch(r"HEAD~1 \([0-9a-f]{7,}\)", other.name)
        assert other.python == "python"
        assert worktrees(repository) == 2
        raise error
    assert not trees[0].parent.exists()
    assert worktrees(repository) == 1


def test_an_unknown_revision_is_an_error_with_a_hint(repository: Path) -> None:
    for name in ("nonsense", "--all"):
        with (
            pytest.raises(revision.RevisionError, match=r"(?s)error: git .*\nhint: name a commit"),
            revision.installed(repository, name),
        ):
            pytest.fail("it must not be installed")
    assert worktrees(repository) == 1


def test_the_command_line() -> None:
    options = command.parse(["compare", "HEAD~3", "--rounds", "2", "--rows", "UNARY"])
    assert (options.revision, options.rounds) == ("HEAD~3", 2)
    assert options.rows.search("unary, 1 kB")
    assert command.parse(["compare", "main"]).rows.search("anything")
    for arguments in (["--rounds", "1"], ["--rows", "["], ["--rounds", "x"]):
        with pytest.raises(SystemExit):
            command.parse(["compare", "main", *arguments])
