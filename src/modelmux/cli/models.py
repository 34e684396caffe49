"""``modelmux models``: what ``/v1/models`` lists, and what the catalog says about each model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_config_error, print_json, print_lines, warn
from modelmux.config import ConfigError
from modelmux.config.model_rows import is_configured, model_rows
from modelmux.runtime import Runtime

_NONE: Final = (
    "no model is served yet; this is the catalog. `modelmux config init` asks for a Google Cloud project and a "
    "location, and then all of it is served"
)
_HEAD: Final = ("NAME", "MODEL", "LOCATIONS", "CONTEXT", "OUTPUT", "PRICE", "THINKING", "EFFORT", "RETIRES")


@click.command()
@config_options
@click.option("--all", "with_retired", is_flag=True, help="Include retired models.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def models(config_path: Path | None, overrides: dict[str, Any], with_retired: bool, as_json: bool) -> None:
    """List the models that are served, with their limits, list prices (USD per million tokens of input and output) and
    capabilities; without a configuration, list the catalog."""
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    config = loaded.config
    try:
        rows = model_rows(config, Runtime().today(), with_retired=with_retired)
    except ConfigError as error:
        exit_with_config_error(error)
    if as_json:
        print_json({"configured": is_configured(config), "models": rows})
    else:
        for line in _lines(rows):
            click.echo(line)
    if not is_configured(config):
        print_lines("hint", [_NONE], "cyan")


def _lines(rows: Iterable[dict[str, Any]]) -> list[str]:
    """A table whose cells are single words, so that other programs can split it."""
    cells = [_HEAD, *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cells(row: dict[str, Any]) -> Sequence[str]:
    return (
        row["name"], ",".join([row["model"], *row["other_models"]]), ",".join(row["locations"]) or "url",
        _tokens(row["context"]), _tokens(row["max_output"]), _price_cell(row["prices"]),
        ",".join(row["thinking"]) or "-", ",".join(row["effort"]) or "-",
        row["retired"] or row["retires"] or "-",
    )  # fmt: skip


def _price_cell(prices: dict[str, Any] | None) -> str:
    """Input and output in the first location: ``0.1/0.5``, with those of long prompts ``0.1/0.5,>100k:0.5/2.5``."""
    if prices is None:
        return "-"
    long = prices["long_prompt"]
    cell = _input_output(prices)
    return cell if long is None else f"{cell},>{_tokens(long['above'])}:{_input_output(long)}"


def _input_output(prices: dict[str, Any]) -> str:
    rates = next(iter(prices["by_location"].values()))
    return f"{rates['input']}/{rates['output']}"


def _tokens(count: int) -> str:
    return f"{count // 1_000_000}M" if count >= 1_000_000 and count % 1_000_000 == 0 else f"{count // 1000}k"
