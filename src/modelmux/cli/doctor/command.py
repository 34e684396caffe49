"""``modelmux doctor``: checks everything the gateway depends on, and says how to fix each problem."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from modelmux.cli.doctor.credentials import check_credentials
from modelmux.cli.doctor.files import check_files
from modelmux.cli.doctor.live import check_live
from modelmux.cli.doctor.models import check_models, check_origins
from modelmux.cli.doctor.network import check_network
from modelmux.cli.doctor.report import closing_lines, fold, result_line
from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.cli.doctor.server import check_server
from modelmux.cli.doctor.service import check_service, system_context
from modelmux.cli.options import config_options, load_dotenv_into_environment
from modelmux.cli.output import print_json
from modelmux.runtime import Runtime
from modelmux.version import __version__

#: One section of the report: name for machines, title, and the check.
_Section = tuple[str, str, Callable[[], Iterable[Result]]]


def doctor_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of ``doctor`` and of its deprecated name."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON for machines."),
        click.option("-v", "--verbose", is_flag=True, help="Show each deployment, with its URL and where it is set."),
        click.option("--live", is_flag=True, help="Also send a test request of one token to each deployment (billed)."),
        click.option("--system", is_flag=True, help="Check the system service: its configuration, in its environment."),
        config_options,
    ):
        command = option(command)
    return command


@click.command()
@doctor_options
def doctor(
    config_path: Path | None, overrides: dict[str, Any], live: bool, as_json: bool, verbose: bool, system: bool
) -> None:
    """Check the configuration and everything it depends on; exit with 1 if a check fails."""
    if system:
        if config_path is not None:
            raise click.UsageError("--system and --config exclude each other")
        run(system_context(overrides), live=live, as_json=as_json, verbose=verbose)
        return
    environment = dict(os.environ)
    load_dotenv_into_environment()
    context = DoctorContext(config_path, overrides, environment, os.environ)
    run(context, live=live, as_json=as_json, verbose=verbose)


def run(context: DoctorContext, *, live: bool, as_json: bool, verbose: bool = False) -> None:
    """Run all sections in order and print each result as it arrives. Exits with 1 if a check failed.

    :param verbose: print each deployment on a line of its own.
    """
    results: list[tuple[str, Result]] = []
    for name, title, check in _sections(context, Runtime().today(), live=live):
        of_section: list[Result] = []
        arriving = _collect(check(), of_section)
        if name == "models" and not verbose:
            arriving = iter(fold(list(arriving)))
        for number, result in enumerate(arriving):
            if as_json:
                continue
            if number == 0:
                click.echo(click.style(title, bold=True))
            click.echo(result_line(result, with_hint=result.status != "fail"))  # theirs are in the closing lines
        results += [(name, result) for result in of_section]
    if as_json:
        print_json(_report(results))
    else:
        click.echo("\n".join(closing_lines([result for _, result in results], live=live)))
    if any(result.status == "fail" for _, result in results):
        raise SystemExit(1)


def _collect(results: Iterable[Result], collected: list[Result]) -> Iterator[Result]:
    """The results as they arrive, each of which is added to a list."""
    for result in results:
        collected.append(result)
        yield result


def _sections(context: DoctorContext, today: date, *, live: bool) -> list[_Section]:
    sections: list[_Section] = []
    if context.of_service:
        title = "Service: what the user and the unit of the system service can reach"
        sections.append(("service", title, lambda: check_service(context)))
    sections += [
        ("files", "Configuration: files that are read, and their permissions", lambda: check_files(context)),
        ("origins", "Project and location: where they are set", lambda: check_origins(context)),
        ("models", "Models: the URL of each, and where it is set", lambda: check_models(context, today)),
        ("credentials", "Credentials: whether an access token can be obtained", lambda: check_credentials(context)),
        ("network", "Network: whether each host is reachable, and the clock is right", lambda: check_network(context)),
        ("server", "Gateway: its address, port and files", lambda: check_server(context)),
    ]
    if live:
        title = "Live: a test request of one token to each deployment"
        sections.append(("live", title, lambda: check_live(context, today)))
    return sections


def _report(results: list[tuple[str, Result]]) -> dict[str, Any]:
    checks = [{"section": name, **msgspec.to_builtins(replace(result, repeats=False))} for name, result in results]
    ok = all(result.status != "fail" for _, result in results)
    return {"version": __version__, "ok": ok, "checks": checks}
