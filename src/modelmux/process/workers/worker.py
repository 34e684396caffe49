"""One of several workers: a process that serves, reports its totals, and follows its supervisor's commands.

It was forked by the supervisor (``supervisor.py``). Signals are for the supervisor: a terminal's Ctrl-C reaches every
process, and is still one drain. Not in this module: reading files and environment. The configuration is passed in, so
that all workers have the same one.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
import urllib.request
from dataclasses import dataclass

from modelmux.app import Gateway
from modelmux.config import Config
from modelmux.gateway.live_requests import LiveRequests
from modelmux.gateway.metering.metering import static_keys
from modelmux.process.memory import MemoryReturner
from modelmux.process.server import gateway_config
from modelmux.process.workers.child import ChildLog, ChildOptions, ChildServer
from modelmux.process.workers.protocol import Question, ReadDirectory, ServeSockets, ToWorker
from modelmux.process.workers.questions import answered
from modelmux.process.workers.totals import Reporter
from modelmux.runtime import Runtime
from modelmux.store.local_state import LocalState
from modelmux.telemetry import names
from modelmux.telemetry.log import Log
from modelmux.telemetry.worker_metrics import WorkerReport


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What a worker needs.

    :param incarnation: counts the processes that ran in the slot of this worker.
    :param sockets: the listening sockets of all workers; that of this one is at ``number - 1``.
    :param reported_credentials: as ``Gateway.reported_credentials``.
    """

    common: ChildOptions
    incarnation: int
    sockets: list[socket.socket]
    state: LocalState
    reported_credentials: str | None = None


def run_worker(options: WorkerOptions) -> int:
    """Serve until told to shut down; signals are blocked when this is called.

    :returns: the exit code.
    """
    _avoid_system_proxies()
    common = options.common
    log = ChildLog(common.log, common.number)
    # The supervisor has logged the warnings, and written the keys of the configuration.
    gateway = Gateway(
        common.config, log=log, state=options.state, log_warnings=False, manages_keys=False, worker=common.number
    )
    gateway.reported_credentials = options.reported_credentials
    gateway.metrics.read_log_drops = common.log.dropped
    gateway.body_memory.on_burst_over = MemoryReturner()
    server = WorkerServer(options, gateway, log)
    return server.run_child(options.sockets[common.number - 1])


def _avoid_system_proxies() -> None:
    """Apple's frameworks crash in a forked process, and Python asks them for proxies where no variable names any."""
    if sys.platform == "darwin" and not urllib.request.getproxies_environment():
        os.environ["no_proxy"] = "*"


class WorkerServer(ChildServer):
    """The server of one worker."""

    def __init__(self, options: WorkerOptions, gateway: Gateway, log: Log) -> None:
        common = options.common
        super().__init__(gateway_config(gateway), gateway.readiness, common, log)
        self._options = options
        self._gateway = gateway
        self._extra_sockets: dict[int, asyncio.Server] = {}
        self._started_at = time.time()
        self._accepting = False
        self._live = LiveRequests(gateway.running, common.number, Runtime().new_id(8))
        self._use_names(common.config)
        self._reporter = Reporter(common.board, common.number, self._report, common.heartbeat)

    def on_started(self) -> None:
        self._accepting = True
        self._gateway.metrics.on_change = self._readiness.on_change = self._reporter.changed
        self._readiness.aggregate = self._reporter.totals
        if self._gateway.directory is not None:
            self._gateway.directory.on_change.append(lambda _: self._reporter.write())
        self._reporter.start()

    def on_stopping(self) -> None:
        self._accepting = False
        self._reporter.write()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown([*(sockets or []), *self._options.sockets])

    def on_stopped(self) -> None:
        self._reporter.stop()

    def _report(self) -> WorkerReport:
        metrics, directory = self._gateway.metrics, self._gateway.directory
        return WorkerReport(
            pid=os.getpid(),
            incarnation=self._options.incarnation,
            ready=self._accepting,
            problem=self._readiness.problem,
            generation=self._generation,
            counts=metrics.counts(),
            metrics=metrics.values(),
            started=self._started_at,
            in_flight=metrics.in_flight,
            directory_version=None if directory is None else directory.current.version,
            deployments=metrics.read_deployments(time.time()),
        )

    def _use_names(self, config: Config) -> None:
        self._live.keys, self._live.redact = static_keys(config), self._gateway.refused.redact

    # --- commands of the supervisor -------------------------------------------------------------------------------

    def on_message(self, message: ToWorker) -> None:
        if isinstance(message, ReadDirectory):  # at once: a reload in the queue may take seconds
            if self._gateway.directory is not None:
                self._gateway.directory.expect(message.version)
        elif isinstance(message, Question):
            answer = answered(message, self._live.answer, self._log)
            if answer is not None:
                self.send(answer)
        else:
            super().on_message(message)

    async def apply(self, config: Config) -> None:
        await self._gateway.reload(config)
        self._use_names(config)

    def on_applied(self) -> None:
        self._reporter.write()

    async def on_command(self, message: ToWorker) -> None:
        if isinstance(message, ServeSockets):
            await self._serve_sockets(set(message.sockets))

    async def _serve_sockets(self, indices: set[int]) -> None:
        """Accept from these sockets of other workers, and no longer from the rest."""
        for index in self._extra_sockets.keys() - indices:
            server = self._extra_sockets.pop(index)
            self.servers.remove(server)
            server.close()
        for index in indices - self._extra_sockets.keys():
            try:
                # A copy, because the server closes its socket when it stops.
                server = await asyncio.get_running_loop().create_server(
                    self._connection, sock=self._options.sockets[index].dup(), backlog=self.config.backlog
                )
            except OSError as error:  # out of descriptors: the other worker is back soon, and serving continues
                self._log.error(
                    names.EVENT_WORKER, message=f"cannot accept from another worker's socket: {error.strerror}"
                )
                continue
            self._extra_sockets[index] = server
            self.servers.append(server)

    def _connection(self) -> asyncio.Protocol:
        connection: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return connection
