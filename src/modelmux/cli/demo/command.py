"""``modelmux demo``: the emulator and the gateway in one process, a tour over real HTTP, then both keep serving."""

from __future__ import annotations

import asyncio
import signal
import socket
import tempfile

import click
from rich.console import Console

from modelmux.app import create_app
from modelmux.cli.demo.dashboard import serve_dashboard
from modelmux.cli.demo.next_steps import print_next_steps
from modelmux.cli.demo.program import find_program
from modelmux.cli.demo.tour import DemoTour
from modelmux.cli.output import exit_with_error
from modelmux.config import Config
from modelmux.emulator import EmulatorSettings, RunningEmulator
from modelmux.process.listen import ListenError, listen
from modelmux.process.server import server_in_thread
from modelmux.process.user_signals import handle_user_signals
from modelmux.telemetry.log import make_log

_PORT = 3000


class _Console(Console):
    """A reader that leaves ends the task that prints, and so the command. Rich's SystemExit ends the loop at once."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


@click.command()
@click.option("--once", is_flag=True, help="Exit after the tour instead of serving.")
@click.option("--verbose", is_flag=True, help="Show each request and response whole, from both sides of the gateway.")
@click.option("--port", default=_PORT, show_default=True, type=click.IntRange(0, 65535), help="Port of the gateway.")
def demo(once: bool, verbose: bool, port: int) -> None:
    """Show what the gateway does, offline, without a Google account."""
    console = _Console(highlight=False)
    handle_user_signals(lambda: None)
    sock = _listen(port, console)
    try:
        passed = asyncio.run(_demo(sock, console, once=once, verbose=verbose))
    except KeyboardInterrupt:
        passed = True
    if not passed:
        exit_with_error(["the tour failed"], "The messages above show where; please report it.")


def _listen(port: int, console: Console) -> socket.socket:
    """A socket on ``port``, or on a free port if another program has it: the demo should not fail because of that."""
    try:
        return listen("127.0.0.1", port)
    except ListenError as error:
        console.print(f"[yellow]{error.problem}; using a free port instead.[/yellow]")
        return listen("127.0.0.1", 0)


async def _demo(sock: socket.socket, console: Console, *, once: bool, verbose: bool) -> bool:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    log = make_log("error", "console", in_background=True)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    async with RunningEmulator(EmulatorSettings()) as emulator:
        with tempfile.TemporaryDirectory(prefix="modelmux-demo-") as folder:
            config = _config(emulator.base_url, url, folder)
            app = create_app(config, log=log)
            with server_in_thread(app, sock), serve_dashboard(app, config, listen("127.0.0.1", 0), log, url) as link:
                tour = DemoTour(console, url, emulator.app, verbose=verbose)
                passed = await _tour(tour, stop, console, (url, link), once=once)
    if stop.is_set():
        console.print("stopped")
    return passed


async def _tour(
    tour: DemoTour, stop: asyncio.Event, console: Console, addresses: tuple[str, str], *, once: bool
) -> bool:
    """:param addresses: of the gateway, and the link to its dashboard."""
    running = asyncio.ensure_future(tour.run())  # awaited below, either way
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        running.cancel()
        await asyncio.wait({running})
        return True
    passed = running.result()
    if passed and not once:
        print_next_steps(console, *addresses, find_program())
        await stopped
    stopped.cancel()
    await asyncio.wait({stopped})
    return passed


def _config(upstream_url: str, url: str, folder: str) -> Config:
    """With accounts, for the dashboard: without a key in them, a gateway on loopback asks for none."""
    return Config.from_dict(
        {
            "server": {"state_dir": folder},
            "accounts": {"enabled": True, "store": f"sqlite:{folder}/accounts.db"},
            "admin": {"gateway_url": url},
            "vertex": {"project": "demo-project", "location": "global", "base_url": upstream_url},
            "auth": {"access_token": "demo-token"},
        }
    )
