"""``modelmux codex-catalog``: prints or writes the model catalogue that Codex reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelmux.cli.codex.catalog import codex_catalog
from modelmux.cli.config.atomic_write import write_private_file
from modelmux.cli.connect.served import served_names
from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_error, print_json, print_lines, printable, warn
from modelmux.config.home import expand_user


@click.command("codex-catalog")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write, instead of stdout."
)
@config_options
def command(output: Path | None, config_path: Path | None, overrides: dict[str, Any]) -> None:
    """Print what Codex has to know of the models that the gateway serves: their context windows, reasoning levels and
    tools. Codex reads it from the file that `model_catalog_json` names in its config.toml."""
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    served, _ = served_names(loaded.config, is_here=True, elsewhere="run this there")
    catalog = codex_catalog(served)
    if output is None:
        print_json(catalog)
        return
    _write(expand_user(output), catalog)


def _write(path: Path, catalog: dict[str, Any]) -> None:
    import json

    try:
        backup = write_private_file(path, json.dumps(catalog, indent=2, ensure_ascii=False) + "\n", replace=True)
    except OSError as error:
        problem = f"{printable(path)}: cannot be written: {error.strerror}"
        exit_with_error([problem], "Check the permissions of its directory.")
    if backup is not None:
        click.echo(f"kept the old file as {printable(backup)}")
    click.echo(f"wrote {printable(path)}, with {len(catalog['models'])} models")
    full = str(path.absolute())
    hint = f"in Codex's config.toml: model_catalog_json = {json.dumps(full, ensure_ascii=False)}"
    if printable(full) != full:
        hint = "Codex's config.toml cannot name this file, because its path is not UTF-8: write it to another one"
    print_lines("hint", [hint], "cyan")
