"""Running ASGI applications with uvicorn, for the commands that serve."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, NoReturn

import uvicorn

from modelmux.cli.output import fail
from modelmux.process.memory import settle_for_serving
from modelmux.process.sd_notify import ServiceManager
from modelmux.server.health import Readiness
from modelmux.server.http.connection import HttpConnection
from modelmux.server.http.limits import Phase

#: Seconds that running requests get to finish after the first Ctrl-C or SIGTERM; a second one ends at once.
DRAIN_SECONDS: Final = 30
#: Seconds for telling clients that it is over, and for each step of closing after that.
END_SECONDS: Final = 1.0
_BACKLOG: Final = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, or an end with a message that says what to do."""
    return listen_many(host, port, 1)[0]


def listen_many(host: str, port: int, count: int, *, platform: str = sys.platform) -> list[socket.socket]:
    """Listening sockets for ``count`` processes, or an end with a message that says what to do.

    Linux spreads connections evenly over sockets of one address (SO_REUSEPORT); elsewhere it is the same socket
    ``count`` times.
    """
    first, others = _socket(host), list[socket.socket]()
    try:
        # Without SO_REUSEPORT, so that the address of another gateway is refused instead of shared with it.
        first.bind((host.strip("[]"), port))
        others = _beside(first, count - 1) if count > 1 and platform == "linux" else []
        for sock in (first, *others):
            sock.listen(_BACKLOG)
    except OSError as error:
        for sock in (first, *others):
            sock.close()
        _cannot_listen(error, host, port)
    return [first, *others] if others else [first] * count


def _socket(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only on sockets that say they are TCP: without it, a
    # response in two writes waits 40 ms for the client's delayed acknowledgement.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    return sock


def _beside(first: socket.socket, count: int) -> list[socket.socket]:
    """Further sockets of the address of one that is bound already; none where the kernel has no such thing."""
    others: list[socket.socket] = []
    try:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for _ in range(count):
            others.append(_socket(first.getsockname()[0]))
            others[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            others[-1].bind(first.getsockname())
    except OSError:
        for sock in others:
            sock.close()
        return []
    return others


def _cannot_listen(error: OSError, host: str, port: int) -> NoReturn:
    if error.errno == errno.EADDRINUSE:
        fail([f"port {port} on {host} is in use"],
             f"Stop what uses it (`ss -ltnp sport = :{port}` shows it) or choose another with --port.")  # fmt: skip
    if error.errno == errno.EACCES:
        fail([f"no permission to listen on port {port}"], "Choose a port above 1023 with --port.")
    fail([f"cannot listen on {host}:{port}: {error.strerror or error}"], "Check server.host and server.port.")


def gateway_config(app: Any, *, drain_seconds: int = DRAIN_SECONDS) -> uvicorn.Config:
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
        timeout_graceful_shutdown=drain_seconds,
    )


@dataclass(frozen=True, slots=True)
class Drain:
    """How a server goes down, in seconds.

    :param delay: it serves on, but says that it is about to leave.
    :param timeout: what runs then may finish; the rest is ended in-band.
    """

    delay: float = 0.0
    timeout: float = DRAIN_SECONDS

    @property
    def longest(self) -> float:
        """Seconds after which it is over, whatever clients and upstreams do."""
        return self.delay + self.timeout + 3 * END_SECONDS


class GatewayServer(uvicorn.Server):
    """uvicorn that goes down in steps, tells its service manager how it is, and reads the configuration again on
    SIGHUP.

    :param reload: reads it and puts it in place; must not raise. None: somebody else hears SIGHUP.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        manager: ServiceManager,
        reload: Callable[[], Awaitable[None]] | None,
        readiness: Readiness,
        drain: Drain,
    ) -> None:
        super().__init__(config)
        self._manager = manager
        self._reload = reload
        self._readiness = readiness
        self._drain = drain
        self._phase = Phase()
        self.server_state.phase = self._phase  # type: ignore[attr-defined]  # where our connections look for it
        self._reloading: asyncio.Task[None] | None = None
        if manager.watchdog is not None:
            config.callback_notify = manager.alive
            config.timeout_notify = manager.watchdog / 3  # type: ignore[assignment]  # uvicorn compares it, no more

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            if self._reload is not None:
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup, self._reload)
            self._manager.ready("Serving")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's signature
        """The first signal begins the drain, a second one ends it."""
        self._captured_signals.append(sig)
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on for the delay; stop accepting; let running requests finish; end the rest in-band; close."""
        self._manager.stopping(self._drain.longest)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        state, self._readiness.draining = self.server_state, True
        self._phase.leaving = True
        await self._until(lambda: self.force_exit, self._drain.delay)
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        self._phase.refusing = True
        await self._until(lambda: self.force_exit or not state.tasks, self._drain.timeout)
        await self._end_requests()
        for connection in list(state.connections):
            connection.shutdown()
        await self._until(lambda: not state.connections, END_SECONDS)
        for connection in list(state.connections):
            connection.transport.abort()
        if self._reloading is not None:
            await asyncio.wait([self._reloading], timeout=END_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self.lifespan.shutdown()

    async def _end_requests(self) -> None:
        """Have the requests that still run tell their clients that it is over. One that cannot is cut off."""
        tasks = set(self.server_state.tasks)
        self._readiness.ending = True
        for _ in range(2):
            for task in tasks:
                task.cancel()
            if tasks:
                _, tasks = await asyncio.wait(tasks, timeout=END_SECONDS)
            self._readiness.ending = False

    async def _until(self, over: Callable[[], bool], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not over() and loop.time() < end:  # noqa: ASYNC110 - a signal handler may not touch the loop
            await asyncio.sleep(min(0.05, seconds))

    def _on_hangup(self, reload: Callable[[], Awaitable[None]]) -> None:
        """One reload at a time; a signal during one asks for another after it."""
        self._reloading = asyncio.create_task(self._reload_after(self._reloading, reload))

    async def _reload_after(self, before: asyncio.Task[None] | None, reload: Callable[[], Awaitable[None]]) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._manager.reloading(time.monotonic())
        await reload()
        self._manager.ready("Serving")


def run(server: uvicorn.Server, sock: socket.socket) -> NoReturn:
    """Serve until SIGINT or SIGTERM; then end with exit code 0, or 1 if the application could not start."""
    settle_for_serving()
    # uvicorn raises the signal again once it has shut down: both mean a clean end here.
    signal.signal(signal.SIGTERM, _exit_cleanly)
    signal.signal(signal.SIGINT, _exit_cleanly)
    server.run(sockets=[sock])
    raise SystemExit(0 if server.started else 1)


class InProcessServer(uvicorn.Server):
    """uvicorn without its signal handlers: the surrounding program owns them."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await self._serve(sockets)


def _exit_cleanly(signum: int, frame: object) -> NoReturn:  # noqa: ARG001 - a signal handler's signature
    raise SystemExit(0)
