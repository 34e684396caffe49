"""Serving an emulator: on a port until interrupted, or inside a running event loop for tests and demos."""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType
from typing import Any, Self

import uvicorn
from uvicorn.server import ServerState

from modelmux.emulator.app import Emulator, create_emulator
from modelmux.emulator.connection import EmulatorProtocol
from modelmux.emulator.settings import EmulatorSettings


def uvicorn_config(app: Emulator, **options: Any) -> uvicorn.Config:
    """uvicorn's configuration for an emulator: ``EmulatorProtocol`` lets faults break connections."""
    return uvicorn.Config(
        app,
        http=EmulatorProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=1,
        # Longer than any client keeps an idle connection open, so it is always the client that closes one.
        timeout_keep_alive=620,
        **options,
    )


def serve(settings: EmulatorSettings, host: str = "127.0.0.1", port: int = 8787) -> None:
    """Serve until interrupted.

    :raises OSError: cannot listen on the address.
    """
    app = create_emulator(settings)
    server = uvicorn.Server(uvicorn_config(app))
    with listen(host, port) as sock:
        server.run(sockets=[sock])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 selects a free one.

    The gateway's server has a function of its own for this: the emulator imports ``wire`` and ``catalog`` only.

    :raises OSError: cannot listen on the address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets created with an explicit TCP protocol.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class RunningEmulator:
    """An emulator on a port of its own, in the running event loop, for the duration of an ``async with``.

    ``base_url`` is ``http://127.0.0.1:<port>``; ``app`` has ``requests()`` and ``reset()``. It uses uvicorn's protocol
    without uvicorn's main loop, so it installs no signal handlers and starts and stops immediately.
    """

    def __init__(
        self, settings: EmulatorSettings | None = None, *, app: Emulator | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.app = app or create_emulator(settings)
        self.port = 0
        self._host = host
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        config = uvicorn_config(self.app)
        config.load()
        sock = listen(self._host, 0)
        self.port = sock.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: EmulatorProtocol(config, self._state, {}), sock=sock)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the port and every connection; requests in progress end with their connections."""
        if self._server is not None:
            self._server.close()
        closing = []
        for protocol in list(self._state.connections):
            if isinstance(protocol, EmulatorProtocol):
                protocol.transport.abort()
                closing.append(protocol.connection.lost.wait())
        await asyncio.gather(*closing)
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
