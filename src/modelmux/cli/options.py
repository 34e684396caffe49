"""The options of every command that reads the configuration, and the reading."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from modelmux.cli.output import exit_with_config_error
from modelmux.config import ConfigError, Loaded, load_all
from modelmux.config.settings import settings
from modelmux.config.sources import dotenv_variables

F = TypeVar("F", bound=Callable[..., Any])

#: Read from the working directory.
DOTENV: Final = Path(".env")


def config_options(command: F) -> F:
    """Add ``--config`` and ``--set`` to a command, which get ``config_path`` and ``overrides``."""
    for option in (
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=_pairs, shell_complete=_names,
                     help="Set one setting, such as server.port=8080. Repeatable."),
        click.option("--config", "config_path", type=click.Path(path_type=Path), metavar="FILE",
                     help="TOML file with the settings, instead of the user's and the system's."),
    ):  # fmt: skip
        command = option(command)
    return command


def _names(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Settings that ``--set`` can set."""
    return [
        CompletionItem(f"{setting.name}=", help=setting.about)
        for setting in settings()
        if "[]" not in setting.path and setting.env and setting.name.startswith(incomplete)
    ]


def _pairs(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        pairs[key.strip()] = value
    return pairs


def read_config(config_path: Path | None, overrides: Mapping[str, Any]) -> Loaded:
    """Settings from every source; ends the command with every problem if they cannot be used."""
    try:
        return load_all(options=overrides, file=config_path, dotenv=DOTENV)
    except ConfigError as error:
        exit_with_config_error(error)


def load_dotenv_into_environment() -> None:
    """Make the variables of ``.env`` this process's own, where they are not set: Google's libraries and the proxy
    variables are read from there."""
    try:
        variables = dotenv_variables(DOTENV.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return  # said by read_config
    for name, value in variables.items():
        os.environ.setdefault(name, value)
