"""Risk: a worker that has not read a change is taken for one that has, or one that has ended for one that has not."""

from __future__ import annotations

import pytest

from modelmux.process.workers.admin_child import SignsOfLife, count_late, worker_states
from modelmux.process.workers.scoreboard import Scoreboard
from modelmux.process.workers.totals import FinishedTotals
from modelmux.telemetry.worker_metrics import WorkerReport, encode_report


def write(board: Scoreboard, number: int, version: int | None, incarnation: int = 1) -> None:
    report = WorkerReport(
        pid=100 + number, incarnation=incarnation, ready=True, problem=None, generation=1, counts={},
        started=5.0, in_flight=3, directory_version=version,
    )  # fmt: skip
    slot = board.workers[number - 1]
    slot.write(encode_report(report, slot.capacity))


def test_workers_that_are_behind_are_counted() -> None:
    board = Scoreboard(4)
    finished = FinishedTotals(board, 1)
    for number, version in enumerate((7, 8, 6, None), 1):
        write(board, number, version)
    assert [count_late(worker_states(board), version) for version in (6, 7, 8, 9)] == [1, 2, 3, 4]
    finished.fold(3)
    assert [count_late(worker_states(board), version) for version in (6, 7, 8, 9)] == [1, 1, 2, 3]
    write(board, 3, 8, incarnation=2)
    assert count_late(worker_states(board), 8) == 2


def test_what_is_shown_of_a_worker() -> None:
    board = Scoreboard(2)
    FinishedTotals(board, 1)
    assert worker_states(board) == []
    write(board, 2, 7)
    (one,) = worker_states(board)
    assert (one.index, one.pid, one.started, one.in_flight, one.directory_version) == (2, 102, 5.0, 3, 7)


async def test_it_shows_that_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Scoreboard(1)
    signs = SignsOfLife(board.admin, 3600.0)
    before = board.admin.heartbeat()
    signs.start()
    first = board.admin.heartbeat()
    signs.stop()
    signs.start()
    assert len({before, first, board.admin.heartbeat()}) == 3
    signs.stop()
    assert worker_states(board) == [], "it is not a worker"
