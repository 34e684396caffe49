"""Risk: noise fails a build, or a figure that is none is taken for one."""

from __future__ import annotations

import math
import multiprocessing
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the measuring is not part of what is installed")

import bench.__main__ as command
from bench import quiet, report
from bench.plan import PLANS, Plan, Stage


def result(times: float) -> report.Result:
    return report.Result({}, [report.Row("unary", "us", {"nginx": [10.0] * 3, "ModelMux": [10.0 * times] * 3})])


@pytest.mark.parametrize(("seen", "fails"), [([5.0], False), ([7.0, 5.0], False), ([7.0, 7.0], True), ([2.0], False)])
def test_only_what_is_slow_twice_fails(
    seen: list[float], fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored, left = tmp_path / "baseline.json", [result(times) for times in seen]
    report.write(stored, result(5.0))
    monkeypatch.setattr(command, "STORED", stored)
    monkeypatch.setattr(command, "measure", lambda plan: left.pop(0))
    assert command.check() == (1 if fails else 0)
    assert left == []
    assert ("WORSE: unary: 7.0 times nginx, was 5.0" in capsys.readouterr().out) is fails


def test_without_a_stored_result_there_is_nothing_to_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "STORED", tmp_path / "none.json")
    assert command.check() == 1


def test_what_was_not_served_has_no_figure_but_failed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Plan(), None, None)
    stage.note("unary", "us", "Peer", math.nan, 1.0)
    stage.note("unary", "us", "nginx", 10.0)
    shown = report.table(report.Result({}, list(stage.rows.values())))
    assert "nan" not in shown
    assert stage.rows["unary"].failed == {"Peer": 1.0, "nginx": 0.0}


def test_wrk_takes_whole_seconds_only() -> None:
    assert all(isinstance(plan.seconds, int) and plan.seconds >= 1 for plan in PLANS.values())


def _hold(lock: str, said: Connection) -> None:
    said.send("begins")
    with quiet.alone(Path(lock)) as waited:
        said.send(waited)


def test_a_second_measurement_waits_for_the_first(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    with ours, its:
        with quiet.alone(tmp_path / "lock") as waited:
            second = context.Process(target=_hold, args=(str(tmp_path / "lock"), its))
            second.start()
            assert ours.recv() == "begins"
            assert not ours.poll(0.3)
            assert not waited
        assert ours.recv() is True
        second.join(10)
