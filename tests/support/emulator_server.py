"""Running an emulator in a test: in its event loop or, for synchronous clients, in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from modelmux.emulator import Emulator, EmulatorSettings, RunningEmulator, create_emulator, uvicorn_config
from modelmux.emulator.server import listen

#: Replies at once.
AT_ONCE = EmulatorSettings(tokens_per_second=0)


def running(settings: EmulatorSettings = AT_ONCE, **options: Any) -> RunningEmulator:
    """An emulator for ``async with``, with ``.base_url`` and ``.app.requests()``."""
    return RunningEmulator(app=create_emulator(settings, **options))


class ThreadedEmulator:
    """An emulator in a thread of its own, for synchronous clients."""

    def __init__(self, app: Emulator, port: int) -> None:
        self.app = app
        self.base_url = f"http://127.0.0.1:{port}"


@contextmanager
def threaded(
    settings: EmulatorSettings = AT_ONCE, *, clock: Callable[[], float] | None = None
) -> Iterator[ThreadedEmulator]:
    """Serve an emulator from a thread for the duration of a ``with``."""
    app = create_emulator(settings) if clock is None else create_emulator(settings, clock=clock)
    server = uvicorn.Server(uvicorn_config(app))
    sock = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the emulator ended while starting"
            threading.Event().wait(0.002)
        yield ThreadedEmulator(app, sock.getsockname()[1])
    finally:
        server.should_exit = server.force_exit = True
        thread.join(5)
        sock.close()
    assert not thread.is_alive()


async def until(condition: Callable[[], bool], seconds: float = 100.0) -> None:
    """Wait for what the emulator notices later than the client, such as a disconnect."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
