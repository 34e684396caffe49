"""``modelmux config show``: the settings in force, as TOML or JSON, with secrets masked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import print_json, print_lines, warn
from modelmux.config.effective_config import effective, masked
from modelmux.config.load import Loaded
from modelmux.config.paths import KeyPath
from modelmux.config.toml_writer import plain, tables


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
        print_json({"config": plain(tree), "origin": dict(_origins(tree, (), loaded))})
        return
    if masked(tree):
        click.echo('# Secrets are shown as "***".')
    if tree:
        click.echo(tables(tree, loaded.origin if origin else None), nl=False)
    if not tree:
        click.echo("# Nothing is configured: all settings have their defaults.")
        print_lines(
            "hint",
            ["`modelmux config init` writes a configuration; `modelmux config show --all` shows the defaults"],
            "cyan",
        )


def _origins(tree: Any, path: KeyPath, loaded: Loaded) -> list[tuple[str, str]]:
    if isinstance(tree, dict) and tree:
        return [pair for name, inner in tree.items() for pair in _origins(inner, (*path, name), loaded)]
    if isinstance(tree, list) and any(isinstance(entry, dict) for entry in tree):
        return [pair for index, inner in enumerate(tree) for pair in _origins(inner, (*path, index), loaded)]
    name = ".".join(map(str, path))
    return [(name, loaded.origin(path))] if path and not (isinstance(tree, dict) and not tree) else []
