"""``modelmux reload``: let a running gateway read its configuration again."""

from __future__ import annotations

import os
import signal
import time
from typing import Final

import click

from modelmux.cli.output import exit_with_error
from modelmux.process.status_file import GatewayStatus, running_gateways

#: Seconds a gateway may take to read its configuration.
PATIENCE: Final = 10.0


@click.command()
@click.option("--port", type=int, help="Which gateway, where several run: the one that listens on this port.")
@click.option("--pid", type=int, help="The same by its process number.")
def reload(port: int | None, pid: int | None) -> None:
    """Let the running gateway read its configuration again."""
    before = _find(port, pid)
    try:
        os.kill(before.pid, signal.SIGHUP)
    except PermissionError:
        exit_with_error([f"the gateway on port {before.port} (process {before.pid}) belongs to another user"],
             "Run this as that user or as root: sudo modelmux reload.")  # fmt: skip
    after = _outcome(before)
    for note in after.advisories:
        click.echo(f"note: {note}", err=True)
    if after.problems:
        exit_with_error(after.problems, "The gateway goes on with the configuration it had.")
    click.echo(f"reloaded: {after.url} serves by the new configuration")


def _find(port: int | None, pid: int | None) -> GatewayStatus:
    found = [s for s in running_gateways(os.environ) if port in (None, s.port) and pid in (None, s.pid)]
    if not found:
        where = f" on port {port}" if port is not None else f" as process {pid}" if pid is not None else ""
        exit_with_error([f"no gateway of this user or of the system runs{where}"], "`modelmux serve` starts one.")
    if len(found) > 1:
        exit_with_error(
            [f"{len(found)} gateways run, on ports {', '.join(str(s.port) for s in found)}"], "Name one with --port."
        )
    return found[0]


def _outcome(before: GatewayStatus) -> GatewayStatus:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        now = next((s for s in running_gateways(os.environ) if s.pid == before.pid), None)
        if now is not None and now.generation > before.generation:
            return now
        time.sleep(0.02)
    exit_with_error([f"the gateway (process {before.pid}) did not answer within {PATIENCE:g} s"],
         "Look into its log: modelmux logs.")  # fmt: skip
