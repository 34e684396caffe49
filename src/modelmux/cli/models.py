"""``modelmux models``: what ``/v1/models`` lists, and what the catalog says about each model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import click

from modelmux.catalog import ModelCard, Price, PriceList, Rates, lifecycle
from modelmux.catalog.prices import decimal, usd
from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_config_error, print_json, print_lines, warn
from modelmux.config import Config, ConfigError, build_routes
from modelmux.routing.model import Route
from modelmux.runtime import Runtime

_NONE: Final = (
    "no model is served yet; this is the catalog. `modelmux config init` asks for a Google Cloud project and a "
    "location, and then all of it is served"
)
_HEAD: Final = ("NAME", "MODEL", "LOCATIONS", "CONTEXT", "OUTPUT", "PRICE", "THINKING", "EFFORT", "RETIRES")
_SEARCHES: Final = 1000


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


def is_configured(config: Config) -> bool:
    """Whether anything says what is served, and from where."""
    vertex = config.vertex
    return bool(vertex.models or vertex.model or vertex.url or (vertex.project and (vertex.location or vertex.region)))


def model_rows(config: Config, today: date, *, with_retired: bool = False) -> list[dict[str, Any]]:
    """The models, as JSON. :raises ConfigError:"""
    rows = _served(config, today) if is_configured(config) else _catalog(config, today)
    if not with_retired:
        return [row for row in rows if not _retired(row)]
    models = {row["model"] for row in rows}
    return rows + [row for row in _catalog(config, today) if _retired(row) and row["model"] not in models]


def _retired(row: dict[str, Any]) -> bool:
    return bool(row["lifecycle"] == "retired")


def _served(config: Config, today: date) -> list[dict[str, Any]]:
    routes, prices = build_routes(config, config.build_catalog(), today), config.build_prices()
    return [_row(name, _locations(route), route.models, prices, today) for name, route in routes.all_names.items()]


def _locations(route: Route) -> list[str]:
    return list(dict.fromkeys(d.location for d in route.deployments if d.location))


def _catalog(config: Config, today: date) -> list[dict[str, Any]]:
    prices = config.build_prices()
    return [
        _row(card.base, ["global", "us", "eu", *(["regions"] if card.regional else [])], (card,), prices, today)
        for card in config.build_catalog().cards
    ]


def _row(name: str, locations: list[str], cards: Sequence[ModelCard], prices: PriceList, today: date) -> dict[str, Any]:
    """A model's limits, prices and capabilities.

    :param cards: the model that the name stands for, then those that may answer in its place.
    """
    card, *others = cards
    price = prices.price(card.id, today)
    return {
        "name": name,
        "locations": locations,
        "model": card.id,
        "other_models": [other.id for other in others],
        "context": card.context_window,
        "max_output": card.max_output,
        "thinking": list(card.thinking),
        "effort": list(card.effort),
        "prices": None if price is None else _prices(price, locations or [""]),
        "lifecycle": lifecycle(card, today),
        "retires": card.retires_on.isoformat() if card.retires_on else None,
        "retired": card.retired_on.isoformat() if card.retired_on else None,
        "replacement": card.replacement,
        "known": card.known,
    }


def _prices(price: Price, locations: list[str]) -> dict[str, Any]:
    """List prices in USD, as decimal strings."""
    long = price.long_prompt
    return {
        "currency": "USD",
        "per": "million tokens",
        "by_location": {location: _rates(price.rates_for(location)) for location in locations},
        "long_prompt": None
        if long is None
        else {
            "above": long.above,
            "by_location": {location: _rates(price.rates_for(location, long.above + 1)) for location in locations},
        },
        "batch_multiplier": decimal(price.batch_multiplier),
        "fast_multiplier": None if price.fast_multiplier is None else decimal(price.fast_multiplier),
        "web_search_per_1000": usd(_SEARCHES * price.rates.web_search),
        "source": price.source,
        "checked": price.checked_on.isoformat() if price.checked_on else None,
    }


def _rates(rates: Rates | None) -> dict[str, str]:
    assert rates is not None, "only fast mode may not be offered"
    names = ("input", "output", "cache_write", "cache_write_1h", "cache_read")
    return {name: usd(getattr(rates, name)) for name in names}


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
