"""``modelmux reload``: reload the configuration of a running gateway."""

from __future__ import annotations

import os
import signal
import time
from typing import Final

import click

from modelmux.cli.output import exit_with_error
from modelmux.process.status_file import GatewayStatus, running_gateways

#: Seconds a gateway may take to reload.
TIMEOUT: Final = 10.0


@click.command()
@click.option("--port", type=int, help="Select the gateway that listens on this port, if several are running.")
@click.option("--pid", type=int, help="Select the gateway with this process id.")
def reload(port: int | None, pid: int | None) -> None:
    """Reload the configuration of the running gateway."""
    before = _find(port, pid)
    try:
        os.kill(before.pid, signal.SIGHUP)
    except PermissionError:
        exit_with_error(
            [f"the gateway on port {before.port} (process {before.pid}) belongs to another user"],
            "Run this as that user or as root: sudo modelmux reload.",
        )
    after = _wait(before)
    for advisory in after.advisories:
        click.echo(f"note: {advisory}", err=True)
    if after.problems:
        exit_with_error(after.problems, "The gateway keeps its previous configuration.")
    click.echo(f"reloaded: {after.url} uses the new configuration")


def _find(port: int | None, pid: int | None) -> GatewayStatus:
    gateways = [s for s in running_gateways(os.environ) if port in (None, s.port) and pid in (None, s.pid)]
    if not gateways:
        where = f" on port {port}" if port is not None else f" as process {pid}" if pid is not None else ""
        exit_with_error([f"no gateway of this user or of the system is running{where}"], "`modelmux serve` starts one.")
    if len(gateways) > 1:
        exit_with_error(
            [f"{len(gateways)} gateways are running, on ports {', '.join(str(s.port) for s in gateways)}"],
            "Select one with --port.",
        )
    return gateways[0]


def _wait(before: GatewayStatus) -> GatewayStatus:
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        now = next((s for s in running_gateways(os.environ) if s.pid == before.pid), None)
        if now is not None and now.generation > before.generation:
            return now
        time.sleep(0.02)
    exit_with_error(
        [f"the gateway (process {before.pid}) did not reload within {TIMEOUT:g} s"],
        "Its log may show why: modelmux logs.",
    )
