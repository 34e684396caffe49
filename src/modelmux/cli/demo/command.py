"""``modelmux demo``: the emulator and the gateway in one process, a tour through real HTTP, then both keep serving."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator

import click
from rich.console import Console

from modelmux.app import create_app
from modelmux.cli.demo.tour import MODEL, Tour
from modelmux.cli.output import fail
from modelmux.config import Config
from modelmux.emulator import EmulatorSettings, RunningEmulator
from modelmux.process.listen import ListenError, listen
from modelmux.process.server import EmbeddedServer, gateway_config
from modelmux.telemetry.log import make_log

_PORT = 3000


@click.command()
@click.option("--once", is_flag=True, help="End after the tour instead of serving on.")
@click.option("--port", default=_PORT, show_default=True, type=click.IntRange(0, 65535), help="Port of the gateway.")
def demo(once: bool, port: int) -> None:
    """Show everything working, offline, without a Google account."""
    console = Console(highlight=False)
    sock = _listen(port, console)
    try:
        passed = asyncio.run(_demo(sock, console, once=once))
    except KeyboardInterrupt:
        passed = True
    if not passed:
        fail(["the tour did not go as it should"], "The messages above say where; please report it.")


def _listen(port: int, console: Console) -> socket.socket:
    """A socket on ``port``, or on a free port if another program has it: the demo should not fail because of that."""
    try:
        return listen("127.0.0.1", port)
    except ListenError as error:
        console.print(f"[yellow]{error.problem}; using a free port instead.[/yellow]")
        return listen("127.0.0.1", 0)


async def _demo(sock: socket.socket, console: Console, *, once: bool) -> bool:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    async with RunningEmulator(EmulatorSettings()) as emulator, _gateway(emulator.base_url, sock):
        base_url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
        tour = asyncio.ensure_future(Tour(console, base_url, emulator.app).run())  # awaited below, either way
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({tour, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            tour.cancel()
            await asyncio.wait({tour})
            return True
        passed = tour.result()
        if passed and not once:
            _invite(console, base_url)
            await stopped
        stopped.cancel()
        await asyncio.wait({stopped})
        return passed


@contextlib.asynccontextmanager
async def _gateway(upstream_url: str, sock: socket.socket) -> AsyncIterator[None]:
    """The gateway, served from this process on ``sock``."""
    config = Config.from_dict(
        {
            "vertex": {"project": "demo-project", "location": "global", "base_url": upstream_url},
            "auth": {"access_token": "demo-token"},
        }
    )
    app = create_app(config, log=make_log("error", "console"))
    server = EmbeddedServer(gateway_config(app, drain_timeout=1))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(sockets=[sock]))
        try:
            yield
        finally:
            server.should_exit = True


def _invite(console: Console, base_url: str) -> None:
    """What a newcomer can paste right now."""
    console.rule("[bold]It goes on serving[/bold]")
    console.print(f"OpenAI base URL  [bold]{base_url}[/bold]   (any API key; nothing leaves this machine)\n")
    console.print("curl:", style="bold")
    body = f'{{"model":"{MODEL}","max_tokens":200,"messages":[{{"role":"user","content":"Hello!"}}]}}'
    line = f"curl {base_url}/chat/completions -H 'content-type: application/json' -d '{body}'"
    console.print(line, soft_wrap=True, markup=False)
    console.print("\nPython, with the openai package:", style="bold")
    ask = f'model="{MODEL}", messages=[{{"role": "user", "content": "Hello!"}}]'
    for line in (
        "from openai import OpenAI",
        f'client = OpenAI(base_url="{base_url}", api_key="demo")',
        f"print(client.chat.completions.create({ask}).choices[0].message.content)",
    ):
        console.print(line, soft_wrap=True, markup=False)
    console.print("\nCtrl-C ends it.", style="dim")
