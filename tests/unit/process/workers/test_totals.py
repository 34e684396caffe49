"""Risk: a worker that ends, hangs or restarts makes the gateway's totals fall, or counts twice."""

from __future__ import annotations

import asyncio
import itertools

import msgspec
import pytest

from modelmux.process.workers import totals
from modelmux.process.workers.scoreboard import Scoreboard, Slot
from modelmux.process.workers.totals import FinishedTotals, Reporter, read_totals
from modelmux.telemetry import names
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.worker_metrics import GatewayTotals, WorkerReport, encode_report

LARGE = 3600.0


def report(incarnation: int, total: int, *, ready: bool = True, problem: str | None = None) -> WorkerReport:
    metrics = Metrics()
    metrics.requests.add_many(total, "m", "ok")
    return WorkerReport(
        pid=100 + incarnation, incarnation=incarnation, ready=ready, problem=problem, generation=1,
        counts={"total": total}, metrics=metrics.values(),
    )  # fmt: skip


def write(board: Scoreboard, number: int, report: WorkerReport) -> None:
    slot = board.workers[number - 1]
    slot.write(encode_report(report, slot.capacity))


def sums(shown: GatewayTotals) -> tuple[int, float]:
    """The same number, from ``/health`` and from ``/metrics``."""
    return shown.counts.get("total", 0), sum(shown.metrics.counters.get(names.METRIC_REQUESTS, {}).values())


def read(board: Scoreboard) -> tuple[int, float]:
    full, short = read_totals(board, metrics=True), read_totals(board, metrics=False)
    assert (full.counts, full.ready, full.problem) == (short.counts, short.ready, short.problem)
    return sums(full)


def test_the_totals_of_a_worker_that_ended_count_once() -> None:
    board = Scoreboard(2)
    finished = FinishedTotals(board, 1)
    write(board, 1, report(1, 5))
    write(board, 2, report(1, 7))
    assert read(board) == (12, 12)
    finished.fold(1)
    assert read(board) == (12, 12)
    finished.fold(1)
    assert read(board) == (12, 12)
    assert read_totals(board, metrics=False).ready == 1


def test_a_restart_does_not_lower_a_sum() -> None:
    board = Scoreboard(2)
    finished = FinishedTotals(board, 1)
    seen = []
    for incarnation in range(1, 6):
        write(board, 1, report(incarnation, 0))
        seen.append(read(board))
        write(board, 1, report(incarnation, incarnation))
        seen.append(read(board))
        finished.fold(1)
        finished.count_restart()
        seen.append(read(board))
    assert seen == sorted(seen)
    assert seen[-1] == (15, 15)
    assert read_totals(board, metrics=True).restarts == 5


def test_a_worker_that_ended_before_it_reported_adds_nothing() -> None:
    board = Scoreboard(1)
    finished = FinishedTotals(board, 1)
    finished.fold(1)  # incarnation 1 wrote nothing
    assert read(board) == (0, 0)
    write(board, 1, report(2, 3))
    finished.fold(1)
    finished.fold(1)  # nor did incarnation 3
    assert read(board) == (3, 3)


class Reader:
    """``read_totals`` with something else done between its reads: before the read with that index."""

    def __init__(self, board: Scoreboard, index: int, step: object, monkeypatch: pytest.MonkeyPatch) -> None:
        reads, original = itertools.count(), Slot.read

        def patched(slot: Slot) -> bytes | None:
            if next(reads) == index:
                monkeypatch.setattr(Slot, "read", original)
                step()  # type: ignore[operator]
                monkeypatch.setattr(Slot, "read", patched)
            return original(slot)

        monkeypatch.setattr(Slot, "read", patched)
        self.totals = read_totals(board, metrics=True)
        monkeypatch.setattr(Slot, "read", original)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_fold_and_a_restart_between_any_two_reads_count_once(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Scoreboard(2)
    finished = FinishedTotals(board, 1)
    write(board, 1, report(1, 5))
    write(board, 2, report(1, 7))

    def restart() -> None:
        finished.fold(1)
        write(board, 1, report(2, 0))

    assert sums(Reader(board, index, restart, monkeypatch).totals) == (12, 12)
    assert read(board) == (12, 12)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_fold_between_any_two_reads_counts_once(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Scoreboard(2)
    finished = FinishedTotals(board, 1)
    write(board, 1, report(1, 5))
    write(board, 2, report(1, 7))
    assert sums(Reader(board, index, lambda: finished.fold(1), monkeypatch).totals) == (12, 12)


def test_the_problem_of_a_worker_that_accepts_requests_is_that_of_the_gateway() -> None:
    board = Scoreboard(3)
    FinishedTotals(board, 1)
    write(board, 1, report(1, 0))
    write(board, 2, report(1, 0, problem="credentials"))
    assert read_totals(board, metrics=False).problem == "credentials"
    write(board, 2, report(1, 0, problem="credentials", ready=False))
    shown = read_totals(board, metrics=False)
    assert (shown.problem, shown.ready, shown.total) == (None, 1, 3)


def test_totals_too_large_for_the_slot_stay_exact() -> None:
    board = Scoreboard(1, buffer_bytes=16_384)
    finished = FinishedTotals(board, 1)
    for incarnation in (1, 2):
        metrics = Metrics()
        for number in range(2_000):
            metrics.requests.add(f"route-{number}", "ok")
        write(board, 1, WorkerReport(
            pid=1, incarnation=incarnation, ready=True, problem=None, generation=1, counts={"total": 2_000},
            metrics=metrics.values(),
        ))  # fmt: skip
        assert read(board) == (2_000 * incarnation,) * 2
        finished.fold(1)
        assert read(board) == (2_000 * incarnation,) * 2
    assert read_totals(board, metrics=True).dropped > 1_000


# --- when a worker reports ----------------------------------------------------------------------------------------


class Worker:
    """Counts its reports."""

    def __init__(self, board: Scoreboard, heartbeat: float = LARGE) -> None:
        self.count = 0
        self.reports = 0
        self.reporter = Reporter(board, 1, self._report, heartbeat)

    def _report(self) -> WorkerReport:
        self.reports += 1
        return report(1, self.count)


@pytest.fixture
def board() -> Scoreboard:
    board = Scoreboard(2)
    FinishedTotals(board, 1)
    return board


async def test_changes_that_follow_each_other_closely_share_a_report(
    board: Scoreboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "REPORT_DELAY", 0.0)
    worker = Worker(board)
    for _ in range(100):
        worker.count += 1
        worker.reporter.changed()
    assert (worker.reports, read(board)) == (0, (0, 0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (worker.reports, read(board)) == (1, (100, 100))
    worker.reporter.changed()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert worker.reports == 2


async def test_a_large_report_is_followed_by_a_later_one(board: Scoreboard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is counted and not time: what a report costs grows with its size."""
    delays: list[float] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", lambda delay, _: delays.append(delay))
    reporter = Reporter(board, 1, lambda: large, LARGE)
    for routes in (1, 2_000):
        metrics = Metrics()
        for number in range(routes):
            metrics.duration.observe(f"route-{number}", 1.0)
        large = report(1, 1)
        large.metrics = metrics.values()
        reporter.write()
        reporter.changed()
        reporter._timer = None
    assert delays[0] == totals.REPORT_DELAY
    assert 2 * delays[0] < delays[1] < 0.5


async def test_an_answer_has_the_present_numbers_and_leaves_them_for_other_workers(board: Scoreboard) -> None:
    worker = Worker(board)
    worker.count = 7
    worker.reporter.changed()
    assert worker.reporter.totals(True).counts == {"total": 7}
    assert read(board) == (7, 7)
    assert worker.reports == 1
    worker.reporter.stop()


async def test_a_worker_without_requests_reports_too(board: Scoreboard) -> None:
    worker = Worker(board, heartbeat=0.0)
    seen = {board.workers[0].heartbeat()}
    worker.reporter.start()
    for _ in range(5):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.add(board.workers[0].heartbeat())
    worker.reporter.stop()
    assert len(seen) > 3
    last = board.workers[0].heartbeat()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert board.workers[0].heartbeat() == last


def test_every_settled_exchange_is_a_change() -> None:
    metrics, changes = Metrics(), []
    metrics.in_flight += 1
    metrics.on_change = lambda: changes.append(metrics.in_flight)
    metrics.in_flight += 1
    metrics.in_flight -= 2
    assert changes == [2, 0]


def test_log_lines_that_the_supervisor_dropped_are_added_to_those_of_the_workers() -> None:
    board = Scoreboard(1)
    finished = FinishedTotals(board, 1)
    name = names.METRIC_LOG_LINES_DROPPED
    write(board, 1, report(1, 0))
    finished.count_log_drops({"console": 0, "files": 0})
    for so_far in (2, 2, 5):
        finished.count_log_drops({"console": so_far, "files": 1})
    counters = read_totals(board, metrics=True).metrics.counters
    assert counters[name] == {("console",): 5, ("files",): 1}
    dropped = Metrics()
    dropped.read_log_drops = lambda: {"console": 3}
    last = msgspec.structs.replace(report(1, 0), metrics=dropped.values())
    write(board, 1, last)
    finished.fold(1)
    finished.count_log_drops({"console": 6, "files": 1})
    assert read_totals(board, metrics=True).metrics.counters[name] == {("console",): 9, ("files",): 1}
