"""``modelmux connect CLIENT --write``: adds the settings to the client's own file, after showing what changes."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click

from modelmux.cli.config import prompts
from modelmux.cli.config.atomic_write import write_private_file
from modelmux.cli.connect.render import KEY_VARIABLE, Setup, parsed_content
from modelmux.cli.connect.settings_file import CannotMerge, merge_json, merge_yaml
from modelmux.cli.connect.table import Client, SettingsFile
from modelmux.cli.output import colours, exit_with_error
from modelmux.cli.sanitize import strip_controls
from modelmux.config.home import expand_user

_COLOURS: Final = {"+": "green", "-": "red", "@": "cyan"}
#: The value of a key that may hold a secret: a string in quotes, or else the rest of the line without its comma.
#: (Secrets of other programs, and the key that is replaced, are in the lines around what changes.)
_SECRET: Final = re.compile(
    r"""((?:key|token|secret|password|headers|authorization)["']?\s*[:=]\s*)"""
    r"""("(?:[^"\\]|\\.)*"(?=\s*(?:[,}\]]|$))|.+?(?=,?\s*$))""",
    re.IGNORECASE,
)
#: Nothing but a reference to our variable, which is not a secret.
_REFERENCE: Final = re.compile(rf"""["']?[\s${{}}]*(?:env:|secrets\.)?{KEY_VARIABLE}[\s}}]*["']?""")


def writable_file(client: Client) -> SettingsFile:
    """The file that ``--write`` changes; exits if the client has none."""
    file = client.file
    if file is None:
        exit_with_error(
            [f"{client.title} has no settings file that can be written"],
            f"Without --write, `modelmux connect {client.name}` prints what to set.",
        )
    if file.write:
        _exit_if_absent(client, file)
        exit_with_error(
            [f"{shown_location(file, os.environ)} is not written: {file.write}"],
            f"Without --write, `modelmux connect {client.name}` prints what to add to it.",
        )
    return file


def _exit_if_absent(client: Client, file: SettingsFile) -> None:
    """Exit if the file is one that ``--write`` cannot change, and there is none to change."""
    path, command = location(file, os.environ), f"modelmux connect {client.name}"
    if not path.is_absolute() or path.exists():
        return
    hint = f"Without --write, `{command}` prints what it has to contain."
    if file.format == "toml":  # what is printed is a whole file
        shown = shown_location(file, os.environ)
        first = "" if path.parent.is_dir() else f"mkdir -p {shell_path(str(Path(shown).parent))} && "
        hint = f"`{first}{command} > {shell_path(shown)}` creates it."
    exit_with_error([f"{shown_location(file, os.environ)} does not exist, and --write does not create it"], hint)


def shell_path(shown: str) -> str:
    """A path as a shell takes it; one that begins with ``~`` as it is."""
    return shown if shown.startswith("~") else shlex.quote(shown)


def location(file: SettingsFile, environment: Mapping[str, str]) -> Path:
    """Where the file is on this machine."""
    directory = environment.get(file.directory_variable, "") if file.directory_variable else ""
    if directory:
        return expand_user(directory) / Path(file.path).name
    return expand_user(file.path)


def shown_location(file: SettingsFile, environment: Mapping[str, str]) -> str:
    """The same for people: with ``~`` unless a variable names another directory."""
    named = bool(file.directory_variable and environment.get(file.directory_variable))
    return str(location(file, environment)) if named else file.path


def write_settings(client: Client, file: SettingsFile, setup: Setup, key: str | None, *, yes: bool) -> None:
    """Show the difference, ask unless ``yes``, and write. Exits if that is impossible; nothing is changed then.

    :param key: masked wherever it is shown.
    """
    path = location(file, os.environ)
    before = _read(path)
    text = before or ""
    try:
        wanted = parsed_content(setup, file)
        if file.format == "json":
            after = merge_json(text, wanted, {file.environment_key: setup.unset} if file.environment_key else {})
        else:
            after = merge_yaml(text, wanted, file.keep)
    except CannotMerge as error:
        exit_with_error([f"{path}: {error.problem}"], error.hint)
    if after == before:
        click.echo(f"{path} has these settings already")
        return
    for line in difference(path, text, after, key):
        click.echo(click.style(line, fg=_COLOURS.get(line[:1])), err=True, color=colours())
    if not yes:
        _ask(path, client)
    if _read(path) != before:
        exit_with_error([f"{path} has changed meanwhile; nothing was written"], "Run the command again.")
    _write(path, after, secret=file.secret)


def _read(path: Path) -> str | None:
    """None if the file does not exist."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        exit_with_error([f"{path}: it is not UTF-8"], "Correct it first, or add the settings by hand.")
    except OSError as error:
        exit_with_error([f"{path}: cannot be read: {error.strerror}"], "Check its permissions.")


def difference(path: Path, before: str, after: str, key: str | None) -> Iterator[str]:
    """A unified diff with secrets masked."""
    old, new = (text.splitlines() for text in (before, after))
    for line in difflib.unified_diff(old, new, str(path), str(path), lineterm="", n=2):
        line = line.replace(key, "***") if key else line
        yield strip_controls(_SECRET.sub(_masked, line))


def _masked(match: re.Match[str]) -> str:
    return match[0] if _REFERENCE.fullmatch(match[2]) else f'{match[1]}"***"'


def _ask(path: Path, client: Client) -> None:
    if not prompts.interactive():
        exit_with_error(
            ["cannot prompt: stdin and stderr are not a terminal"],
            f"`modelmux connect {client.name} --write --yes` writes without asking.",
        )
    if not click.confirm(f"Write {path}?", default=True, err=True):
        raise SystemExit(1)


def _write(path: Path, text: str, *, secret: bool) -> None:
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    try:
        backup = write_private_file(path, text, replace=True)
        if mode is not None and not secret:  # it was readable by others on purpose
            path.chmod(mode)
    except OSError as error:
        exit_with_error([f"{path}: cannot be written: {error.strerror}"], "Check the permissions of its directory.")
    if backup is not None:
        click.echo(f"kept the old file as {backup}")
    click.echo(f"wrote {path}")
