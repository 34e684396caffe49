"""Risk: a busy process is restarted, or one that cannot serve or is about to stop gets traffic."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from support.asgi import request
from support.clock import loop_time
from support.fakes import FakeReply, FakeUpstream
from support.gateway import PATH, ask, gateway
from support.processes import Process, free_port
from support.security import ROOT


async def test_g47_readiness_follows_what_can_be_served() -> None:
    app = gateway(FakeUpstream([]))
    assert (await request(app, "GET", "/readyz")).status == 200
    app.readiness.problem = "credentials"
    assert (await request(app, "GET", "/readyz")).json() == {"status": "not ready", "reason": "credentials"}
    assert (await request(app, "GET", "/livez")).status == 200
    app.readiness.problem = None
    assert (await request(app, "GET", "/readyz")).status == 200


class StuckReply(FakeReply):
    """A reply that never comes."""

    async def read(self, limit: int) -> bytes:
        await asyncio.Event().wait()
        return b""


@pytest.mark.virtual_time
async def test_g49_health_answers_while_all_requests_wait() -> None:
    app = gateway(FakeUpstream([StuckReply(200, [(b"content-type", b"application/json")], []) for _ in range(200)]))
    disconnected = asyncio.Event()
    waiting = [asyncio.create_task(request(app, "POST", PATH, ask(), disconnect=disconnected)) for _ in range(200)]
    await asyncio.sleep(0.05)
    began = loop_time()
    for path in ("/livez", "/readyz", "/health"):
        assert (await request(app, "GET", path)).status in (200, 503)
    assert loop_time() == began
    disconnected.set()
    await asyncio.gather(*waiting)


def test_g49_shipped_probes_have_a_timeout_of_five_seconds() -> None:
    dockerfile = (ROOT / "packaging" / "docker" / "Dockerfile").read_text("utf-8")
    timeouts = re.findall(r"HEALTHCHECK.*--timeout=(\d+)s", dockerfile)
    assert timeouts
    assert all(int(seconds) >= 5 for seconds in timeouts)


async def test_g50_a_draining_process_is_not_ready() -> None:
    app = gateway(FakeUpstream([]))
    app.readiness.draining = True
    assert (await request(app, "GET", "/readyz")).status == 503


def test_g50_g51_shutdown_is_bounded_with_an_idle_client(tmp_path: Path) -> None:
    import signal
    import socket

    port = free_port()
    (tmp_path / "config.toml").write_text(
        f'[server]\nport = {port}\ndrain_timeout = "2s"\n[vertex]\nproject = "p"\nlocation = "global"\n'
        'base_url = "http://127.0.0.1:9"\n[auth]\naccess_token = "ya29.token"\n'
    )
    process = Process(tmp_path / "log", "serve", "--config", str(tmp_path / "config.toml"), port=port)
    try:
        process.wait_ready()
        with socket.create_connection(("127.0.0.1", port)) as idle:  # a client that holds its connection
            idle.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert idle.recv(4096).startswith(b"HTTP/1.1 200")
            process.signal(signal.SIGTERM)
            assert process.wait(100) == 0
    finally:
        process.stop()
