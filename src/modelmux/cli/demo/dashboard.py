"""The dashboard of the demo: in this process, over accounts in a folder that is gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.sign_ins import OWNER
from modelmux.admin.backend import WorkerState
from modelmux.admin.listener import AdminListener
from modelmux.admin.open_backend import open_backend
from modelmux.app import Gateway
from modelmux.config import Config
from modelmux.process.admin_app import serve_admin
from modelmux.process.server import server_in_thread
from modelmux.runtime import Runtime
from modelmux.server.refused import RefusedRequests
from modelmux.store.directory.open_directory import open_directory
from modelmux.store.ledger.open_ledger import open_ledger
from modelmux.telemetry.log import Log

#: Seconds that a write waits for the gateway, and between two looks.
_LONGEST_WAIT: Final = 1.0
_LOOK: Final = 0.01


@contextlib.contextmanager
def serve_dashboard(app: Gateway, config: Config, sock: socket.socket, log: Log) -> Iterator[str]:
    """Serve it during the block; yields a sign-in link of the owner."""
    runtime, started = Runtime(), time.time()
    store, ledger = open_directory(config), open_ledger(config)
    feed = app.directory
    assert feed is not None, "accounts are on"

    def directory() -> Directory:
        return feed.current

    async def await_workers(version: int) -> int:
        deadline = runtime.clock() + _LONGEST_WAIT
        while directory().version < version and runtime.clock() < deadline:  # noqa: ASYNC110 - another thread
            await asyncio.sleep(_LOOK)
        return int(directory().version < version)

    def workers() -> list[WorkerState]:
        version, in_flight = directory().version, app.metrics.in_flight
        return [WorkerState(
            index=1, pid=os.getpid(), started=started, in_flight=in_flight, directory_version=version
        )]  # fmt: skip

    async def close() -> None:
        await store.aclose()
        await ledger.aclose()

    refused = RefusedRequests(log, runtime.clock)
    listener = AdminListener("127.0.0.1", _nothing, close, refused)
    backend = open_backend(config, store, ledger, os.environ, runtime, await_workers, workers)
    sessions = serve_admin(listener, config, backend, directory, log, refused, runtime)
    with server_in_thread(listener, sock):
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/dashboard/sign-in?token={sessions.new_link(OWNER)}"


async def _nothing() -> None:
    pass
