"""Running ASGI applications with uvicorn, for the commands that serve."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn

import uvicorn

from modelmux.cli.notify import ServiceManager
from modelmux.cli.output import fail
from modelmux.server.http_connection import HttpConnection

#: Seconds that running requests get to finish after the first Ctrl-C or SIGTERM; a second one ends at once.
DRAIN_SECONDS: Final = 30
_BACKLOG: Final = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, or an end with a message that says what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only on sockets that say they are TCP: without it, a
    # response in two writes waits 40 ms for the client's delayed acknowledgement.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host.strip("[]"), port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            fail([f"port {port} on {host} is in use"],
                 f"Stop what uses it (`ss -ltnp sport = :{port}` shows it) or choose another with --port.")  # fmt: skip
        if error.errno == errno.EACCES:
            fail([f"no permission to listen on port {port}"], "Choose a port above 1023 with --port.")
        fail([f"cannot listen on {host}:{port}: {error.strerror or error}"], "Check server.host and server.port.")
    sock.setblocking(False)
    return sock


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


class GatewayServer(uvicorn.Server):
    """uvicorn that tells its service manager how it is, and reads the configuration again on SIGHUP.

    :param reload: reads it and puts it in place; must not raise.
    """

    def __init__(self, config: uvicorn.Config, manager: ServiceManager, reload: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._manager = manager
        self._reload = reload
        self._reloading: asyncio.Task[None] | None = None
        if manager.watchdog is not None:
            config.callback_notify = manager.alive
            config.timeout_notify = manager.watchdog / 3  # type: ignore[assignment]  # uvicorn compares it, no more

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_hangup)
            self._manager.ready("Serving")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._manager.stopping()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        if self._reloading is not None:
            await asyncio.wait([self._reloading])
        await super().shutdown(sockets)

    def _on_hangup(self) -> None:
        """One reload at a time; a signal during one asks for another after it."""
        self._reloading = asyncio.create_task(self._reload_after(self._reloading))

    async def _reload_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._manager.reloading(time.monotonic())
        await self._reload()
        self._manager.ready("Serving")


def run(server: uvicorn.Server, sock: socket.socket) -> NoReturn:
    """Serve until SIGINT or SIGTERM; then end with exit code 0, or 1 if the application could not start."""
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
