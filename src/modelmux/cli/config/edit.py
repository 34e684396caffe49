"""``modelmux config edit``: the configuration in the user's editor, checked afterwards."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from modelmux.cli.config import prompts
from modelmux.cli.config.atomic_write import write_private_file
from modelmux.cli.config.checks import config_problems
from modelmux.cli.output import exit_with_error, print_lines
from modelmux.config import ConfigError, load_all
from modelmux.config.load import user_file
from modelmux.config.sources import CONFIG_VARIABLE
from modelmux.config.template import render

#: What is tried where neither VISUAL nor EDITOR is set.
_EDITORS: Final = ("notepad",) if sys.platform == "win32" else ("sensible-editor", "editor", "nano", "vim", "vi")


@click.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), metavar="FILE",
              help="Edit this file instead of the user's.")  # fmt: skip
def edit(config_path: Path | None) -> None:
    """Open the configuration in $VISUAL or $EDITOR, and check it afterwards. A file that is not there is begun with
    all settings in it, commented out."""
    path = (config_path or Path(os.environ.get(CONFIG_VARIABLE) or user_file(os.environ))).expanduser()
    editor = _editor(os.environ)
    _begin(path)
    while True:
        _open(editor, path)
        wrong, hint = _check(path)
        if not wrong:
            break
        if not prompts.interactive():
            exit_with_error(wrong, hint)
        print_lines("error", wrong, "red")
        if not click.confirm("Edit it again?", default=True, err=True):
            raise SystemExit(1)
    click.echo(f"good: {path}")
    print_lines("hint", ["`modelmux reload` lets a running gateway take it over"], "cyan")


def _editor(environment: Mapping[str, str]) -> list[str]:
    for name in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(environment.get(name, ""), posix=sys.platform != "win32")
        except ValueError as error:
            exit_with_error([f"{name} cannot be understood: {error}"], f"Set {name} to a command, such as nano.")
        if words:
            return words
    found = next((path for name in _EDITORS if (path := shutil.which(name))), None)
    if found is None:
        exit_with_error(
            ["there is no editor: neither VISUAL nor EDITOR is set"], "Set EDITOR to a command, such as nano."
        )
    return [found]


def _begin(path: Path) -> None:
    if path.exists():
        return
    try:
        write_private_file(path, render({}), replace=False)
    except FileExistsError:
        return  # somebody else was faster
    except OSError as error:
        exit_with_error([f"{path}: cannot be written: {error.strerror}"], "Name another file with --config.")
    print_lines("note", [f"{path} is new"], "cyan")


def _open(editor: list[str], path: Path) -> None:
    # Ctrl-C is for the editor; a handler, unlike SIG_IGN, is not inherited by it.
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        code = subprocess.run([*editor, str(path)], check=False).returncode  # noqa: S603 - the user's own command
    except OSError as error:
        exit_with_error([f"{editor[0]}: {error.strerror}"], "Set EDITOR to a command that exists, such as nano.")
    finally:
        signal.signal(signal.SIGINT, before)
    if code:
        exit_with_error([f"{editor[0]} ended with {code}"], f"{path} is as the editor left it.")


def _check(path: Path) -> tuple[list[str], str | None]:
    try:
        wrong, hints = config_problems(load_all(file=path))
    except ConfigError as error:
        return error.problems, error.hint
    return wrong, " ".join(hints) or None
