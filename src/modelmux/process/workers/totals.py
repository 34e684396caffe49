"""The totals of all workers, by way of the scoreboard: who writes what, when, and how it is read.

A worker writes its report shortly after something changed, and as a heartbeat. One that answers ``/metrics``,
``/health`` or ``/readyz`` writes its own report first and then adds up all slots: so a sum that was shown once is never
followed by a smaller one, whichever worker answers next. The supervisor folds the last report of a worker that ended
into the slot of the finished ones.

A reader reads the workers' slots first and the finished ones afterwards. A report counts only if its incarnation is not
among the finished ones yet, so it counts exactly once, whether the reader came before the fold, during it or after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from modelmux.process.workers.scoreboard import Scoreboard
from modelmux.telemetry import names
from modelmux.telemetry.worker_metrics import (
    FinishedStatus,
    FinishedWorkers,
    GatewayTotals,
    WorkerReport,
    WorkerStatus,
    add_finished,
    encode_report,
    totals,
)

#: Seconds between a change and the report of it: how late the totals of other workers may be, and how much of its
#: counts a killed worker may lose.
REPORT_DELAY: Final = 0.02
#: A report of so many bytes takes a fifth of a millisecond. A larger one comes as much later, so that reports take the
#: same share of the time, however many routes and teams there are.
_BYTES_PER_DELAY: Final = 32 * 1024

_STATUS: Final = msgspec.msgpack.Decoder(WorkerStatus)
_REPORT: Final = msgspec.msgpack.Decoder(WorkerReport)
_FINISHED_STATUS: Final = msgspec.msgpack.Decoder(FinishedStatus)
_FINISHED: Final = msgspec.msgpack.Decoder(FinishedWorkers)


def read_totals(board: Scoreboard, *, metrics: bool) -> GatewayTotals:
    """All workers together, as far as they have reported."""
    reports = _reports(board, _REPORT if metrics else _STATUS)
    finished = board.finished.read()
    assert finished is not None, "the supervisor writes it before it forks"
    return totals((_FINISHED if metrics else _FINISHED_STATUS).decode(finished), reports)


def running_workers(board: Scoreboard) -> dict[int, WorkerStatus]:
    """The workers that run, by their numbers, as far as they have reported."""
    reports = _reports(board, _STATUS)
    finished = board.finished.read()
    folded = [] if finished is None else _FINISHED_STATUS.decode(finished).folded
    return {
        number: report for number, report in reports.items() if not folded or report.incarnation > folded[number - 1]
    }


def _reports(board: Scoreboard, decoder: msgspec.msgpack.Decoder[Any]) -> dict[int, WorkerStatus]:
    return {
        number: decoder.decode(record)
        for number, slot in enumerate(board.workers, 1)
        if (record := slot.read()) is not None
    }


class FinishedTotals:
    """The supervisor's side: what the workers that ended leave behind."""

    def __init__(self, board: Scoreboard, supervisor: int) -> None:
        self._board = board
        self._finished = FinishedWorkers(supervisor=supervisor, folded=[0] * len(board.workers))
        self._log_drops: dict[str, int] = {}
        self._write()

    def fold(self, number: int) -> None:
        """Worker ``number`` ended. Call before another process is started in its slot."""
        record = self._board.workers[number - 1].read()
        if record is not None:
            add_finished(self._finished, number, _REPORT.decode(record))
            self._write()

    def count_restart(self) -> None:
        self._finished.restarts += 1
        self._write()

    def count_log_drops(self, drops: Mapping[str, int]) -> None:
        """Add the log lines that the supervisor itself dropped.

        :param drops: all so far, by output.
        """
        if drops != self._log_drops:
            counter = self._finished.metrics.counters.setdefault(names.METRIC_LOG_LINES_DROPPED, {})
            for output, count in drops.items():
                counter[(output,)] = counter.get((output,), 0) + count - self._log_drops.get(output, 0)
            self._log_drops = dict(drops)
            self._write()

    def _write(self) -> None:
        slot = self._board.finished
        slot.write(encode_report(self._finished, slot.capacity))


class Reporter:
    """The worker's side: its own report, and the totals of all.

    :param report: makes the report of this worker.
    :param heartbeat: seconds between two reports if nothing changes.
    """

    def __init__(self, board: Scoreboard, number: int, report: Callable[[], WorkerReport], heartbeat: float) -> None:
        self._board = board
        self._number = number
        self._slot = board.workers[number - 1]
        self._report = report
        self._heartbeat = heartbeat
        self._delay = REPORT_DELAY
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Report now and, from now on, at every heartbeat. In a running event loop."""
        self.write()
        self._beat = asyncio.get_running_loop().call_later(self._heartbeat, self.start)

    def stop(self) -> None:
        """The last report."""
        if self._beat is not None:
            self._beat.cancel()
        self.write()

    def changed(self) -> None:
        """Report soon. Changes that follow each other closely share a report."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self.write)

    def write(self) -> None:
        """Report now."""
        self._write(self._report())

    def totals(self, metrics: bool) -> GatewayTotals:
        """All workers together; this one with its present numbers."""
        self.write()
        return read_totals(self._board, metrics=metrics)

    def _write(self, report: WorkerReport) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        encoded = encode_report(report, self._slot.capacity)
        self._delay = REPORT_DELAY * (1 + len(encoded) // _BYTES_PER_DELAY)
        self._slot.write(encoded)
