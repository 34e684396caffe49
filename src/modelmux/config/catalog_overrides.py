"""``[[catalog]]``: cards that add models to the catalog, or replace fields of the cards it has."""

from __future__ import annotations

from typing import Any

from modelmux.catalog import Catalog, ModelCard
from modelmux.config.check import Problem, check
from modelmux.config.errors import ConfigError
from modelmux.config.paths import KeyPath


def add_cards(catalog: Catalog, cards: list[dict[str, Any]]) -> Catalog:
    """A catalog with the cards of ``[[catalog]]``.

    :raises ConfigError: naming every card without an id, with an unknown key or with a value of a wrong type.
    """
    problems: list[Problem] = []
    for index, card in enumerate(cards):
        path: KeyPath = ("catalog", index)
        if not isinstance(card.get("id"), str) or not card["id"].strip():
            problems.append(Problem((*path, "id"), "a card needs the id of its model"))
        _, more = check(card, ModelCard, path)
        problems += [p for p in more if p.path[2:] != ("id",) and not p.message.startswith("missing")]
        if not problems:
            catalog = catalog.with_cards([card])
    if problems:
        raise ConfigError([str(problem) for problem in problems])
    return catalog
