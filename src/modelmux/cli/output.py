"""Output of commands: results on stdout, ``error:``, ``warning:`` and ``hint:`` lines on stderr; colours on a terminal.

``NO_COLOR`` and ``FORCE_COLOR`` are respected, the former over the latter. Not in this module: heavy imports, because
``main`` needs it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from pathlib import Path

    from modelmux.config import ConfigError


def colours(environment: Mapping[str, str] = os.environ) -> bool | None:
    """Whether the environment asks for colours; None if that depends on whether the output is a terminal."""
    if environment.get("NO_COLOR"):
        return False
    return True if environment.get("FORCE_COLOR", "0") not in ("", "0") else None


def exit_with_error(problems: list[str], hint: str | Sequence[str] | None = None, *, code: int = 1) -> NoReturn:
    """Print what is wrong and what to do, and exit.

    :param hint: a remedy, or several, each of which gets a line.
    """
    print_lines("error", problems, "red")
    print_lines("hint", filter(None, [hint] if isinstance(hint, str) else hint or ()), "cyan")
    raise SystemExit(code)


def exit_with_config_error(error: ConfigError) -> NoReturn:
    """Print what is wrong with the configuration, and exit."""
    exit_with_error(error.problems, error.hint)


def warn(warnings: Iterable[str]) -> None:
    """Print what works but should be changed."""
    print_lines("warning", warnings, "yellow")


def print_lines(kind: str, messages: Iterable[str], colour: str) -> None:
    """Print each message on a line of its own on stderr, after ``kind``."""
    for message in messages:
        click.echo(f"{click.style(kind, fg=colour, bold=kind == 'error')}: {message}", err=True, color=colours())


def printable(path: Path | str) -> str:
    """A path as text that any stream takes: bytes that are not UTF-8 are ``\\xfc``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def print_json(value: Any) -> None:
    """Print a result for machines on stdout. Bytes of a path that are not UTF-8 are escapes of JSON."""
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    click.echo(text.encode("utf-8", "backslashreplace").decode())
