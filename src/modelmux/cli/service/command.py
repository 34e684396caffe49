"""``modelmux service``: run the gateway as a service of systemd or launchd."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click

from modelmux.cli.output import exit_with_error
from modelmux.cli.service.managers import ServicePlan, launchd, systemd_system, systemd_user
from modelmux.process.status_file import running_gateways

_system = click.option("--system/--user", "system", default=None,
                       help="A service of the machine or of the user; of the machine for root.")  # fmt: skip


@click.group()
def service() -> None:
    """Run the gateway as a service of systemd or launchd."""


@service.command()
@_system
@click.option("--dry-run", is_flag=True, help="Show the file and the commands, and change nothing.")
@click.option("--no-start", is_flag=True, help="Write the file, and start nothing.")
@click.option("--force", is_flag=True, help="Replace a service file that differs.")
def install(system: bool | None, dry_run: bool, no_start: bool, force: bool) -> None:
    """Install the service, start it, and start it at every boot or login."""
    plan = _plan(system)
    if dry_run:
        click.echo(f"# {plan.file}\n{plan.content.decode()}")
        for command in [*(make for _, make in plan.before), *plan.start]:
            click.echo(f"$ {shlex.join(command)}")
        return
    if plan.file.exists() and plan.file.read_bytes() != plan.content and not force:
        exit_with_error([f"{plan.file} exists and differs from what would be written"],
             "Compare with `modelmux service install --dry-run`; --force replaces it.")  # fmt: skip
    for check, make in plan.before:
        if _runs(check) is not None:
            _do(make)
    _write(plan)
    click.echo(f"wrote {plan.file}")
    if not no_start:
        for command in plan.start:
            _do(command)
        click.echo(f"started as a service of {plan.manager}")
    for note in plan.notes:
        click.echo(note)


@service.command()
@_system
@click.option("--dry-run", is_flag=True, help="Show what would be done.")
def uninstall(system: bool | None, dry_run: bool) -> None:
    """Stop the service and remove its file. Configuration and logs stay."""
    plan = _plan(system)
    if not plan.file.exists():
        exit_with_error(
            [f"no service is installed: there is no {plan.file}"], "`modelmux service install` installs one."
        )
    if dry_run:
        for command in [*plan.stop, ["rm", str(plan.file)], *plan.forget]:
            click.echo(f"$ {shlex.join(command)}")
        return
    for command in plan.stop:
        problem = _runs(command)
        if problem is not None:  # not running, perhaps: its file goes all the same
            click.echo(f"note: {shlex.join(command)}: {problem}", err=True)
    try:
        plan.file.unlink()
    except OSError as error:
        exit_with_error(
            [f"{plan.file} cannot be removed: {error.strerror}"], "For a service of the machine, run this as root."
        )
    for command in plan.forget:
        _do(command)
    click.echo(f"removed {plan.file}")


@service.command()
@_system
def status(system: bool | None) -> None:
    """Say whether the service is installed and which gateways run."""
    plan = _plan(system)
    gateways = list(running_gateways(os.environ))
    for gateway in gateways:
        click.echo(f"running: {gateway.url} (process {gateway.pid})")
    if not gateways:
        click.echo("running: no gateway")
    if not plan.file.exists():
        click.echo(f"installed: no ({plan.file})")
        raise SystemExit(0 if gateways else 1)
    click.echo(f"installed: {plan.file}")
    if shutil.which(plan.status[0]) is None:
        raise SystemExit(0 if gateways else 1)
    raise SystemExit(subprocess.run(plan.status, check=False).returncode)  # noqa: S603 - a command of ours


def _plan(system: bool | None) -> ServicePlan:
    if sys.platform == "darwin":
        if system:
            exit_with_error(
                ["services of the machine are not supported on macOS"], "Install one for your user: --user."
            )
        return launchd(_program(), os.environ, os.getuid())
    if sys.platform.startswith("linux"):
        machine = os.geteuid() == 0 if system is None else system
        return systemd_system(_program()) if machine else systemd_user(_program(), os.environ)
    exit_with_error([f"no service manager of {sys.platform} is supported"], "Start `modelmux serve` by your own means.")


def _program() -> list[str]:
    """How this very installation is called."""
    own = Path(sys.executable).with_name("modelmux")
    found = str(own) if own.exists() else shutil.which("modelmux")
    return [found] if found else [sys.executable, "-m", "modelmux"]


def _write(plan: ServicePlan) -> None:
    try:
        plan.file.parent.mkdir(parents=True, exist_ok=True)
        plan.file.write_bytes(plan.content)
        plan.file.chmod(0o644)
    except OSError as error:
        exit_with_error([f"{plan.file} cannot be written: {error.strerror}"],
             "For a service of the machine, run this as root; for your own, add --user.")  # fmt: skip


def _runs(command: list[str]) -> str | None:
    """What went wrong with a command, in its own words; None if nothing did."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a command of ours
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    return None if done.returncode == 0 else (done.stderr.strip() or f"exit code {done.returncode}")


def _do(command: list[str]) -> None:
    problem = _runs(command)
    if problem is not None:
        exit_with_error(
            [f"{shlex.join(command)}: {problem}"], "The service file is in place; once this works, run it again."
        )
