"""``modelmux doctor``: looks at everything the gateway needs, and says of each thing what to do about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from modelmux.cli.doctor.credentials import check_credentials
from modelmux.cli.doctor.files import check_files
from modelmux.cli.doctor.live import check_live
from modelmux.cli.doctor.models import check_models, check_origins
from modelmux.cli.doctor.network import check_network
from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.cli.doctor.server import check_server
from modelmux.cli.options import config_options, load_dotenv_into_environment
from modelmux.cli.sanitize import one_line
from modelmux.version import __version__

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}
#: One section of the report: name for machines, what is looked at, and the check.
_Section = tuple[str, str, Callable[[], Iterable[Result]]]


def doctor_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of ``doctor``, for its old name, too."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object for machines."),
        click.option("--live", is_flag=True, help="Also send a request of one token to every deployment (it costs)."),
        config_options,
    ):
        command = option(command)
    return command


@click.command()
@doctor_options
def doctor(config_path: Path | None, overrides: dict[str, Any], live: bool, as_json: bool) -> None:
    """Check the configuration and everything it needs; exit code 1 if anything fails."""
    environment = dict(os.environ)
    load_dotenv_into_environment()
    run(DoctorContext(config_path, overrides, environment, os.environ), live=live, as_json=as_json)


def run(subject: DoctorContext, *, live: bool, as_json: bool) -> None:
    """All sections in order, told as they go. Ends the command with 1 if anything failed."""
    told: list[tuple[str, Result]] = []
    for name, title, check in _sections(subject, datetime.now(UTC).date(), live=live):
        first = True
        for result in check():
            told.append((name, result))
            if not as_json:
                if first:
                    click.echo(click.style(title, bold=True))
                first = False
                click.echo(_line(result))
    failed = sum(result.status == "fail" for _, result in told)
    warned = sum(result.status == "warn" for _, result in told)
    if as_json:
        click.echo(_json(told))
    else:
        click.echo(_verdict(failed, warned, live=live))
    if failed:
        raise SystemExit(1)


def _sections(subject: DoctorContext, today: date, *, live: bool) -> list[_Section]:
    sections: list[_Section] = [
        ("files", "Configuration: which files are read, and who may read them", lambda: check_files(subject)),
        ("origins", "Place: which source won", lambda: check_origins(subject)),
        ("models", "Models: where each is served, and who said so", lambda: check_models(subject, today)),
        ("credentials", "Credentials: can an access token be had", lambda: check_credentials(subject)),
        ("network", "Network: can each host be reached, and is the clock right", lambda: check_network(subject)),
        ("server", "Gateway: its address, its port, its log files", lambda: check_server(subject)),
    ]
    if live:
        asked = ("live", "Live: one request of one token to each deployment", lambda: check_live(subject, today))
        sections.append(asked)
    return sections


def _line(result: Result) -> str:
    # Padded before it is coloured: colour codes have no width.
    mark = click.style(f"{result.status:<4}", fg=_COLOURS[result.status])
    hint = f"  {click.style('hint', fg='cyan')}: {result.hint}" if result.hint else ""
    return f"  {mark}  {result.check}: {one_line(result.detail)}{hint}"


def _verdict(failed: int, warned: int, *, live: bool) -> str:
    counts = [f"{count} {word}{'s' if count > 1 else ''}" for count, word in ((failed, "problem"), (warned, "warning"))
              if count]  # fmt: skip
    if counts:
        return f"\n{' and '.join(counts)}."
    return "\nAll is well." if live else "\nAll is well; --live also asks the models."


def _json(told: list[tuple[str, Result]]) -> str:
    checks = [{"section": name, **msgspec.to_builtins(result)} for name, result in told]
    ok = all(result.status != "fail" for _, result in told)
    return msgspec.json.format(msgspec.json.encode({"version": __version__, "ok": ok, "checks": checks})).decode()
