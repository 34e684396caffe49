"""``modelmux config edit``: edit the configuration in the user's editor, then check it."""

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
from modelmux.config.home import expand_user
from modelmux.config.load import user_file
from modelmux.config.sources import CONFIG_VARIABLE
from modelmux.config.template import render

#: Editors to try if neither VISUAL nor EDITOR is set.
_EDITORS: Final = ("notepad",) if sys.platform == "win32" else ("sensible-editor", "editor", "nano", "vim", "vi")


@click.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), metavar="FILE",
              help="Edit this file instead of the user's.")  # fmt: skip
def edit(config_path: Path | None) -> None:
    """Edit the configuration in $VISUAL or $EDITOR, then check it. A new file lists all settings, commented."""
    path = expand_user(config_path or os.environ.get(CONFIG_VARIABLE) or user_file(os.environ))
    editor = _editor(os.environ)
    _create(path)
    while True:
        _open(editor, path)
        problems, hints = _check(path)
        if not problems:
            break
        if not prompts.interactive():
            exit_with_error(problems, hints)
        print_lines("error", problems, "red")
        print_lines("hint", hints, "cyan")
        if not click.confirm("Edit it again?", default=True, err=True):
            raise SystemExit(1)
    click.echo(f"valid: {path}")
    print_lines("hint", ["`modelmux reload` applies it to a running gateway"], "cyan")


def _editor(environment: Mapping[str, str]) -> list[str]:
    for name in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(environment.get(name, ""), posix=sys.platform != "win32")
        except ValueError as error:
            exit_with_error([f"{name} cannot be parsed: {error}"], f"Set {name} to a command, such as nano.")
        if words:
            return words
    editor = next((path for name in _EDITORS if (path := shutil.which(name))), None)
    if editor is None:
        exit_with_error(["no editor found: neither VISUAL nor EDITOR is set"], "Set EDITOR to a command, such as nano.")
    return [editor]


def _create(path: Path) -> None:
    if path.exists():
        return
    try:
        write_private_file(path, render({}), replace=False)
    except FileExistsError:
        return  # another process created it meanwhile
    except OSError as error:
        exit_with_error([f"{path}: cannot be written: {error.strerror}"], "Choose another file with --config.")
    print_lines("note", [f"created {path}"], "cyan")


def _open(editor: list[str], path: Path) -> None:
    # Ctrl-C is for the editor, which does not inherit a handler, as it would SIG_IGN.
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        code = subprocess.run([*editor, str(path)], check=False).returncode  # noqa: S603 - the user's own command
    except OSError as error:
        exit_with_error([f"{editor[0]}: {error.strerror}"], "Set EDITOR to a command that exists, such as nano.")
    finally:
        signal.signal(signal.SIGINT, before)
    if code:
        exit_with_error([f"{editor[0]} exited with code {code}"], f"{path} is as the editor left it.")


def _check(path: Path) -> tuple[list[str], list[str]]:
    """What is wrong, and remedies."""
    try:
        problems, hints = config_problems(load_all(file=path))
    except ConfigError as error:
        return error.problems, [error.hint] if error.hint else []
    return problems, hints
