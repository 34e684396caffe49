"""One of several workers: a process that serves, reports its totals, and follows its supervisor's commands.

It was forked by the supervisor (``supervisor.py``). Signals are for the supervisor: a terminal's Ctrl-C reaches every
process, and is still one drain. Not in this module: reading files and environment. The configuration is passed in, so
that all workers have the same one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import msgspec

from modelmux.app import Gateway
from modelmux.config import Config, ConfigError
from modelmux.process.memory import MemoryReturner, tune_for_serving
from modelmux.process.sd_notify import ServiceManager
from modelmux.process.server import CLOSE_TIMEOUT, DrainSettings, GatewayServer, gateway_config
from modelmux.process.user_signals import handle_user_signals
from modelmux.process.workers.protocol import (
    WORKER_DECODER,
    ApplyConfig,
    ConfigApplied,
    Draining,
    FrameDecoder,
    Ready,
    ServeSockets,
    Shutdown,
    ToSupervisor,
    ToWorker,
    encode_frame,
)
from modelmux.process.workers.scoreboard import Scoreboard
from modelmux.process.workers.totals import Reporter
from modelmux.store.local_state import LocalState
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, Logger, error_location
from modelmux.telemetry.worker_metrics import WorkerReport


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What a worker needs.

    :param incarnation: counts the processes that ran in the slot of this worker.
    :param sockets: the listening sockets of all workers; that of this one is at ``number - 1``.
    :param link: its end of the socket pair.
    :param reported_credentials: as ``Gateway.reported_credentials``.
    :param heartbeat: seconds between two reports if nothing changes.
    """

    number: int
    incarnation: int
    config: Config
    generation: int
    sockets: list[socket.socket]
    link: socket.socket
    board: Scoreboard
    heartbeat: float
    drain: DrainSettings
    log: Logger
    state: LocalState
    reported_credentials: str | None = None


def run_worker(options: WorkerOptions) -> int:
    """Serve until told to shut down; signals are blocked when this is called.

    :returns: the exit code.
    """
    _avoid_system_proxies()
    log = WorkerLog(options.log, options.number)
    # The supervisor has logged the warnings, and written the keys of the configuration.
    gateway = Gateway(
        options.config, log=log, state=options.state, log_warnings=False, manages_keys=False, worker=options.number
    )
    gateway.reported_credentials = options.reported_credentials
    gateway.metrics.read_log_drops = options.log.dropped
    gateway.body_memory.on_burst_over = MemoryReturner()
    server = WorkerServer(options, gateway, log)
    signal.signal(signal.SIGTERM, server.on_sigterm)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    handle_user_signals(options.log.reopen_files)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    tune_for_serving()
    server.run(sockets=[options.sockets[options.number - 1]])
    return 0 if server.started else 1


def _avoid_system_proxies() -> None:
    """Apple's frameworks crash in a forked process, and Python asks them for proxies where no variable names any."""
    if sys.platform == "darwin" and not urllib.request.getproxies_environment():
        os.environ["no_proxy"] = "*"


class WorkerLog:
    """A log whose lines name the worker."""

    def __init__(self, log: Log, worker: int) -> None:
        self._log = log
        self._worker = worker

    def debug(self, event: str, **fields: Any) -> None:
        self._log.debug(event, worker=self._worker, **fields)

    def info(self, event: str, **fields: Any) -> None:
        self._log.info(event, worker=self._worker, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._log.warning(event, worker=self._worker, **fields)

    def error(self, event: str, **fields: Any) -> None:
        self._log.error(event, worker=self._worker, **fields)


class WorkerServer(GatewayServer):
    """The server of one worker."""

    def __init__(self, options: WorkerOptions, gateway: Gateway, log: Log) -> None:
        super().__init__(gateway_config(gateway), ServiceManager(), None, gateway.readiness, options.drain)
        self._options = options
        self._gateway = gateway
        self._log = log
        self._link: SupervisorLink | None = None
        self._extra_sockets: dict[int, asyncio.Server] = {}
        self._commands: asyncio.Queue[ServeSockets | ApplyConfig] = asyncio.Queue()
        self._command_task: asyncio.Task[None] | None = None
        self._generation = options.generation
        self._accepting = False
        self._reporter = Reporter(options.board, options.number, self._report, options.heartbeat)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Without uvicorn's signal handlers."""
        await self._serve(sockets)

    def on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        """The same however often it comes: only the supervisor ends a drain early."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        loop = asyncio.get_running_loop()
        _, self._link = await loop.create_unix_connection(
            lambda: SupervisorLink(self.on_message, self.on_supervisor_lost), sock=self._options.link
        )
        self._command_task = asyncio.create_task(self._run_commands())
        self._accepting = True
        self._gateway.metrics.on_change = self._readiness.on_change = self._reporter.changed
        self._readiness.aggregate = self._reporter.totals
        self._reporter.start()
        self._link.send(Ready())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        assert self._link is not None
        assert self._command_task is not None
        self._accepting = False
        self._reporter.write()
        self._link.send(Draining())
        self._command_task.cancel()
        await asyncio.wait([self._command_task])
        await super().shutdown([*(sockets or []), *self._options.sockets])
        self._reporter.stop()
        await self._link.close()

    def _report(self) -> WorkerReport:
        metrics = self._gateway.metrics
        return WorkerReport(
            pid=os.getpid(),
            incarnation=self._options.incarnation,
            ready=self._accepting,
            problem=self._readiness.problem,
            generation=self._generation,
            counts=metrics.counts(),
            metrics=metrics.values(),
        )

    # --- messages of the supervisor -------------------------------------------------------------------------------

    def on_message(self, message: ToWorker) -> None:
        match message:
            case Shutdown(at_once):
                self.should_exit = True
                self.force_exit = self.force_exit or at_once
            case ServeSockets() | ApplyConfig():
                self._commands.put_nowait(message)

    def on_supervisor_lost(self) -> None:
        """The supervisor has exited. Without it this process cannot be found or controlled, so it drains. A successor
        may need the port."""
        if not self.should_exit:
            self._log.error(names.EVENT_WORKER, message="lost the supervisor; draining, then exiting")
            self._drain = replace(self._drain, delay=0.0)
            self.should_exit = True

    def _send(self, message: ToSupervisor) -> None:
        if self._link is not None:
            self._link.send(message)

    # --- commands that take a while -------------------------------------------------------------------------------

    async def _run_commands(self) -> None:
        while True:
            message = await self._commands.get()
            if isinstance(message, ApplyConfig):
                await self._apply_config(message)
            else:
                await self._serve_sockets(set(message.sockets))

    async def _apply_config(self, message: ApplyConfig) -> None:
        problem = None
        try:
            await self._gateway.reload(Config.from_dict(msgspec.msgpack.decode(message.config)))
            self._generation = message.generation
        except Exception as error:  # noqa: BLE001 - the supervisor gets it, and replaces this worker
            problem = "; ".join(error.sentences) if isinstance(error, ConfigError) else error_location(error)
        self._reporter.write()
        self._send(ConfigApplied(message.generation, problem))

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


class SupervisorLink(asyncio.Protocol):
    """The worker's end of the socket pair."""

    def __init__(self, on_message: Callable[[ToWorker], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._frames = FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                self._on_message(WORKER_DECODER.decode(body))
        except (ValueError, msgspec.DecodeError):  # not our supervisor: treated as lost
            self._abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever the reason
        self.lost.set_result(None)
        self._on_lost()

    def send(self, message: ToSupervisor) -> None:
        if self._transport is not None and not self.lost.done():
            self._transport.write(encode_frame(message))

    async def close(self) -> None:
        """Close once everything is sent."""
        if self._transport is not None:
            self._transport.close()
        await asyncio.wait([self.lost], timeout=CLOSE_TIMEOUT)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
