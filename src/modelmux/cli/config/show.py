"""``modelmux config show``: the settings in force, as TOML or JSON, with secrets masked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import print_json, print_lines, printable, warn
from modelmux.config import Config, ConfigError
from modelmux.config.captures import captured_days, captured_whose, captures
from modelmux.config.effective_config import effective, masked, origins
from modelmux.config.toml_writer import plain, tables
from modelmux.store.file_kinds import CAPTURES_FILE
from modelmux.store.files import state_directory


@click.command()
@config_options
@click.option("--origin", is_flag=True, help="Show the source of each value.")
@click.option("--all", "everything", is_flag=True, help="Include settings that have their defaults.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines, including sources.")
def show(config_path: Path | None, overrides: dict[str, Any], origin: bool, everything: bool, as_json: bool) -> None:
    """Show the settings in force. Secrets are masked; project ids are not."""
    loaded = read_config(config_path, overrides)
    tree = effective(loaded, everything=everything)
    warn(loaded.warnings)
    if as_json:
        print_json({"config": plain(tree), "origin": origins(tree, loaded)})
        return
    if masked(tree):
        click.echo('# Secrets are shown as "***".')
    if (where := _captured(loaded.config)) is not None:
        click.echo(f"# Bodies are captured {where}.")
    if tree:
        click.echo(tables(tree, loaded.origin if origin else None), nl=False)
    if not tree:
        click.echo("# Nothing is configured: all settings have their defaults.")
        print_lines(
            "hint",
            ["`modelmux config init` writes a configuration; `modelmux config show --all` shows the defaults"],
            "cyan",
        )


def _captured(config: Config) -> str | None:
    """Whose bodies are kept, and where; None if none are. Settings that contradict each other are not reported here."""
    try:
        if not captures(config):
            return None
        path = state_directory(config.server.state_dir, os.environ) / CAPTURES_FILE
    except (ConfigError, RuntimeError):
        return None
    return f"{captured_whose(config)}: in {printable(path)} for {captured_days(config)}"
