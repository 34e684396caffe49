"""``modelmux config path``: which files are looked at, strongest first, and which are there."""

from __future__ import annotations

import os
from pathlib import Path

import click

from modelmux.cli.options import DOTENV
from modelmux.cli.output import print_json, print_lines
from modelmux.config.load import Place, places


@click.command("path")
@click.option("--config", "config_path", type=click.Path(path_type=Path), metavar="FILE", help="As for `serve`.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def path(config_path: Path | None, as_json: bool) -> None:
    """Say which files are looked at. Earlier ones win; the environment and the command line win over all."""
    found = places(os.environ, file=config_path, dotenv=DOTENV)
    if as_json:
        print_json([{"path": str(p.path.absolute()), "kind": p.kind, "state": state(p)} for p in found])
        return
    width = max(len(_kind(place)) for place in found)
    for place in found:
        click.echo(f"{state(place):<8}  {_kind(place):<{width}}  {place.path}")
    if not any(state(place) == "read" for place in found):
        print_lines("hint", ["`modelmux config init` writes a configuration"], "cyan")


def _kind(place: Place) -> str:
    return "variables" if place.kind == ".env" else place.kind


def state(place: Place) -> str:
    """``read``, ``absent`` or, where a named file takes the place of others, ``not read``."""
    if not place.read:
        return "not read"
    return "read" if place.path.exists() else "absent"
