"""uvicorn as the gateway runs it: with our HTTP/1.1, a drain in steps, and reload on SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, Final, Literal, NoReturn

import uvicorn

from modelmux.process.listen import pass_connections_on
from modelmux.process.memory import tune_for_serving
from modelmux.process.sd_notify import ServiceManager
from modelmux.process.stop_messages import ending_message, stopping_message
from modelmux.server.health import Readiness
from modelmux.server.http.connection import HttpConnection
from modelmux.server.http.limits import ShutdownPhase
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, Logger

#: Seconds that running requests get to finish after the first Ctrl-C or SIGTERM; a second one ends them at once.
DRAIN_TIMEOUT: Final = 30
#: Seconds for sending in-band errors to clients when the drain is over, and for each later step of closing.
CLOSE_TIMEOUT: Final = 1.0
#: Seconds in which rows are written, spans and metrics sent, and stores left. It takes milliseconds, unless a disk, a
#: server or the machine is slow: what is not done by then is lost, or waits in a journal.
STORES_TIMEOUT: Final = 4.0
#: Seconds of all that follows the drain, together.
ENDING: Final = 2 * CLOSE_TIMEOUT + STORES_TIMEOUT
#: Seconds for which a server that hands its address over still serves requests as usual: on connections that were on
#: their way to it, or had just been accepted.
HANDOVER_TIME: Final = 1.0
#: Seconds that a process gets to end after all this: a library may take a cancellation for its own.
END_TIMEOUT: Final = 10.0
#: Seconds that a server in a thread gets to end.
_THREAD_TIMEOUT: Final = 5.0


def gateway_config(app: Any, *, drain_timeout: int = DRAIN_TIMEOUT) -> uvicorn.Config:
    """How uvicorn serves a gateway."""
    return uvicorn.Config(
        app,
        http=HttpConnection,
        loop="auto",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=drain_timeout,
    )


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """How a server shuts down, in seconds.

    :param delay: it still accepts requests, but reports that it is about to stop.
    :param timeout: after the delay, running requests may finish; those left are ended in-band.
    :param handover: whether another process may accept from the same address, and how: ``same_socket`` if it has the
        same listening socket, ``reuse_port`` if it has another one.
    """

    delay: float = 0.0
    timeout: float = DRAIN_TIMEOUT
    handover: Literal["", "same_socket", "reuse_port"] = ""

    @property
    def total(self) -> float:
        """Seconds after which the shutdown is complete, whatever clients and upstreams do."""
        return self.delay + HANDOVER_TIME * bool(self.handover) + self.timeout + ENDING


class GatewayServer(uvicorn.Server):
    """uvicorn that shuts down in steps, reports its state to the service manager, and reloads the configuration on
    SIGHUP.

    :param reload: reads the configuration and applies it; must not raise. None: another process handles SIGHUP.
    :param log: gets what people are told of a shutdown. None: another process tells them.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        manager: ServiceManager,
        reload: Callable[[], Awaitable[None]] | None,
        readiness: Readiness,
        drain: DrainSettings,
        log: Log | None = None,
    ) -> None:
        super().__init__(config)
        self._manager = manager
        self._reload = reload
        self._readiness = readiness
        self._drain = drain
        self._people = log
        self._phase = ShutdownPhase()
        self.server_state.phase = self._phase  # type: ignore[attr-defined]  # where our connections look for it
        self._reload_task: asyncio.Task[None] | None = None
        #: Called at the end of the shutdown, in the event loop.
        self.on_shut_down: Callable[[], None] | None = None
        if manager.watchdog is not None:
            config.callback_notify = manager.notify_alive
            config.timeout_notify = manager.watchdog / 3  # type: ignore[assignment]  # uvicorn only compares it

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            if self._reload is not None:
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup, self._reload)
            self._manager.ready("Serving")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's signature
        """The first signal starts the drain, a second one ends it."""
        self._captured_signals.append(sig)
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests during the delay; stop accepting; let running requests finish; end those left in-band;
        close."""
        self._manager.stopping(self._drain.total)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        state, self._readiness.draining = self.server_state, True
        self._tell(names.EVENT_STOPPING, stopping_message(len(state.tasks), self._drain.delay, self._drain.timeout))
        self._phase.closing_connections = True
        await self._wait_until(lambda: self.force_exit, self._drain.delay)
        if self._drain.handover == "reuse_port":
            for sock in sockets or []:
                pass_connections_on(sock)
            await self._wait_until(lambda: self.force_exit, HANDOVER_TIME)
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        if self._drain.handover == "same_socket":
            await self._wait_until(lambda: self.force_exit, HANDOVER_TIME)
        self._phase.rejecting = True
        await self._wait_until(lambda: self.force_exit or not state.tasks, self._drain.timeout)
        await self._end_requests()
        for connection in list(state.connections):
            connection.shutdown()
        await self._wait_until(lambda: not state.connections, CLOSE_TIMEOUT)
        for connection in list(state.connections):
            connection.transport.abort()
        if self._reload_task is not None:
            await asyncio.wait([self._reload_task], timeout=CLOSE_TIMEOUT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STORES_TIMEOUT):
                await self.lifespan.shutdown()
        self._tell(names.EVENT_STOPPED)
        if self.on_shut_down is not None:
            self.on_shut_down()

    def _tell(self, event: str, message: str | None = None) -> None:
        if self._people is not None:
            self._people.info(event, message=message)

    async def _end_requests(self) -> None:
        """Have the requests that still run send their clients an in-band error. One that cannot is cut off."""
        tasks = set(self.server_state.tasks)
        if tasks:
            self._tell(names.EVENT_STOPPING, ending_message(len(tasks)))
        self._readiness.ending = True
        for _ in range(2):
            for task in tasks:
                task.cancel()
            if tasks:
                _, tasks = await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT)
            self._readiness.ending = False

    async def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not condition() and loop.time() < deadline:  # noqa: ASYNC110 - a signal handler may not touch the loop
            await asyncio.sleep(min(0.05, seconds))

    def _on_hangup(self, reload: Callable[[], Awaitable[None]]) -> None:
        """One reload at a time; a signal during one starts another after it."""
        self._reload_task = asyncio.create_task(self._reload_after(self._reload_task, reload))

    async def _reload_after(self, before: asyncio.Task[None] | None, reload: Callable[[], Awaitable[None]]) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._manager.reloading(time.monotonic())
        await reload()
        self._manager.ready("Serving")


def run(
    server: uvicorn.Server, sock: socket.socket, announce: Callable[[], None], log: Logger | None = None
) -> NoReturn:
    """Serve until SIGINT or SIGTERM, also one that comes before it serves; then exit with code 0, or with 1 if the
    application could not start, or the process does not end by itself.

    :param announce: tells people where it listens. :param log: gets what does not end; None: it has all the time.
    """
    # They set a flag. An exception would be ignored where Python happens to run a finalizer, and the signal be lost.
    # uvicorn raises the signal again once it has shut down.
    signal.signal(signal.SIGTERM, server.handle_exit)
    signal.signal(signal.SIGINT, server.handle_exit)
    if log is not None and isinstance(server, GatewayServer):
        server.on_shut_down = partial(_end_in_time, log)
    announce()
    tune_for_serving()
    server.run(sockets=[sock])
    raise SystemExit(0 if server.started else 1)


def _end_in_time(log: Logger) -> None:
    """Exit, as a supervisor kills a worker, should this process not end: there is nothing left that is of use."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        time.sleep(END_TIMEOUT)
        running = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks(loop)]
        running += [thread.name for thread in threading.enumerate() if not thread.daemon]
        log.error(names.EVENT_STOPPED, message=f"does not exit: ended (still running: {', '.join(running)})")
        log.flush()
        os._exit(1)

    threading.Thread(target=end, name="modelmux-end", daemon=True).start()


@contextlib.contextmanager
def server_in_thread(app: Any, sock: socket.socket) -> Iterator[None]:
    """Serve a gateway on ``sock`` during the block, in a thread. Signals are left to the surrounding program."""
    server = _EmbeddedServer(gateway_config(app, drain_timeout=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_THREAD_TIMEOUT)


class _EmbeddedServer(uvicorn.Server):
    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Without uvicorn's signal handlers."""
        await self._serve(sockets)
