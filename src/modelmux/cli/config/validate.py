"""``modelmux config validate``: everything that is wrong with the configuration, with file and line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from modelmux.cli.config.checks import config_problems, describe_sources, model_warnings
from modelmux.cli.config.start_checks import start_problems
from modelmux.cli.options import config_options, load_dotenv_into_environment, read_config
from modelmux.cli.output import exit_with_error, warn
from modelmux.cli.start_lines import not_ready
from modelmux.config import Loaded, build_routes
from modelmux.runtime import Runtime
from modelmux.upstream.google_auth.presence import find_credential_problem


@click.command()
@config_options
@click.argument("file", type=click.Path(path_type=Path), required=False)
def validate(config_path: Path | None, overrides: dict[str, Any], file: Path | None) -> None:
    """Report everything that is wrong with the configuration, or with FILE instead. `modelmux doctor` also checks
    credentials and the network."""
    loaded = read_config(file or config_path, overrides)
    report(loaded)


def report(loaded: Loaded) -> None:
    """Print what was read and what is wrong with it; exit with 1 if anything is."""
    for source in describe_sources(loaded):
        click.echo(f"read {source}")
    exit_if_wrong(loaded)
    click.echo(f"valid: {_summary(loaded)}")
    load_dotenv_into_environment()
    warn(f"a start here would fail: {one}" for one in start_problems(loaded.config, os.environ, Runtime().now))
    if (failure := find_credential_problem(loaded.config.auth, os.environ)) is not None:
        warn([f"it would serve, but not be ready: {not_ready(failure)}"])


def exit_if_wrong(loaded: Loaded, then: str = "") -> None:
    """Print warnings, and everything for which the gateway would not start; exit with 1 if there is any.

    :param then: what to do after the remedies of the problems.
    """
    warn([*loaded.warnings, *model_warnings(loaded)])
    problems, hints = config_problems(loaded)
    if problems:
        exit_with_error(problems, [*hints, then])


def _summary(loaded: Loaded) -> str:
    config = loaded.config
    names = build_routes(config, config.build_catalog(), Runtime().today()).default_names
    count = f"{len(names)} model{'s' if len(names) != 1 else ''}"
    return f"{count} on {config.server.host}:{config.server.port}"
