"""``modelmux config path``: the files that are read, in order of precedence, and which of them exist."""

from __future__ import annotations

import os
from pathlib import Path

import click

from modelmux.cli.options import DOTENV
from modelmux.cli.output import print_json, print_lines
from modelmux.config.load import ConfigFile, config_files


@click.command("path")
@click.option("--config", "config_path", type=click.Path(path_type=Path), metavar="FILE",
              help="TOML file to read instead of those of the user and the system.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def path(config_path: Path | None, as_json: bool) -> None:
    """Show which files are read. Earlier ones take precedence; the environment and the command line come first."""
    files = config_files(os.environ, file=config_path, dotenv=DOTENV)
    if as_json:
        print_json([{"path": str(p.path.absolute()), "kind": p.kind, "state": state_of(p)} for p in files])
        return
    width = max(len(_kind(file)) for file in files)
    for file in files:
        click.echo(f"{state_of(file):<10}  {_kind(file):<{width}}  {file.path}")
    if not any(state_of(file) in ("read", "unreadable") for file in files):
        print_lines("hint", ["`modelmux config init` writes a configuration"], "cyan")


def _kind(file: ConfigFile) -> str:
    return "variables" if file.kind == ".env" else file.kind


def state_of(file: ConfigFile) -> str:
    """``read``, ``absent``, ``unreadable`` for this user, or ``not read`` if another file was named explicitly."""
    if not file.read:
        return "not read"
    try:
        file.path.stat()
    except PermissionError:
        return "unreadable"
    except OSError:
        return "absent"
    return "read" if os.access(file.path, os.R_OK) else "unreadable"
