"""What ``[accounts]`` depends on: prices, SQLite, the file system of the ledger, and what recognizes the keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.config import Config, ConfigError
from modelmux.config.postgres_url import is_postgres
from modelmux.routing.warnings import unpriced_models
from modelmux.store.base import StoreFailed, StoreOutdated
from modelmux.store.directory.managed import check_managed
from modelmux.store.directory.open_directory import check_peppers, known_peppers, open_directory, stored_prices
from modelmux.store.ledger.open_ledger import ledger_path
from modelmux.store.mounts import network_type
from modelmux.store.pepper import pepper_id

#: Days after which a list of prices may differ from the invoice.
MOST_DAYS: Final = 60
_PRICES: Final = "prices"
_SET_PRICE: Final = "set the price of the model in [accounts.prices]; docs/configuration.md has an example"
_UPDATE: Final = "update modelmux, or compare the list with Google's prices and set yours in [accounts.prices]"
#: The checks of the ledger, here and in ``state``.
LEDGER: Final = "ledger"
_KEYS: Final = "virtual keys"
_WEBHOOKS: Final = "webhooks"
_READABLE: Final = "let the user of the gateway read the file"
_LOCAL: Final = "set accounts.store to a path on a local disk: on a network file system rows may be lost"


def check_prices(context: DoctorContext, today: date) -> Iterator[Result]:
    """Whether each configured model has a price, and the list of prices is recent. After the check of models."""
    if context.config is None or context.routes is None or not context.config.accounts.enabled:
        return
    try:
        prices = stored_prices(context.config)
    except (ModuleNotFoundError, StoreFailed):  # the checks of the ledger and of the keys say so
        prices = context.config.build_prices()
    except ConfigError as error:
        for problem in error.problems:
            yield Result(_PRICES, "fail", problem, error.hint or "correct the price as the message says")
        return
    for name, sentence in unpriced_models(context.routes, prices, today):
        yield Result(name, "warn", sentence.partition(";")[0], _SET_PRICE)
    days = [price.checked_on for price in prices.prices if price.checked_on is not None]
    if not days:
        return
    checked = max(days)
    age = (today - checked).days
    detail = f"the list is of {checked}"
    if age > MOST_DAYS:
        yield Result(_PRICES, "warn", f"{detail}, {age} days ago", _UPDATE)
    else:
        yield Result(_PRICES, "ok", detail)


def check_sqlite(config: Config, environment: Mapping[str, str]) -> Iterator[Result]:
    """The version of SQLite, and whether the ledger is on a file system that it can be kept on. Nothing with
    PostgreSQL."""
    if is_postgres(config.accounts.store):
        return
    try:
        from sqlite3 import sqlite_version  # a Python may have been built without it
    except ImportError:
        return  # the check of the ledger says so
    yield Result("SQLite", "ok", sqlite_version)
    try:
        path = ledger_path(config, environment)
    except ConfigError:
        return  # as above
    type = network_type(path)
    if type is not None:
        yield Result(LEDGER, "fail", f"{path} is on a network file system ({type})", _LOCAL)


def check_keys(config: Config, environment: Mapping[str, str], now: Callable[[], float]) -> Iterator[Result]:
    """Whether the database has the keys that it had, their secrets can be recognized, and those of the configuration
    can be written into it. After the check of the ledger.

    :param now: Unix seconds.
    """
    try:
        directory = open_directory(config, environment, leaves_nothing=True).load()
        peppers = known_peppers(config, environment)
        check_peppers(config, peppers, directory, now, environment)
        check_managed(config, directory, environment, now)
    except (ModuleNotFoundError, StoreOutdated):
        return  # the check of the ledger says so; the next start does the rest
    except StoreFailed as error:
        problem, _, remedy = str(error).partition("; ")
        yield Result(_KEYS, "fail", problem, remedy or _READABLE)
    except ConfigError as error:
        for problem in error.problems:
            problem, _, remedy = problem.partition("; ")
            yield Result(_KEYS, "fail", problem, remedy or error.hint)
    else:
        usable = sum(key.status == "active" for key in directory.keys.values())
        yield Result(_KEYS, "ok", "none yet" if not directory.keys else f"{usable} active")
        yield from _check_webhooks(directory, {pepper_id(pepper) for pepper in peppers})


def _check_webhooks(directory: Directory, peppers: Collection[str]) -> Iterator[Result]:
    """Whether what webhooks are sent can be signed. :param peppers: ids of those that are here."""
    for one in directory.webhooks.values():
        if one.status == "active" and one.pepper not in peppers:
            detail = f"{one.name!r} is sent nothing: the pepper of its secret is not here any more"
            hint = "put the pepper back from a backup; or delete the webhook, and create another one"
            yield Result(_WEBHOOKS, "warn", detail, hint)
