"""The directory that a configuration asks for, and what secrets are hashed with there."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.own_prices import with_own_prices
from modelmux.accounts.unrecognized import unrecognized_keys
from modelmux.catalog.prices import PriceList
from modelmux.config.errors import ConfigError
from modelmux.config.home import visible
from modelmux.config.schema import Config
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import DirectoryStore
from modelmux.store.directory.feed import Feed
from modelmux.store.keyed_mark import KeyedMark
from modelmux.store.ledger.open_ledger import database_of, ledger_path, listen_url_of
from modelmux.store.pepper import load_pepper, pepper_id, pepper_path

#: Characters of a pepper.
MIN_PEPPER: Final = 32
#: Keys that a message names.
_NAMED: Final = 5


def open_directory(
    config: Config,
    environment: Mapping[str, str] = os.environ,
    *,
    leaves_nothing: bool = False,
    query_limit: float | None = None,
) -> DirectoryStore:
    """The store; the first change creates its file if there is none. A database is migrated with the first call.

    :param leaves_nothing: to load it once and nothing else: neither a file nor a database is created or changed.
    :param query_limit: seconds after which a query of the audit log is ended; None: as long as it takes.
    :raises ConfigError: ``accounts.store`` cannot be used. :raises StoreFailed: the file cannot.
    """
    path, database = ledger_path(config, environment), database_of(config)
    if database is not None:
        postgres = importlib.import_module("modelmux.store.directory.postgres_directory")  # not needed with SQLite
        mark = KeyedMark(path, str(database))
        shared: DirectoryStore = postgres.PostgresDirectory(
            database, mark, listen_url_of(config), leaves_nothing=leaves_nothing, query_limit=query_limit
        )
        return shared
    # Imported here, because a Python may have been built without SQLite; opening the ledger says so.
    sqlite = importlib.import_module("modelmux.store.directory.sqlite_directory")
    store: DirectoryStore = sqlite.SqliteDirectory(path, leaves_nothing=leaves_nothing, query_limit=query_limit)
    return store


def load_directory(config: Config, environment: Mapping[str, str] = os.environ) -> Directory:
    """The directory of now; no file is created. It is empty if there is none.

    :raises ConfigError: ``accounts.store`` cannot be used. :raises StoreFailed: the file cannot be read.
    """
    return open_directory(config, environment, leaves_nothing=True).load()


def stored_prices(config: Config, environment: Mapping[str, str] = os.environ) -> PriceList:
    """The prices of a configuration, with those that operators have added; no file is created.

    :raises ConfigError: ``accounts.store`` or a price cannot be used. :raises StoreFailed: the file cannot be read.
    """
    prices = config.build_prices()
    if not config.accounts.enabled:
        return prices
    return with_own_prices(prices, load_directory(config, environment).prices)


def open_feed(
    config: Config,
    environment: Mapping[str, str],
    runtime: Runtime,
    on_problem: Callable[[str | None], None],
    on_change: Callable[[Directory], None] = lambda _: None,
) -> Feed | None:
    """The directory of a gateway; None without accounts. It must not be used before a fork.

    :raises ConfigError: it cannot be read.
    """
    if not config.accounts.enabled:
        return None
    try:
        store = open_directory(config, environment)
        return Feed(store, store.load(), runtime, on_problem, on_change, getattr(store, "pace", None))
    except StoreFailed as error:
        raise ConfigError([f"accounts.store: {error}"]) from None


def read_peppers(
    config: Config,
    environment: Mapping[str, str] = os.environ,
    directory: Callable[[], Directory] = Directory,
    now: Callable[[], float] = time.time,
) -> tuple[bytes, ...]:
    """What secrets are hashed with; the first one hashes new secrets. It is made if no key needs one of before.

    :param directory: returns that of now.
    :param now: Unix seconds.
    :raises ConfigError: it cannot be read or made, or was lost.
    """
    peppers = known_peppers(config, environment)
    if peppers:
        return peppers
    check_peppers(config, (), directory(), now, environment)
    return (_load(ledger_path(config, environment)),)


def known_peppers(config: Config, environment: Mapping[str, str] = os.environ) -> tuple[bytes, ...]:
    """Those that there are; none is made. :raises ConfigError: one cannot be used."""
    configured = tuple(pepper.reveal().encode() for pepper in config.accounts.peppers)
    short = [index for index, pepper in enumerate(configured) if len(pepper) < MIN_PEPPER]
    if short:
        raise ConfigError(
            [f"accounts.peppers[{index}] has fewer than {MIN_PEPPER} characters" for index in short],
            hint="Generate one with: openssl rand -hex 32",
        )
    path = ledger_path(config, environment)
    return configured or ((_load(path),) if visible(pepper_path(path)) else ())


def _load(path: Path) -> bytes:
    """:raises ConfigError:"""
    try:
        return load_pepper(path)
    except StoreFailed as error:
        raise ConfigError([f"accounts.peppers: {error}"]) from None


def check_peppers(
    config: Config,
    peppers: Sequence[bytes],
    directory: Directory,
    now: Callable[[], float],
    environment: Mapping[str, str],
) -> None:
    """Whether the secrets of all keys that may be used can be recognized.

    :param now: Unix seconds.
    :raises ConfigError: some cannot, as after the loss of a pepper. The message names keys, and says what to do.
    """
    keys = unrecognized_keys(directory, {pepper_id(pepper) for pepper in peppers}, int(now() * 1_000_000))
    if not keys:
        return
    path = pepper_path(ledger_path(config, environment))
    named = ", ".join(repr(key.name) for key in keys[:_NAMED]) + (", …" if len(keys) > _NAMED else "")
    count = "1 key has a secret" if len(keys) == 1 else f"{len(keys)} keys have secrets"
    problem = "of a pepper that is not here any more" if peppers else f"of the pepper in {path}, which is missing"
    new = "" if peppers else f" make a new one with `umask 077; openssl rand -hex 32 > {path}`,"
    raise ConfigError(
        [f"accounts.peppers: {count} {problem}: {named}"],
        hint=f"Put it back from a backup. If it is lost for good,{new} give each of the keys another secret with "
        "`modelmux keys rotate NAME`, or end it with `modelmux keys revoke NAME`.",
    )
