"""Risk: noise fails a build, or a missing figure is shown as one."""

from __future__ import annotations

import math
import multiprocessing
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

import bench.__main__ as command
from bench import machine, report
from bench.plan import PLANS, Plan
from bench.session import Session


def result(ratio: float) -> report.Result:
    return report.Result({}, [report.Row("unary", "us", {"nginx": [10.0] * 3, "ModelMux": [10.0 * ratio] * 3})])


@pytest.mark.parametrize(("relayed", "fails"), [(9.0, False), (10.0, True)])
def test_a_row_that_has_to_be_cheaper_than_another_one(relayed: float, fails: bool) -> None:
    rows = [report.Row(name, "us", {"ModelMux": [cost] * 3}) for name, cost in (("a", relayed), ("b", 10.0))]
    messages = report.more_expensive(report.Result({}, rows), "a", than="b")
    assert messages == ({"a": "a: 10 us, not below b (10 us)"} if fails else {})
    assert report.more_expensive(report.Result({}, rows[:1]), "a", than="b") == {}


@pytest.mark.parametrize(("cost", "fails"), [(12.9, False), (13.1, True)])
def test_a_row_may_cost_a_multiple_of_another_one(cost: float, fails: bool) -> None:
    rows = [report.Row(name, "us", {"ModelMux": [each] * 3}) for name, each in (("a", cost), ("b", 10.0))]
    messages = report.more_expensive(report.Result({}, rows), "a", than="b", times=1.3)
    assert messages == ({"a": "a: 13 us, not below 1.3 times b (13 us)"} if fails else {})


@pytest.mark.parametrize(("ratios", "fails"), [([5.0], False), ([7.0, 5.0], False), ([7.0, 7.0], True), ([2.0], False)])
def test_only_a_regression_seen_twice_fails(
    ratios: list[float],
    fails: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = [result(ratio) for ratio in ratios]
    report.write(report.stored_for(tmp_path, report.cpu()), result(5.0))
    report.write(report.stored_for(tmp_path, "Another CPU"), result(0.1))
    monkeypatch.setattr(command, "STORED", tmp_path)
    monkeypatch.setattr(command, "measure", lambda plan: results.pop(0))
    assert command.check() == (1 if fails else 0)
    assert results == []
    assert ("WORSE: unary: 7.0 times nginx, was 5.0" in capsys.readouterr().out) is fails


def test_without_figures_for_this_processor_the_check_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report.write(report.stored_for(tmp_path, "Another (R) CPU @ 3 GHz"), result(5.0))
    monkeypatch.setattr(command, "STORED", tmp_path)
    monkeypatch.setattr(command, "measure", lambda plan: pytest.fail("there is nothing to compare with"))
    assert command.check() == 1
    out = capsys.readouterr().out
    assert "(stored: another-r-cpu-3-ghz)" in out
    assert "make bench-compare REV=main" in out


def test_a_failed_target_has_no_figure(tmp_path: Path) -> None:
    session = Session(tmp_path, Plan(), None, None)
    session.record("unary", "us", "Peer", math.nan, 1.0)
    session.record("unary", "us", "nginx", 10.0)
    table = report.table(report.Result({}, list(session.rows.values())))
    assert "nan" not in table
    assert session.rows["unary"].failed == {"Peer": 1.0, "nginx": 0.0}


def test_wrk_needs_integer_seconds() -> None:
    assert all(isinstance(plan.seconds, int) and plan.seconds >= 1 for plan in PLANS.values())


def _hold(lock: str, parent: Connection) -> None:
    parent.send("begins")
    with machine.exclusive(Path(lock)) as waited:
        parent.send(waited)


def test_a_second_measurement_waits_for_the_first(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    parent, child = context.Pipe()
    with parent, child:
        with machine.exclusive(tmp_path / "lock") as waited:
            second = context.Process(target=_hold, args=(str(tmp_path / "lock"), child))
            second.start()
            assert parent.recv() == "begins"
            assert not parent.poll(0.3)
            assert not waited
        assert parent.recv() is True
        second.join(10)
