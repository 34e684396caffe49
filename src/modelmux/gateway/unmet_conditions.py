"""Conditions of budgets and limits that no request meets: a misspelt model refuses nothing, without a word."""

from __future__ import annotations

from collections.abc import Iterator

from modelmux.accounts.name_pattern import matches, matches_model
from modelmux.config.price_overrides import AccountsConfig
from modelmux.routing.routes import Routes


def unmet_conditions(routes: Routes, model: str | None, route: str | None) -> Iterator[tuple[str, str]]:
    """Pairs of the field and a message. :param model, route: patterns of a selector."""
    if model is not None and not any(matches_model(one.card.id, model) for one in routes.deployments):
        yield "model", f"no model that this configuration serves is called {model}"
    if route is not None and not any(matches(name, route) for name in routes.all_names):
        yield "route", f"nothing that this configuration serves is called {route}"


def selector_warnings(routes: Routes, accounts: AccountsConfig) -> list[str]:
    """A sentence for each condition of the configuration that no request meets today."""
    selectors = [("budgets", [one.applies_to for one in accounts.budgets]),
                 ("limits", [one.applies_to for one in accounts.limits])]  # fmt: skip
    return [
        f"accounts.{name}[{index}].applies_to.{field}: {message}, so it applies to nothing"
        for name, each in selectors
        for index, selector in enumerate(each)
        for field, message in unmet_conditions(routes, selector.model, selector.route)
    ]
