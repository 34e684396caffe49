"""``modelmux service``: run the gateway as a systemd or launchd service."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

import click

from modelmux.cli.lazy_group import CommandGroup
from modelmux.cli.output import exit_with_error, print_lines, warn
from modelmux.cli.service.checks import Checked, check_system, this_program
from modelmux.cli.service.managers import ServicePlan, launchd, systemd_system, systemd_user
from modelmux.config.load import SYSTEM_FILE
from modelmux.process.status_file import running_gateways

_system = click.option("--system/--user", "system", default=None,
                       help="System service or user service; by default a system service for root.")  # fmt: skip


@click.group(cls=CommandGroup)
def service() -> None:
    """Run the gateway as a systemd or launchd service."""


@service.command(short_help="Install the service and start it, now and at every boot or login.")
@_system
@click.option("--dry-run", is_flag=True, help="Print the file and the commands, and change nothing.")
@click.option("--no-start", is_flag=True, help="Write the file without starting the service.")
@click.option("--force", is_flag=True, help="Replace an existing file that differs.")
def install(system: bool | None, dry_run: bool, no_start: bool, force: bool) -> None:
    """Install the service, start it, and start it at every boot or login.

    A system service reads /etc/modelmux/config.toml (`modelmux config init --system`) and runs as the user modelmux.
    It is installed only if it could run: this program, the configuration and the credentials are within its reach.
    """
    plan = _plan(system)
    if dry_run:
        check = check_system(this_program(), SYSTEM_FILE, os.environ) if plan.is_system else Checked()
        click.echo(f"# {plan.file}\n{plan.content.decode()}")
        for command in [*(command for _, command in plan.before), *check.commands, *plan.start]:
            click.echo(f"$ {shlex.join(command)}")
        warn(f"this would stop here: {problem.message}" for problem in check.problems)
        return
    if plan.is_system and os.geteuid() != 0:
        exit_with_error(
            ["a system service is installed by root"], "Use sudo, or install a service of your own: --user."
        )
    if plan.file.exists() and plan.file.read_bytes() != plan.content and not force:
        exit_with_error(
            [f"{plan.file} exists and differs from the new file"],
            "Compare with `modelmux service install --dry-run`; --force replaces it.",
        )
    for test, command in plan.before:
        if _run(test) is not None:
            _run_or_exit(command, "Fix the problem and run this again.")
    if plan.is_system:
        _prepare_system()
    _write(plan)
    click.echo(f"wrote {plan.file}")
    if not no_start:
        for command in plan.start:
            _run_or_exit(command)
        click.echo(f"started by {plan.manager}")
    for note in plan.notes:
        click.echo(note)


@service.command()
@_system
@click.option("--dry-run", is_flag=True, help="Print the commands, and change nothing.")
def uninstall(system: bool | None, dry_run: bool) -> None:
    """Stop the service and remove its file. Configuration, logs and state are kept."""
    plan = _plan(system)
    if not plan.file.exists():
        exit_with_error(
            [f"the service is not installed: {plan.file} does not exist"], "`modelmux service install` installs one."
        )
    if dry_run:
        for command in [*plan.stop, ["rm", str(plan.file)], *plan.forget]:
            click.echo(f"$ {shlex.join(command)}")
        return
    for command in plan.stop:
        problem = _run(command)
        if problem is not None:  # it may not be running: remove its file anyway
            click.echo(f"note: {shlex.join(command)}: {problem}", err=True)
    try:
        plan.file.unlink()
    except OSError as error:
        exit_with_error([f"{plan.file} cannot be removed: {error.strerror}"], "For a system service, run this as root.")
    for command in plan.forget:
        _run_or_exit(command)
    click.echo(f"removed {plan.file}")


@service.command(short_help="Show whether it is installed, and which gateways run.")
@_system
def status(system: bool | None) -> None:
    """Show whether the service is installed and which gateways are running."""
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
            exit_with_error(["system services are not supported on macOS"], "Install a user service: --user.")
        return launchd(this_program(), os.environ, os.getuid())
    if sys.platform.startswith("linux"):
        machine = os.geteuid() == 0 if system is None else system
        return systemd_system(this_program()) if machine else systemd_user(this_program(), os.environ)
    exit_with_error(
        [f"there is no supported service manager on {sys.platform}"],
        "Start `modelmux serve` yourself.",
    )


def _write(plan: ServicePlan) -> None:
    try:
        plan.file.parent.mkdir(parents=True, exist_ok=True)
        plan.file.write_bytes(plan.content)
        plan.file.chmod(0o644)
    except OSError as error:
        exit_with_error(
            [f"{plan.file} cannot be written: {error.strerror}"],
            "For a system service, run this as root; for a user service, add --user.",
        )


def _run(command: Sequence[str]) -> str | None:
    """Run a command. Its error message; None if it succeeded."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a command of ours
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    return None if done.returncode == 0 else (done.stderr.strip() or f"exit code {done.returncode}")


def _run_or_exit(
    command: Sequence[str], hint: str = "The service file is written; fix the problem and run this again."
) -> None:
    problem = _run(command)
    if problem is not None:
        exit_with_error([f"{shlex.join(command)}: {problem}"], hint)


def _prepare_system() -> None:
    """Exit if the service could not run; else make its files readable for it."""
    check = check_system(this_program(), SYSTEM_FILE, os.environ)
    if check.problems:
        print_lines("error", [problem.message for problem in check.problems], "red")
        print_lines("hint", dict.fromkeys(problem.remedy for problem in check.problems), "cyan")
        click.echo("No service was installed.", err=True)
        raise SystemExit(1)
    for command in check.commands:
        _run_or_exit(command, "Fix the problem and run this again.")
    warn(f"{note.about}: {note.message}; {note.remedy}" for note in check.notes)
