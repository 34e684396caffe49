"""The directory that a configuration asks for, and what secrets are hashed with there."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Final

from modelmux.config.errors import ConfigError
from modelmux.config.schema import Config
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import DirectoryStore
from modelmux.store.directory.feed import Feed
from modelmux.store.ledger.open_ledger import ledger_path
from modelmux.store.pepper import load_pepper

#: Characters of a pepper.
MIN_PEPPER: Final = 32


def open_directory(config: Config, environment: Mapping[str, str] = os.environ) -> DirectoryStore:
    """The store; its file is created if there is none.

    :raises ConfigError: ``accounts.store`` cannot be used. :raises StoreFailed: the file cannot.
    """
    path = ledger_path(config, environment)
    # Imported here, because a Python may have been built without SQLite; opening the ledger says so.
    sqlite = importlib.import_module("modelmux.store.directory.sqlite_directory")
    store: DirectoryStore = sqlite.SqliteDirectory(path)
    return store


def open_feed(
    config: Config, environment: Mapping[str, str], runtime: Runtime, on_problem: Callable[[str | None], None]
) -> Feed | None:
    """The directory of a gateway; None without accounts. It must not be used before a fork.

    :raises ConfigError: it cannot be read.
    """
    if not config.accounts.enabled:
        return None
    try:
        store = open_directory(config, environment)
        return Feed(store, store.load(), runtime, on_problem)
    except StoreFailed as error:
        raise ConfigError([f"accounts.store: {error}"]) from None


def read_peppers(config: Config, environment: Mapping[str, str] = os.environ) -> tuple[bytes, ...]:
    """What secrets are hashed with; the first one hashes new secrets.

    :raises ConfigError: it cannot be read or made.
    """
    configured = tuple(pepper.reveal().encode() for pepper in config.accounts.peppers)
    short = [index for index, pepper in enumerate(configured) if len(pepper) < MIN_PEPPER]
    if short:
        raise ConfigError(
            [f"accounts.peppers[{index}] has fewer than {MIN_PEPPER} characters" for index in short],
            hint="Generate one with: openssl rand -hex 32",
        )
    if configured:
        return configured
    try:
        return (load_pepper(ledger_path(config, environment)),)
    except StoreFailed as error:
        raise ConfigError([f"accounts.peppers: {error}"]) from None
