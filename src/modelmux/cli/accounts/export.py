"""``modelmux accounts export``: the accounts as TOML, for a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelmux.accounts.directory import Directory
from modelmux.accounts.managed_toml import to_toml
from modelmux.cli.accounts.access import Access
from modelmux.cli.accounts.api.open_api import needs_this_machine
from modelmux.cli.accounts.directory import with_directory
from modelmux.cli.options import config_options
from modelmux.cli.output import print_lines


@click.command("export")
@needs_this_machine
@config_options
def export(config_path: Path | None, overrides: dict[str, Any]) -> None:
    """Print teams, people, keys, budgets and limits as TOML for a configuration. Secrets of keys are not known: each
    entry names an environment variable that has to have its secret, or the SHA-256 that was imported."""

    async def run(access: Access) -> Directory:
        return await access.read()

    directory = with_directory(config_path, overrides, run)
    text = to_toml(directory)
    click.echo(text, nl=False)
    variables = text.count("\nvariable = ")
    if variables:
        what = "1 key names the variable" if variables == 1 else f"{variables} keys name variables"
        print_lines("note", [f"{what} that must have the secret where the gateway runs"], "cyan")
