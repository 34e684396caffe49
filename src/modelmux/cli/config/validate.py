"""``modelmux config validate``: everything that is wrong with the configuration, with file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelmux.cli.config.checks import config_problems, describe_sources
from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_error, warn
from modelmux.config import Loaded, build_routes


@click.command()
@config_options
@click.argument("file", type=click.Path(path_type=Path), required=False)
def validate(config_path: Path | None, overrides: dict[str, Any], file: Path | None) -> None:
    """Say everything that is wrong with the configuration, or with FILE in its place. Nothing is called; `modelmux
    doctor` looks at credentials and the network too."""
    loaded = read_config(file or config_path, overrides)
    tell(loaded)


def tell(loaded: Loaded) -> None:
    """What was read, and what is wrong with it; ends with 1 if anything is."""
    for source in describe_sources(loaded):
        click.echo(f"read {source}")
    warn(loaded.warnings)
    wrong, hints = config_problems(loaded)
    if wrong:
        exit_with_error(wrong, " ".join(hints) or None)
    click.echo(f"good: {_served(loaded)}")


def _served(loaded: Loaded) -> str:
    config = loaded.config
    names = build_routes(config, config.build_catalog()).names
    count = f"{len(names)} model{'s' if len(names) != 1 else ''}"
    return f"{count} on {config.server.host}:{config.server.port}"
