"""Options that choose requests, of budgets and of limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, get_args

import click
from msgspec.structs import replace

from modelmux.accounts.budgets import Each, Selector
from modelmux.accounts.directory import Directory
from modelmux.accounts.managed import selector_of
from modelmux.cli.output import warn
from modelmux.config import Config, ConfigError, build_routes
from modelmux.gateway.unmet_conditions import unmet_conditions
from modelmux.runtime import Runtime

F = TypeVar("F", bound=Callable[..., Any])
CONDITIONS: Final = ("key", "team", "person", "each", "model", "route", "tag")


def selector_options(command: F) -> F:
    """Add the conditions; an empty value clears one."""
    for option in (
        click.option("--tag", metavar="TAG", help="Only requests with a tag: app=chat, or app for any value."),
        click.option("--route", metavar="PATTERN", help="Only requests for a name that is served; * stands for any characters."),  # noqa: E501
        click.option("--model", metavar="PATTERN", help="Only calls of a model: claude-opus-*."),
        click.option("--each", type=click.Choice((*get_args(Each), "")), metavar="[person|key|end_user]", help="One of its own for each of these."),  # noqa: E501
        click.option("--person", metavar="PERSON", help="Only requests of a person."),
        click.option("--team", metavar="TEAM", help="Only requests of a team and of the teams below it."),
        click.option("--key", metavar="KEY", help="Only requests of a key."),
    ):  # fmt: skip
        command = option(command)
    return command


def changed_selector(directory: Directory, selector: Selector, options: Mapping[str, Any]) -> Selector:
    """A selector with what the options name. Conditions that are stored are ids, and are not looked up again.

    :raises FieldError:
    """
    named = {field: options[field].strip() or None for field in CONDITIONS if options[field] is not None}
    chosen = selector_of(directory, Selector(**named))
    return replace(selector, **{field: getattr(chosen, field) for field in named})


def warn_unmatched_selector(config: Config | None, selector: Selector) -> None:
    """Warn of conditions that no request meets, as far as this configuration serves anything."""
    if config is None:
        return
    try:
        routes = build_routes(config, config.build_catalog(), Runtime().today())
    except ConfigError:
        return
    for field, message in unmet_conditions(routes, selector.model, selector.route):
        warn([f"{field}: {message}; `modelmux models` lists them"])
