"""``modelmux accounts diff`` and ``apply``: what the entries of a configuration file change, and writing it at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click

from modelmux.accounts.managed_diff import Action, RecordChange, changes_of, counted
from modelmux.cli.accounts.access import user_name
from modelmux.cli.accounts.api.open_api import needs_this_machine
from modelmux.cli.accounts.directory import json_option, warn_if_off
from modelmux.cli.options import load_dotenv_into_environment, read_config, set_option
from modelmux.cli.output import exit_with_config_error, exit_with_error, print_json, warn
from modelmux.cli.sanitize import one_line
from modelmux.config import Config, ConfigError
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author
from modelmux.store.directory.managed import apply_managed, managed_edit
from modelmux.store.directory.open_directory import load_directory, open_directory

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_SIGNS: Final[dict[Action, str]] = {"add": "+", "change": "~", "remove": "-"}
_WORDS: Final[dict[Action, str]] = {"add": "added", "change": "changed", "remove": "removed"}


def _file_options(command: F) -> F:
    for option in (
        json_option,
        set_option,
        click.option("--config", "config_path", type=click.Path(path_type=Path), metavar="FILE", help="As FILE."),
        click.argument("file", type=click.Path(path_type=Path), required=False),
        needs_this_machine,
    ):  # fmt: skip
        command = option(command)
    return command


@click.command("diff")
@_file_options
def diff(file: Path | None, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Show what the next start of a gateway with the configuration FILE would change of teams, people, keys, budgets
    and limits. Nothing is written.

    FILE is by default the configuration that `serve` reads. Exits with 1 if anything would change.
    """
    config = _read(file, config_path, overrides)
    try:
        before = load_directory(config)
        changes = changes_of(before, managed_edit(config, before, os.environ, Runtime().now))
    except (ConfigError, StoreFailed) as error:
        _fail(error)
    _print(changes, applied=False, json=json)
    if changes:
        raise SystemExit(1)


@click.command("apply")
@_file_options
def apply(file: Path | None, config_path: Path | None, overrides: dict[str, Any], json: bool) -> None:
    """Write at once what the next start or reload of the gateway would write of the configuration FILE.

    FILE is by default the configuration that `serve` reads, and should be that: what a gateway does not find in its own
    file at its next start, it disables.
    """
    config = _read(file, config_path, overrides)

    async def run() -> list[RecordChange]:
        store = open_directory(config)
        try:
            author = Author(user_name(), "cli")
            return changes_of(*await apply_managed(config, store, author, os.environ, Runtime().now))
        finally:
            await store.aclose()

    _print(_run(run), applied=True, json=json)


def _read(file: Path | None, config_path: Path | None, overrides: dict[str, Any]) -> Config:
    if file is not None and config_path is not None:
        raise click.UsageError("FILE and --config are the same; name one of them")
    loaded = read_config(file or config_path, overrides)
    warn(loaded.warnings)
    warn_if_off(loaded.config)
    load_dotenv_into_environment()
    return loaded.config


def _run(action: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        return await action()

    try:
        return asyncio.run(run())
    except (ConfigError, StoreFailed) as error:
        _fail(error)


def _fail(error: ConfigError | StoreFailed) -> NoReturn:
    if isinstance(error, ConfigError):
        exit_with_config_error(error)
    exit_with_error([f"the accounts cannot be used: {error}"])


def _print(changes: list[RecordChange], *, applied: bool, json: bool) -> None:
    counts = counted(changes)
    if json:
        print_json({
            "applied": applied,
            **{_WORDS[action]: count for action, count in counts.items()},
            "changes": [
                {"action": one.action, "kind": one.kind, "name": one.name, "id": one.id, "before": one.before,
                 "after": one.after}
                for one in changes
            ],
        })  # fmt: skip
        return
    for one in changes:
        click.echo(f"{_SIGNS[one.action]} {one.kind} {one_line(one.name)}")
        for field, after in one.after.items():
            new = _text(after)
            click.echo(one_line(f"    {field}: {f'{_text(one.before[field])} -> {new}' if one.before else new}"))
    parts = [f"{count} {_WORDS[action]}" for action, count in counts.items() if count]
    summary = ", ".join(parts) if parts else "nothing to change"
    click.echo(
        summary if applied or not parts else f"{summary}, at the next start or reload, or by `modelmux accounts apply`"
    )


def _text(value: Any) -> str:
    """``fast, deep``, ``rpm=60``, ``-`` for nothing."""
    if isinstance(value, dict):
        return ", ".join(f"{name}={_text(one)}" for name, one in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value in (None, "") else str(value)
