"""``modelmux models``: what ``/v1/models`` lists, and what the catalog says about each model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from modelmux.catalog import ModelCard
from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_config_error, print_json, print_lines, warn
from modelmux.config import Config, ConfigError, build_routes

_NONE: Final = (
    "no model is served yet; this is the catalog. `modelmux config init` asks for a Google Cloud project and a "
    "location, and then all of it is served"
)
_HEAD: Final = ("NAME", "MODEL", "LOCATIONS", "CONTEXT", "OUTPUT", "THINKING", "EFFORT", "RETIRES")


@click.command()
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def models(config_path: Path | None, overrides: dict[str, Any], as_json: bool) -> None:
    """List the models that are served, and their capabilities; without a configuration, list the catalog."""
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    config = loaded.config
    try:
        rows = _served(config) if _configured(config) else _catalog(config)
    except ConfigError as error:
        exit_with_config_error(error)
    if as_json:
        print_json({"configured": _configured(config), "models": rows})
    else:
        for line in _lines(rows):
            click.echo(line)
    if not _configured(config):
        print_lines("hint", [_NONE], "cyan")


def _configured(config: Config) -> bool:
    vertex = config.vertex
    return bool(vertex.models or vertex.model or vertex.url or (vertex.project and (vertex.location or vertex.region)))


def _served(config: Config) -> list[dict[str, Any]]:
    routes = build_routes(config, config.build_catalog())
    return [
        {"name": name, "locations": list(dict.fromkeys(d.location for d in route.deployments if d.location))}
        | _facts(*route.models)
        for name, route in routes.visible_names.items()
    ]


def _catalog(config: Config) -> list[dict[str, Any]]:
    return [
        {"name": card.base, "locations": ["global", "us", "eu", *(["regions"] if card.regional else [])]} | _facts(card)
        for card in config.build_catalog().cards
    ]


def _facts(card: ModelCard, *others: ModelCard) -> dict[str, Any]:
    """A model's capabilities.

    :param others: models that may answer in its place.
    """
    return {
        "model": card.id,
        "other_models": [other.id for other in others],
        "context": card.context_window,
        "max_output": card.max_output,
        "thinking": list(card.thinking),
        "effort": list(card.effort),
        "retires": card.retires_on.isoformat() if card.retires_on else None,
        "known": card.known,
    }


def _lines(rows: Iterable[dict[str, Any]]) -> list[str]:
    """A table whose cells are single words, so that other programs can split it."""
    cells = [_HEAD, *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cells(row: dict[str, Any]) -> Sequence[str]:
    return (
        row["name"], ",".join([row["model"], *row["other_models"]]), ",".join(row["locations"]) or "url",
        _tokens(row["context"]), _tokens(row["max_output"]), ",".join(row["thinking"]) or "-",
        ",".join(row["effort"]) or "-",
        row["retires"] or "-",
    )  # fmt: skip


def _tokens(count: int) -> str:
    return f"{count // 1_000_000}M" if count >= 1_000_000 and count % 1_000_000 == 0 else f"{count // 1000}k"
