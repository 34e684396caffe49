"""``modelmux usage verify``: whether the sums that reports read are those of the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelmux.cli.accounts.api.open_api import needs_this_machine
from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_error, print_json, print_lines, warn
from modelmux.cli.usage.options import counted, with_ledger


@click.command()
@needs_this_machine
@config_options
@click.option("--repair", is_flag=True, help="Write the sums that differ anew.")
@click.option("--json", "json", is_flag=True, help="Print JSON for machines.")
@click.pass_context
def verify(
    context: click.Context, config_path: Path | None, overrides: dict[str, Any], repair: bool, json: bool
) -> None:
    """Recompute every sum of the ledger from its rows. Exits with 1 if one differs and is not repaired."""
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    differences = with_ledger(context, loaded.config, lambda ledger: ledger.verify(repair=repair))
    if json:
        rows = [{"what": one.what, "stored": one.stored, "recomputed": one.recomputed} for one in differences]
        print_json({"differences": rows, "repaired": repair and bool(differences)})
    else:
        for one in differences:
            click.echo(f"{one.what}: stored {one.stored}, but the rows have {one.recomputed}")
        if not differences:
            click.echo("every sum is that of its rows")
    if not differences:
        return
    if repair:
        print_lines("note", [f"{counted(len(differences), 'sum')} written anew"], "cyan")
        return
    wrong = f"the ledger has {counted(len(differences), 'wrong sum')}"
    exit_with_error([wrong], "`modelmux usage verify --repair` writes them anew; rows are never changed.")
