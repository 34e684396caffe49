"""One of several workers: a process that serves, reports to its supervisor and does as that says.

It was forked by the supervisor (``supervisor.py``). Signals are the supervisor's to hear: a terminal's Ctrl-C reaches
every process, and is one drain all the same. Reading of files and environment must not come in here: the configuration
is handed over, so that all workers have the same one.
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
from prometheus_client import Gauge

from modelmux.app import Gateway, create_app
from modelmux.config import Config
from modelmux.process.memory import settle_for_serving
from modelmux.process.sd_notify import ServiceManager
from modelmux.process.server import END_SECONDS, Drain, GatewayServer, gateway_config
from modelmux.process.workers.aggregate_client import Asking
from modelmux.process.workers.protocol import (
    AT_WORKER,
    Adopt,
    Adopted,
    Answer,
    Ask,
    Care,
    Frames,
    Leave,
    Leaving,
    Ready,
    Said,
    Tell,
    ToSupervisor,
    ToWorker,
    frame,
)
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, error_location
from modelmux.telemetry.worker_metrics import Report, families


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker is given.

    :param sockets: the listening sockets of all workers; that of this one is at ``number - 1``.
    :param link: its end of the socket pair.
    """

    number: int
    config: Config
    generation: int
    sockets: list[socket.socket]
    link: socket.socket
    drain: Drain
    log: Log


def work(post: Post) -> int:
    """Serve until told to end; signals are held when this begins.

    :returns: the exit code.
    """
    _spare_system_proxies()
    log = WorkerLog(post.log, post.number)
    server = WorkerServer(post, create_app(post.config, log=log), log)
    signal.signal(signal.SIGTERM, server.on_sigterm)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    settle_for_serving()
    server.run(sockets=[post.sockets[post.number - 1]])
    return 0 if server.started else 1


def _spare_system_proxies() -> None:
    """Apple's frameworks crash in a forked process, and Python asks them for proxies where no variable names any."""
    if sys.platform == "darwin" and not urllib.request.getproxies_environment():
        os.environ["no_proxy"] = "*"


class WorkerLog:
    """A log whose lines name the worker. What is wrong with the configuration the supervisor has said already."""

    def __init__(self, log: Log, worker: int) -> None:
        self._log = log
        self._worker = worker

    def debug(self, event: str, **fields: Any) -> None:
        self._log.debug(event, worker=self._worker, **fields)

    def info(self, event: str, **fields: Any) -> None:
        self._log.info(event, worker=self._worker, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        if event != names.EVENT_CONFIG:
            self._log.warning(event, worker=self._worker, **fields)

    def error(self, event: str, **fields: Any) -> None:
        self._log.error(event, worker=self._worker, **fields)


class WorkerServer(GatewayServer):
    """The server of one worker, which does what its supervisor says."""

    def __init__(self, post: Post, gateway: Gateway, log: Log) -> None:
        super().__init__(gateway_config(gateway), ServiceManager(), None, gateway.readiness, post.drain)
        self._post = post
        self._gateway = gateway
        self._log = log
        self._link: Link | None = None
        self._stood_in: dict[int, asyncio.Server] = {}
        self._chores: asyncio.Queue[Care | Adopt] = asyncio.Queue()
        self._chore: asyncio.Task[None] | None = None
        self._asking = Asking(self._put)
        self._generation = Gauge(
            names.METRIC_CONFIG_GENERATION, "How many configurations were served, the present one included.",
            registry=gateway.metrics.registry,
        )  # fmt: skip
        self._generation.set(post.generation)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Without uvicorn's signal handlers."""
        await self._serve(sockets)

    def on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        """However often: when it is over at once, the supervisor says."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        loop = asyncio.get_running_loop()
        _, self._link = await loop.create_unix_connection(lambda: Link(self.heard, self.lost), sock=self._post.link)
        self._chore = asyncio.create_task(self._do_chores())
        self._readiness.ask = self._asking.ask
        self._link.send(Ready())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        assert self._link is not None
        assert self._chore is not None
        self._link.send(Leaving())
        self._chore.cancel()
        await asyncio.wait([self._chore])
        await super().shutdown([*(sockets or []), *self._post.sockets])
        self._link.send(Said(0, self._report(metrics=True)))
        await self._link.close()

    # --- what the supervisor says ---------------------------------------------------------------------------------

    def heard(self, message: ToWorker) -> None:
        match message:
            case Tell(number, metrics):
                self._say(Said(number, self._report(metrics=metrics)))
            case Answer(number, whole):
                self._asking.answered(number, whole)
            case Leave(at_once):
                self.should_exit = True
                self.force_exit = self.force_exit or at_once
            case Care() | Adopt():
                self._chores.put_nowait(message)

    def lost(self) -> None:
        """The supervisor is gone: nobody would hear of this process, so it ends. Another one may want the port."""
        self._asking.over()
        if not self.should_exit:
            self._log.error(names.EVENT_WORKER, message="the supervisor is gone; running requests finish, then I end")
            self._drain = replace(self._drain, delay=0.0)
            self.should_exit = True

    def _say(self, message: ToSupervisor) -> None:
        if self._link is not None:
            self._link.send(message)

    def _put(self, number: int, metrics: bool) -> bool:
        """Ask the supervisor how all workers are; False if there is none."""
        if self._link is None or self._link.lost.done():
            return False
        self._link.send(Ask(number, metrics, self._report(metrics=metrics)))
        return True

    def _report(self, *, metrics: bool) -> Report:
        counted = self._gateway.metrics
        return Report(
            counts=counted.counts(),
            problem=self._readiness.problem,
            families=families(counted.registry) if metrics else None,
        )

    # --- chores: what takes a while -------------------------------------------------------------------------------

    async def _do_chores(self) -> None:
        while True:
            message = await self._chores.get()
            if isinstance(message, Adopt):
                await self._adopt(message)
            else:
                await self._care(set(message.sockets))

    async def _adopt(self, message: Adopt) -> None:
        problem = None
        try:
            await self._gateway.reload(Config.from_dict(msgspec.msgpack.decode(message.config)))
            self._generation.set(message.generation)
        except Exception as error:  # noqa: BLE001 - the supervisor is told, and replaces this worker
            problem = error_location(error)
        self._say(Adopted(message.generation, problem))

    async def _care(self, wanted: set[int]) -> None:
        """Accept from the sockets of others, or no longer."""
        for index in self._stood_in.keys() - wanted:
            server = self._stood_in.pop(index)
            self.servers.remove(server)
            server.close()
        for index in wanted - self._stood_in.keys():
            try:
                # A copy, because the server closes what it is given when it has to stop.
                server = await asyncio.get_running_loop().create_server(
                    self._connection, sock=self._post.sockets[index].dup(), backlog=self.config.backlog
                )
            except OSError as error:  # no descriptor left: what this is for ends soon, and serving goes on
                self._log.error(names.EVENT_WORKER, message=f"cannot stand in for another: {error.strerror}")
                continue
            self._stood_in[index] = server
            self.servers.append(server)

    def _connection(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


class Link(asyncio.Protocol):
    """The worker's end of the socket pair."""

    def __init__(self, heard: Callable[[ToWorker], None], on_lost: Callable[[], None]) -> None:
        self._heard = heard
        self._on_lost = on_lost
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                self._heard(AT_WORKER.decode(body))
        except (ValueError, msgspec.DecodeError):  # no supervisor of ours: as good as none
            self._abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it was lost
        self.lost.set_result(None)
        self._on_lost()

    def send(self, message: ToSupervisor) -> None:
        if self._transport is not None and not self.lost.done():
            self._transport.write(frame(message))

    async def close(self) -> None:
        """After what was sent is on its way."""
        if self._transport is not None:
            self._transport.close()
        await asyncio.wait([self.lost], timeout=END_SECONDS)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
