"""The models that a configuration serves, or those of the catalog, as rows for people and machines: limits, prices,
capabilities, life cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from modelmux.catalog import ModelCard, Price, PriceList, Rates, lifecycle
from modelmux.catalog.prices import decimal, usd
from modelmux.config.routes import build_routes
from modelmux.config.schema import Config
from modelmux.routing.model import Route

_SEARCHES: Final = 1000


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
    names = routes.all_names
    return [model_row(name, locations_of(route), route.models, prices, today) for name, route in names.items()]


def locations_of(route: Route) -> list[str]:
    return list(dict.fromkeys(d.location for d in route.deployments if d.location))


def _catalog(config: Config, today: date) -> list[dict[str, Any]]:
    prices = config.build_prices()
    return [
        model_row(card.base, ["global", "us", "eu", *(["regions"] if card.regional else [])], (card,), prices, today)
        for card in config.build_catalog().cards
    ]


def model_row(
    name: str, locations: list[str], cards: Sequence[ModelCard], prices: PriceList, today: date
) -> dict[str, Any]:
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
