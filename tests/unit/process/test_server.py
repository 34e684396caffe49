"""Risk: a process that was told to stop stays for ever, with what cannot be cancelled; or it gives up what it still
writes.
"""

from __future__ import annotations

import signal
import subprocess
import sys

_PROGRAM = """
import asyncio, socket
from modelmux.process import server
from modelmux.process.sd_notify import ServiceManager
from modelmux.server.health import Readiness
from modelmux.telemetry.log import Logger

async def stays():
    while not one.started:
        await asyncio.sleep(0.01)
    print("serves", flush=True)
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass

async def app(scope, receive, send):
    app.task = asyncio.create_task(stays())
    for name in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{name}.complete"})

class Out:
    def write(self, record, *, at_once=False):
        print(record.level, record.fields["message"], flush=True)

    def flush(self):
        pass

server.END_TIMEOUT = 0.2
sock = socket.create_server(("127.0.0.1", 0))
one = server.GatewayServer(
    server.gateway_config(app), ServiceManager(), None, Readiness(), server.DrainSettings(timeout=0)
)
server.run(one, sock, lambda: None, Logger(10, Out()))
"""


def test_a_process_with_what_cannot_be_cancelled_ends_and_says_what_it_was() -> None:
    with subprocess.Popen([sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "serves\n"
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=100)
        finally:
            process.kill()
    assert process.returncode == 1
    assert output.startswith("error does not exit: ended (still running: ")
    assert "stays" in output


_WRITES_LATE = """
import asyncio, signal, socket
from modelmux.process import server
from modelmux.process.sd_notify import ServiceManager
from modelmux.server.health import Readiness

async def stop():
    while not one.started:
        await asyncio.sleep(0.01)
    signal.raise_signal(signal.SIGTERM)

async def app(scope, receive, send):
    await receive()
    app.task = asyncio.create_task(stop())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.sleep(0.3)
    print("written", flush=True)
    await send({"type": "lifespan.shutdown.complete"})

server.CLOSE_TIMEOUT = 0.01
sock = socket.create_server(("127.0.0.1", 0))
one = server.GatewayServer(
    server.gateway_config(app), ServiceManager(), None, Readiness(), server.DrainSettings(timeout=0)
)
server.run(one, sock, lambda: None)
"""


def test_stores_get_longer_than_connections_to_close() -> None:
    run = subprocess.run([sys.executable, "-c", _WRITES_LATE], capture_output=True, text=True, timeout=100, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "written\n", "")
