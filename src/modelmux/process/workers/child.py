"""What every child of the supervisor has, a worker and the process of the admin API: a log that names it, a link to
the supervisor, and a server that follows its commands.

Signals are for the supervisor: a terminal's Ctrl-C reaches every process, and is still one drain.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import msgspec
import uvicorn

from modelmux.config import Config, ConfigError
from modelmux.config.effective_config import NO_SETTINGS, Settings
from modelmux.process.memory import tune_for_serving
from modelmux.process.sd_notify import ServiceManager
from modelmux.process.server import CLOSE_TIMEOUT, DrainSettings, GatewayServer
from modelmux.process.user_signals import handle_user_signals
from modelmux.process.workers.protocol import (
    WORKER_DECODER,
    ApplyConfig,
    ConfigApplied,
    Draining,
    FrameDecoder,
    Ready,
    Shutdown,
    ToSupervisor,
    ToWorker,
    encode_frame,
)
from modelmux.process.workers.scoreboard import Scoreboard
from modelmux.process.workers.worker_slot import process_name
from modelmux.server.health import Readiness
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, Logger, error_location


class ChildLog:
    """A log whose lines name the child."""

    def __init__(self, log: Log, number: int) -> None:
        self._log = log
        self._worker = process_name(number)

    def debug(self, event: str, **fields: Any) -> None:
        self._log.debug(event, worker=self._worker, **fields)

    def info(self, event: str, **fields: Any) -> None:
        self._log.info(event, worker=self._worker, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._log.warning(event, worker=self._worker, **fields)

    def error(self, event: str, **fields: Any) -> None:
        self._log.error(event, worker=self._worker, **fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOptions:
    """What every child needs.

    :param number: see ``WorkerSlot``.
    :param generation: of the configuration.
    :param link: its end of the socket pair.
    :param settings: of the configuration, to show.
    :param heartbeat: seconds between two signs of life if nothing changes.
    """

    number: int
    config: Config
    generation: int
    link: socket.socket
    board: Scoreboard
    heartbeat: float
    drain: DrainSettings
    log: Logger
    settings: Settings = NO_SETTINGS


class ChildServer(GatewayServer):
    """The server of one child.

    :param log: names the child.
    """

    def __init__(self, config: uvicorn.Config, readiness: Readiness, options: ChildOptions, log: Log) -> None:
        super().__init__(config, ServiceManager(), None, readiness, options.drain)
        self._child = options
        self._log = log
        self._link: SupervisorLink | None = None
        self._commands: asyncio.Queue[ToWorker] = asyncio.Queue()
        self._command_task: asyncio.Task[None] | None = None
        self._generation = options.generation
        self._settings = options.settings

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Without uvicorn's signal handlers."""
        await self._serve(sockets)

    def on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        """The same however often it comes: only the supervisor ends a drain early."""
        self.should_exit = True

    def run_child(self, sock: socket.socket) -> int:
        """Serve until told to shut down; signals are blocked when this is called.

        :returns: the exit code.
        """
        signal.signal(signal.SIGTERM, self.on_sigterm)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        handle_user_signals(self._child.log.reopen_files)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        tune_for_serving()
        self.run(sockets=[sock])
        return 0 if self.started else 1

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        loop = asyncio.get_running_loop()
        _, self._link = await loop.create_unix_connection(
            lambda: SupervisorLink(self.on_message, self.on_supervisor_lost), sock=self._child.link
        )
        self._command_task = asyncio.create_task(self._run_commands())
        self.on_started()
        self._link.send(Ready())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        assert self._link is not None
        assert self._command_task is not None
        self.on_stopping()
        self._link.send(Draining())
        self._command_task.cancel()
        await asyncio.wait([self._command_task])
        await super().shutdown(sockets)
        self.on_stopped()
        await self._link.close()

    # --- for subclasses -------------------------------------------------------------------------------------------

    def on_started(self) -> None:
        """It serves, and the supervisor does not know it yet."""
        raise NotImplementedError

    def on_stopping(self) -> None:
        """It is about to stop accepting."""

    def on_stopped(self) -> None:
        """All its connections are closed."""
        raise NotImplementedError

    async def apply(self, config: Config) -> None:
        """Switch to a configuration. :raises ConfigError: it cannot be used."""
        raise NotImplementedError

    async def on_command(self, message: ToWorker) -> None:
        """Handle one that takes a while; one after the other."""

    # --- messages of the supervisor -------------------------------------------------------------------------------

    def on_message(self, message: ToWorker) -> None:
        if isinstance(message, Shutdown):
            self.should_exit = True
            self.force_exit = self.force_exit or message.at_once
        else:
            self._commands.put_nowait(message)

    def on_supervisor_lost(self) -> None:
        """The supervisor has exited. Without it this process cannot be found or controlled, so it drains. A successor
        may need the port."""
        if not self.should_exit:
            self._log.error(names.EVENT_WORKER, message="lost the supervisor; draining, then exiting")
            self._drain = replace(self._drain, delay=0.0)
            self.should_exit = True

    def send(self, message: ToSupervisor) -> None:
        if self._link is not None:
            self._link.send(message)

    async def _run_commands(self) -> None:
        while True:
            message = await self._commands.get()
            if isinstance(message, ApplyConfig):
                await self._apply_config(message)
            else:
                await self.on_command(message)

    async def _apply_config(self, message: ApplyConfig) -> None:
        problem = None
        try:
            if message.settings:
                self._settings = msgspec.msgpack.decode(message.settings, type=Settings)
            await self.apply(Config.from_dict(msgspec.msgpack.decode(message.config)))
            self._generation = message.generation
        except Exception as error:  # noqa: BLE001 - the supervisor gets it, and replaces this process
            problem = "; ".join(error.sentences) if isinstance(error, ConfigError) else error_location(error)
        self.on_applied()
        self.send(ConfigApplied(message.generation, problem))

    def on_applied(self) -> None:
        """A configuration was applied, or could not be."""


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
