"""The options of every command that reads the configuration, and reading it."""

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

#: In the working directory.
DOTENV: Final = Path(".env")


def config_options(command: F) -> F:
    """Add ``--config`` and ``--set`` to a command, as ``config_path`` and ``overrides``."""
    for option in (
        set_option,
        click.option("--config", "config_path", type=click.Path(path_type=Path), metavar="FILE",
                     help="TOML file to read instead of those of the user and the system."),
    ):  # fmt: skip
        command = option(command)
    return command


def set_option(command: F) -> F:
    """Add ``--set`` to a command, as ``overrides``."""
    option = click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=_pairs, shell_complete=_names,
        help="Override one setting, such as server.port=8080. Repeatable.",
    )  # fmt: skip
    return option(command)


def _names(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completions of ``--set``."""
    return [
        CompletionItem(f"{setting.name}=", help=setting.description)
        for setting in settings()
        if "[]" not in setting.path and setting.env and setting.name.startswith(incomplete)
    ]


def _pairs(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        pairs[key.strip()] = value
    return pairs


def read_config(config_path: Path | None, overrides: Mapping[str, Any]) -> Loaded:
    """Settings from every source; exits with all problems if they are invalid."""
    try:
        return load_all(options=overrides, file=config_path, dotenv=DOTENV)
    except ConfigError as error:
        exit_with_config_error(error)


def load_dotenv_into_environment() -> None:
    """Add the variables of ``.env`` to the environment where they are not set: Google's libraries and the proxy code
    read them there."""
    try:
        variables = dotenv_variables(DOTENV.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return  # reported by read_config
    for name, value in variables.items():
        os.environ.setdefault(name, value)
