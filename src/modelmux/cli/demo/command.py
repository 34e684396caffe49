"""``modelmux demo``: the emulator and the gateway in one process, a tour over real HTTP, then both keep serving."""

from __future__ import annotations

import asyncio
import signal
import socket

import click
from rich.console import Console

from modelmux.app import create_app
from modelmux.cli.demo.tour import MODEL, DemoTour
from modelmux.cli.output import exit_with_error
from modelmux.config import Config
from modelmux.emulator import EmulatorSettings, RunningEmulator
from modelmux.process.listen import ListenError, listen
from modelmux.process.server import server_in_thread
from modelmux.process.user_signals import handle_user_signals
from modelmux.telemetry.log import make_log

_PORT = 3000


@click.command()
@click.option("--once", is_flag=True, help="Exit after the tour instead of serving.")
@click.option("--port", default=_PORT, show_default=True, type=click.IntRange(0, 65535), help="Port of the gateway.")
def demo(once: bool, port: int) -> None:
    """Show what the gateway does, offline, without a Google account."""
    console = Console(highlight=False)
    handle_user_signals(lambda: None)
    sock = _listen(port, console)
    try:
        passed = asyncio.run(_demo(sock, console, once=once))
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


async def _demo(sock: socket.socket, console: Console, *, once: bool) -> bool:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    async with RunningEmulator(EmulatorSettings()) as emulator:
        app = create_app(_config(emulator.base_url), log=make_log("error", "console", in_background=True))
        with server_in_thread(app, sock):
            url = f"http://127.0.0.1:{sock.getsockname()[1]}"
            return await _tour(DemoTour(console, url, emulator.app), stop, console, url, once=once)


async def _tour(tour: DemoTour, stop: asyncio.Event, console: Console, url: str, *, once: bool) -> bool:
    running = asyncio.ensure_future(tour.run())  # awaited below, either way
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        running.cancel()
        await asyncio.wait({running})
        return True
    passed = running.result()
    if passed and not once:
        _print_examples(console, url)
        await stopped
    stopped.cancel()
    await asyncio.wait({stopped})
    return passed


def _config(upstream_url: str) -> Config:
    return Config.from_dict(
        {
            "vertex": {"project": "demo-project", "location": "global", "base_url": upstream_url},
            "auth": {"access_token": "demo-token"},
        }
    )


def _print_examples(console: Console, url: str) -> None:
    """What a newcomer can paste right now."""
    base_url = f"{url}/v1"
    console.rule("[bold]The gateway keeps serving[/bold]")
    console.print(f"OpenAI base URL     [bold]{base_url}[/bold]   for Chat Completions and Responses")
    console.print(f"Anthropic base URL  [bold]{url}[/bold]      for Messages")
    console.print("Any API key will do; nothing leaves this machine.\n")
    console.print("curl:", style="bold")
    body = f'{{"model":"{MODEL}","max_tokens":200,"messages":[{{"role":"user","content":"Hello!"}}]}}'
    line = f"curl {base_url}/chat/completions -H 'content-type: application/json' -d '{body}'"
    console.print(line, soft_wrap=True, markup=False)
    console.print("\nPython, with the openai package:", style="bold")
    arguments = f'model="{MODEL}", messages=[{{"role": "user", "content": "Hello!"}}]'
    for line in (
        "from openai import OpenAI",
        f'client = OpenAI(base_url="{base_url}", api_key="demo")',
        f"print(client.chat.completions.create({arguments}).choices[0].message.content)",
        f'print(client.responses.create(model="{MODEL}", input="Hello!").output_text)',
    ):
        console.print(line, soft_wrap=True, markup=False)
    console.print("\nClaude Code; `modelmux connect` has the settings of more clients:", style="bold")
    console.print(f"ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN=demo claude", soft_wrap=True, markup=False)
    console.print("\nPress Ctrl-C to stop.", style="dim")
