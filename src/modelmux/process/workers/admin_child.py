"""The process of the admin API: it reads and writes the stores, so that no query runs on a worker's loop.

Forked, watched, restarted and reloaded as workers are, and nicer: where they want the same core, workers get it. What
it knows of workers is in the memory that they share, but for the requests that they run: those it asks for, over the
supervisor. A change of the directory reaches them that way, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.admin.backend import WorkerState
from modelmux.admin.listener import AdminListener
from modelmux.admin.open_backend import open_backend, open_stores
from modelmux.config import Config
from modelmux.process.admin_app import serve_admin
from modelmux.process.server import gateway_config
from modelmux.process.workers.child import ChildLog, ChildOptions, ChildServer
from modelmux.process.workers.protocol import DirectoryChanged, ToWorker, WorkerAnswer
from modelmux.process.workers.questions import WorkerQuestions
from modelmux.process.workers.scoreboard import Scoreboard, Slot
from modelmux.process.workers.totals import read_totals, running_workers
from modelmux.runtime import Runtime
from modelmux.server.account_keys import log_directory_problems
from modelmux.server.health import Readiness
from modelmux.server.refused import RefusedRequests
from modelmux.store.directory.open_directory import open_feed
from modelmux.telemetry.counted import Counted, counted
from modelmux.telemetry.log import Log
from modelmux.telemetry.metrics import Metrics
from modelmux.wire.http import Origin

_EVERY_INTERFACE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - replaced
#: Seconds that a write waits until each worker has it, and between two looks.
LONGEST_WAIT: Final = 1.0
#: Added to its niceness: where a worker and a page want the same core, the worker gets nine tenths of it, and gets it
#: when it wants it. See docs/benchmarks.md.
NICENESS: Final = 10
_LOOK: Final = 0.005


def run_admin(options: ChildOptions, sock: socket.socket, models_at: Origin) -> int:
    """Serve the admin API until told to shut down; signals are blocked when this is called.

    :param models_at: where this machine reaches the listener of models.
    :returns: the exit code.
    """
    with contextlib.suppress(OSError):  # a sandbox that forbids it
        os.nice(NICENESS)  # before there are threads, which have their own
    if options.drain.handover:  # the service manager has passed a socket for models only: this one is shared
        options = replace(options, drain=replace(options.drain, handover="reuse_port"))
    return AdminServer(options, sock.getsockname()[0], models_at).run_child(sock)


class AdminServer(ChildServer):
    """The server of the admin API.

    :param host: where it listens.
    :param models_at: where this machine reaches the listener of models.
    """

    def __init__(self, options: ChildOptions, host: str, models_at: Origin) -> None:
        self._runtime = Runtime()
        self._models_at = models_at
        log = ChildLog(options.log, options.number)
        #: For the teams of tokens; None without accounts.
        self._feed = open_feed(options.config, os.environ, self._runtime, log_directory_problems(log))
        self._metrics = Metrics()  # for the text of those that workers count; this process counts none
        self._store, self._ledger = open_stores(options.config, log)
        self._refused = RefusedRequests(log, self._runtime.clock)
        self._listener = AdminListener(host, self._on_startup, self._on_shutdown, self._refused)
        super().__init__(gateway_config(self._listener), Readiness(), options, log)
        self._questions = WorkerQuestions(self.send, lambda: running_workers(options.board))
        self._alive = SignsOfLife(options.board.admin, options.heartbeat)
        self._serve_by(options.config, log)

    def _serve_by(self, config: Config, log: Log) -> None:
        backend = open_backend(
            config, self._store, self._ledger, os.environ, self._runtime, self.await_workers, self.workers,
            self._questions.ask, settings=self._settings, counted=self._counted,
        )  # fmt: skip

        def teams() -> Directory:
            return Directory() if self._feed is None else self._feed.current

        serve_admin(
            self._listener,
            config,
            backend,
            teams,
            log,
            self._refused,
            self._runtime,
            self._models_at,
            self._read_metrics,
        )

    def _read_metrics(self, open_metrics: bool) -> bytes:
        totals = read_totals(self._child.board, metrics=True)
        return self._metrics.expose_all(totals, open_metrics=open_metrics)

    def _counted(self) -> Counted:
        return counted(read_totals(self._child.board, metrics=True).metrics, self._metrics.bounds)

    async def await_workers(self, version: int) -> int:
        """See ``Backend``."""
        self.send(DirectoryChanged(version))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LONGEST_WAIT
        while (late := count_late(self.workers(), version)) and loop.time() < deadline:  # noqa: ASYNC110 - other memory
            await asyncio.sleep(_LOOK)
        return late

    def workers(self) -> list[WorkerState]:
        """See ``Backend``."""
        return worker_states(self._child.board)

    def on_message(self, message: ToWorker) -> None:
        if isinstance(message, WorkerAnswer):
            self._questions.on_answer(message)
        else:
            super().on_message(message)

    async def apply(self, config: Config) -> None:
        self._serve_by(config, self._log)

    def on_started(self) -> None:
        self._alive.start()

    def on_stopped(self) -> None:
        self._alive.stop()

    async def _on_startup(self) -> None:
        if self._feed is not None:
            self._feed.watch()

    async def _on_shutdown(self) -> None:
        self._refused.flush()
        if self._feed is not None:
            await self._feed.aclose()
        await self._store.aclose()
        if self._ledger is not None:
            await self._ledger.aclose()


class SignsOfLife:
    """What a process that reports nothing else writes, so that the supervisor sees that its event loop runs."""

    def __init__(self, slot: Slot, interval: float) -> None:
        self._slot = slot
        self._interval = interval
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Now and from now on. In a running event loop."""
        self._slot.write(b"")
        self._timer = asyncio.get_running_loop().call_later(self._interval, self.start)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def own_origin(host: str, port: int) -> Origin:
    """Where this machine reaches a listener. :param host: an address; that of every interface stands for loopback."""
    return Origin("http", _EVERY_INTERFACE.get(host, host), port)


def worker_states(board: Scoreboard) -> list[WorkerState]:
    """The workers that run, as far as they have reported."""
    return [
        WorkerState(
            index=number,
            pid=report.pid,
            started=report.started,
            in_flight=report.in_flight,
            directory_version=report.directory_version,
            deployments=tuple(report.deployments),
        )
        for number, report in sorted(running_workers(board).items())
    ]


def count_late(workers: Iterable[WorkerState], version: int) -> int:
    """How many of these admit requests by a directory of before a version, or by none."""
    return sum(one.directory_version is None or one.directory_version < version for one in workers)
