"""``modelmux version``: what to include in a bug report."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from typing import Any, Final

import click

from modelmux.cli.config.path import state_of
from modelmux.cli.options import DOTENV
from modelmux.cli.output import print_json
from modelmux.config.load import config_files
from modelmux.version import __version__

DISTRIBUTION: Final = "modelmux-gateway"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def version(as_json: bool) -> None:
    """Show versions and the configuration files in use."""
    facts = collect()
    if as_json:
        print_json(facts)
        return
    click.echo(f"modelmux {facts['version']}")
    click.echo(f"python {facts['python']} on {facts['platform']}")
    for name, number in facts["dependencies"].items():
        click.echo(f"{name} {number or 'not installed'}")
    files = [*facts["files"], *(f"{path} (unreadable for this user)" for path in facts["unreadable"])]
    click.echo(f"configuration {', '.join(files) or 'none; `modelmux config init` writes one'}")


def collect() -> dict[str, Any]:
    """Everything that is printed. No file is opened."""
    files = [(state_of(file), str(file.path.absolute())) for file in config_files(os.environ, dotenv=DOTENV)]
    return {
        "version": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "dependencies": {name: _installed(name) for name in _dependencies()},
        "files": [path for state, path in files if state == "read"],
        "unreadable": [path for state, path in files if state == "unreadable"],
    }


def _dependencies() -> list[str]:
    """The dependencies of our distribution; none in a source tree that is not installed."""
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    return sorted({re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower() for line in required})


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
