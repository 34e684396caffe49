"""``modelmux config import``: convert a configuration of LiteLLM's proxy, with a report."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click

from modelmux.catalog import builtin
from modelmux.cli.config.atomic_write import write_private_file
from modelmux.cli.config.litellm import Import
from modelmux.cli.config.validate import exit_if_wrong
from modelmux.cli.options import DOTENV
from modelmux.cli.output import exit_with_config_error, exit_with_error, print_lines
from modelmux.config import ConfigError, Loaded
from modelmux.config.home import expand_user
from modelmux.config.load import load_text
from modelmux.config.toml_writer import tables


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to this file instead of stdout.")
@click.option("--force", is_flag=True, help="Replace an existing file; the old one is kept with the suffix .bak.")
def import_(file: Path, output: Path | None, force: bool) -> None:
    """Convert FILE, the YAML configuration of LiteLLM's proxy, to TOML. A report on stderr lists, key by key, what was
    converted, what was not, and why."""
    conversion = Import(os.environ, builtin())
    try:
        conversion.read(_yaml(file))
    except ValueError as error:
        exit_with_error([f"{file}: {error}"], "Pass the config.yaml with which LiteLLM's proxy is started.")
    text = f"# Converted from {file.name} by `modelmux config import`.\n{tables(conversion.settings).lstrip()}"
    _report(conversion)
    loaded = _load(text, "stdout" if output is None else str(output))
    if output is None:
        click.echo(text, nl=False)
        exit_if_wrong(loaded)
        return
    try:
        backup = write_private_file(expand_user(output), text, replace=force)
    except FileExistsError:
        exit_with_error([f"{output} already exists; nothing was changed"], "--force replaces it and keeps a copy.")
    except OSError as error:
        exit_with_error([f"{output}: cannot be written: {error.strerror}"], "Choose another file with --output.")
    if backup is not None:
        click.echo(f"kept the old file as {backup}")
    click.echo(f"wrote {output}")
    exit_if_wrong(loaded, f"`modelmux config validate {shlex.quote(str(output))}` checks it again.")


def _yaml(file: Path) -> Any:
    import yaml  # only here: importing it takes as long as everything else

    try:
        return yaml.safe_load(file.read_text("utf-8-sig"))
    except OSError as error:
        exit_with_error([f"{file}: cannot be read: {error.strerror}"], "Pass the config.yaml of LiteLLM's proxy.")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"not valid YAML{line}: {getattr(error, 'problem', None) or 'it cannot be parsed'}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _report(conversion: Import) -> None:
    print_lines("converted", (str(line) for line in conversion.report if line.converted), "green")
    print_lines("not converted", (str(line) for line in conversion.report if not line.converted), "yellow")


def _load(text: str, name: str) -> Loaded:
    """The result as ``config validate`` would read it from a file of this name."""
    try:
        return load_text(text, name, os.environ, DOTENV)
    except ConfigError as error:
        exit_with_config_error(error)
