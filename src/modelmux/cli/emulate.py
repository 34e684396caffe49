"""``modelmux emulate``: run an offline Vertex AI for Claude."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NoReturn

import click
import uvicorn

from modelmux.cli.output import exit_with_error
from modelmux.emulator import BadScenario, EmulatorSettings, create_emulator, load_scenario
from modelmux.emulator.server import uvicorn_config
from modelmux.process.listen import ListenError, listen
from modelmux.process.server import run

EXAMPLE = """[vertex]
project = "any-project"
location = "global"
base_url = "{url}"

[auth]
access_token = "any-token"
"""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8787, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option(
    "--tokens-per-second",
    default=80.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Speed; 0 for no delay.",
)
@click.option("--scenario", type=click.Path(path_type=Path), help="TOML file with faults to inject.")
@click.option("--seed", default=0, show_default=True, help="Seed of ids and of random faults.")
@click.option("--require-token", is_flag=True, help="Accept only access tokens from the emulator's own token endpoint.")
@click.option("--requests-per-minute", type=click.IntRange(1), help="Quota of each bucket; unlimited by default.")
@click.option("--strict-betas", is_flag=True, help="Refuse values of anthropic-beta that the emulator does not know.")
@click.option(
    "--refuse-beta",
    "refused_betas",
    multiple=True,
    metavar="VALUE[@LOCATION]",
    help="Refuse this value of anthropic-beta; may be repeated.",
)
def emulate(
    host: str,
    port: int,
    tokens_per_second: float,
    scenario: Path | None,
    seed: int,
    require_token: bool,
    requests_per_minute: int | None,
    strict_betas: bool,
    refused_betas: tuple[str, ...],
) -> None:
    """Run an offline Vertex AI for Claude, with the real wire format, real errors, and faults on demand."""
    try:
        script = load_scenario(scenario) if scenario else None
    except BadScenario as error:
        exit_with_error([str(error)], "docs/emulator.md describes the format.")
    except OSError as error:
        exit_with_error([f"{scenario}: cannot be read: {error.strerror}"], "Pass an existing file with --scenario.")
    settings = EmulatorSettings(
        tokens_per_second=tokens_per_second,
        seed=seed,
        require_token=require_token,
        requests_per_minute=requests_per_minute,
        strict_betas=strict_betas,
        refused_betas=refused_betas,
        scenario=script,
    )
    try:
        sock = listen(host, port)
    except ListenError as error:
        exit_with_error([error.problem], error.hint)
    authority = f"[{host}]" if ":" in host else host
    url = f"http://{authority}:{sock.getsockname()[1]}"
    listens = f"The emulator listens on {url}. To use it, configure a gateway with:\n\n{EXAMPLE.format(url=url)}"
    _run(uvicorn.Server(uvicorn_config(create_emulator(settings))), sock, listens)


def _run(server: uvicorn.Server, sock: socket.socket, listens: str) -> NoReturn:
    try:
        run(server, sock, lambda: click.echo(listens, err=True))
    finally:
        if server.started:
            click.echo("stopped", err=True)
