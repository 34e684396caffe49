"""``modelmux config import``: the configuration of LiteLLM's proxy turned into one of ModelMux, with a report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from modelmux.catalog import builtin
from modelmux.cli.config.atomic_write import write_private_file
from modelmux.cli.config.litellm import Import
from modelmux.cli.output import exit_with_config_error, exit_with_error, print_lines, warn
from modelmux.config import ConfigError, build_routes, parse
from modelmux.config.toml_writer import tables


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write here instead of to stdout.")
@click.option("--force", is_flag=True, help="Replace a file that is there; a copy stays beside it.")
def import_(file: Path, output: Path | None, force: bool) -> None:
    """Turn FILE, the YAML of LiteLLM's proxy, into TOML for ModelMux. What was carried over, what was not and why is
    said on stderr, key by key."""
    done = Import(os.environ, builtin())
    try:
        done.read(_yaml(file))
    except ValueError as error:
        exit_with_error([f"{file}: {error}"], "Name the config.yaml that LiteLLM's proxy is started with.")
    text = f"# Made from {file.name} by `modelmux config import`.\n{tables(done.settings).lstrip()}"
    _report(done)
    _check(text)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        backup = write_private_file(output.expanduser(), text, replace=force)
    except FileExistsError:
        exit_with_error([f"{output} exists already; nothing was changed"], "--force replaces it and keeps a copy.")
    except OSError as error:
        exit_with_error([f"{output}: cannot be written: {error.strerror}"], "Name another place with --output.")
    if backup is not None:
        click.echo(f"kept {backup}")
    click.echo(f"wrote {output}")


def _yaml(file: Path) -> Any:
    import yaml  # only here: it takes as long to load as everything else

    try:
        return yaml.safe_load(file.read_text("utf-8-sig"))
    except OSError as error:
        exit_with_error([f"{file}: cannot be read: {error.strerror}"], "Name the config.yaml of LiteLLM's proxy.")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"not valid YAML{line}: {getattr(error, 'problem', None) or 'it cannot be read'}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _report(done: Import) -> None:
    print_lines("carried", (str(line) for line in done.report if line.carried), "green")
    print_lines("not carried", (str(line) for line in done.report if not line.carried), "yellow")


def _check(text: str) -> None:
    """The result is a configuration; what it still lacks to serve is a warning."""
    try:
        config = parse(text)
    except ConfigError as error:
        exit_with_config_error(error)
    try:
        build_routes(config, config.build_catalog())
    except ConfigError as error:
        warn(error.problems)
