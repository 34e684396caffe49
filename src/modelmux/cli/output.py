"""How commands speak: results to stdout, ``error:`` and ``hint:`` lines to stderr."""

from __future__ import annotations

from typing import NoReturn

import click

from modelmux.config import ConfigError


def fail(problems: list[str], hint: str | None = None) -> NoReturn:
    """Say what is wrong and what to do, and end with exit code 1."""
    for problem in problems:
        click.echo(f"{click.style('error', fg='red', bold=True)}: {problem}", err=True)
    if hint:
        click.echo(f"{click.style('hint', fg='cyan')}: {hint}", err=True)
    raise SystemExit(1)


def fail_config(error: ConfigError) -> NoReturn:
    """End with what is wrong with the configuration."""
    fail(error.problems, error.hint)
