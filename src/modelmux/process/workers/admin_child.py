"""The process of the admin API: it reads and writes the stores, so that no query runs on a worker's loop.

Forked, watched, restarted and reloaded as workers are. What it knows of workers is in the memory that they share; a
change of the directory reaches them by the supervisor.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.admin.backend import WorkerState
from modelmux.admin.listener import AdminListener
from modelmux.admin.open_backend import open_backend
from modelmux.config import Config
from modelmux.process.admin_app import serve_admin
from modelmux.process.server import gateway_config
from modelmux.process.workers.child import ChildLog, ChildOptions, ChildServer
from modelmux.process.workers.protocol import DirectoryChanged
from modelmux.process.workers.scoreboard import Scoreboard, Slot
from modelmux.process.workers.totals import running_workers
from modelmux.runtime import Runtime
from modelmux.server.account_keys import log_directory_problems
from modelmux.server.health import Readiness
from modelmux.server.refused import RefusedRequests
from modelmux.store.directory.open_directory import open_directory, open_feed
from modelmux.store.ledger.open_ledger import open_ledger
from modelmux.telemetry.log import Log

#: Seconds that a write waits until each worker has it, and between two looks.
LONGEST_WAIT: Final = 1.0
_LOOK: Final = 0.005


def run_admin(options: ChildOptions, sock: socket.socket) -> int:
    """Serve the admin API until told to shut down; signals are blocked when this is called.

    :returns: the exit code.
    """
    if options.drain.handover:  # the service manager has passed a socket for models only: this one is shared
        options = replace(options, drain=replace(options.drain, handover="reuse_port"))
    return AdminServer(options, sock.getsockname()[0]).run_child(sock)


class AdminServer(ChildServer):
    """The server of the admin API.

    :param host: where it listens.
    """

    def __init__(self, options: ChildOptions, host: str) -> None:
        self._runtime = Runtime()
        log = ChildLog(options.log, options.number)
        feed = open_feed(options.config, os.environ, self._runtime, log_directory_problems(log))
        assert feed is not None, "accounts are on"
        self._feed = feed  # for the teams of tokens
        self._store, self._ledger = open_directory(options.config), open_ledger(options.config)
        self._refused = RefusedRequests(log, self._runtime.clock)
        self._listener = AdminListener(host, self._on_startup, self._on_shutdown, self._refused)
        super().__init__(gateway_config(self._listener), Readiness(), options, log)
        self._alive = SignsOfLife(options.board.admin, options.heartbeat)
        self._serve_by(options.config, log)

    def _serve_by(self, config: Config, log: Log) -> None:
        backend = open_backend(
            config, self._store, self._ledger, os.environ, self._runtime, self.await_workers, self.workers
        )

        def teams() -> Directory:
            return self._feed.current

        serve_admin(self._listener, config, backend, teams, log, self._refused, self._runtime)

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

    async def apply(self, config: Config) -> None:
        self._serve_by(config, self._log)

    def on_started(self) -> None:
        self._alive.start()

    def on_stopped(self) -> None:
        self._alive.stop()

    async def _on_startup(self) -> None:
        self._feed.watch()

    async def _on_shutdown(self) -> None:
        self._refused.flush()
        await self._feed.aclose()
        await self._store.aclose()
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


def worker_states(board: Scoreboard) -> list[WorkerState]:
    """The workers that run, as far as they have reported."""
    return [
        WorkerState(
            index=number,
            pid=report.pid,
            started=report.started,
            in_flight=report.in_flight,
            directory_version=report.directory_version,
        )
        for number, report in sorted(running_workers(board).items())
    ]


def count_late(workers: Iterable[WorkerState], version: int) -> int:
    """How many of these admit requests by a directory of before a version, or by none."""
    return sum(one.directory_version is None or one.directory_version < version for one in workers)
