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
from modelmux.accounts.live_requests import LiveAnswer, LiveQuestion
from modelmux.accounts.sign_ins import OWNER
from modelmux.admin.backend import Answers, WorkerState
from modelmux.admin.listener import AdminListener
from modelmux.admin.open_backend import open_backend, open_stores
from modelmux.app import Gateway
from modelmux.config import Config
from modelmux.gateway.live_requests import LiveRequests
from modelmux.gateway.metering.metering import static_keys
from modelmux.process.admin_app import serve_admin
from modelmux.process.server import server_in_thread
from modelmux.runtime import Runtime
from modelmux.server.refused import RefusedRequests
from modelmux.telemetry.counted import Counted, counted
from modelmux.telemetry.log import Log
from modelmux.telemetry.worker_metrics import MetricValues
from modelmux.wire.http import Origin

#: Seconds that a write waits for the gateway, and between two looks.
_LONGEST_WAIT: Final = 1.0
_LOOK: Final = 0.01


@contextlib.contextmanager
def serve_dashboard(app: Gateway, config: Config, sock: socket.socket, log: Log, url: str) -> Iterator[str]:
    """Serve it during the block; yields a sign-in link of the owner. :param url: of the gateway."""
    runtime, started = Runtime(), time.time()
    store, ledger = open_stores(config, log)
    feed = app.directory
    assert feed is not None, "accounts are on"
    assert ledger is not None

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
            index=1, pid=os.getpid(), started=started, in_flight=in_flight, directory_version=version,
            deployments=tuple(app.metrics.read_deployments(time.time())),
        )]  # fmt: skip

    def counts() -> Counted:
        values = app.metrics.values()  # which another thread changes: each dict is copied before it is read
        numbers = [{name: dict(one) for name, one in kind.items()} for kind in (values.counters, values.gauges)]
        histograms = {name: dict(one) for name, one in values.histograms.items()}
        return counted(MetricValues(numbers[0], histograms, numbers[1]), app.metrics.bounds)

    live = LiveRequests(app.running, 1, runtime.new_id(8), static_keys(config), app.refused.redact)

    async def ask_workers(question: LiveQuestion, worker: int | None = None) -> Answers:
        """In the thread of the gateway, which has no event loop of its own to ask while nothing runs."""
        loop = app.running.loop

        async def answer() -> LiveAnswer:
            return live.answer(question)

        if loop is None or worker not in (None, 1):
            return Answers({}, ())
        return Answers({1: await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answer(), loop))}, ())

    async def close() -> None:
        await store.aclose()
        await ledger.aclose()

    refused = RefusedRequests(log, runtime.clock)
    listener = AdminListener("127.0.0.1", _nothing, close, refused)
    backend = open_backend(
        config, store, ledger, os.environ, runtime, await_workers, workers, ask_workers, counted=counts
    )
    sessions = serve_admin(listener, config, backend, directory, log, refused, runtime, Origin.parse(url))
    with server_in_thread(listener, sock):
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/dashboard/sign-in?token={sessions.new_link(OWNER)}"


async def _nothing() -> None:
    pass
