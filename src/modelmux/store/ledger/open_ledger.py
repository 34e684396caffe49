"""Which ledger a configuration asks for, and opening it."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from modelmux.config.errors import ConfigError
from modelmux.config.home import expand_user
from modelmux.config.postgres_url import EXAMPLE, BadUrl, PostgresUrl, is_postgres, parse_postgres_url
from modelmux.config.schema import Config
from modelmux.store.base import StoreFailed
from modelmux.store.files import dangling, state_directory
from modelmux.store.keyed_mark import KeyedMark
from modelmux.store.ledger.base import Ledger

_SQLITE: Final = "sqlite:"
#: Characters of the name of a database that the name of a file should not have.
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")
_PYTHON_REMEDY: Final = "install Python with SQLite (on Debian: python3 has it)"


class NoLedger(StoreFailed):
    """There is no ledger yet. :param hint: what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def database_of(config: Config) -> PostgresUrl | None:
    """The PostgreSQL database of ``accounts.store``; None for a file. :raises ConfigError: it is not a URL of one."""
    return None if not is_postgres(config.accounts.store) else _parsed("store", config.accounts.store)


def listen_url_of(config: Config) -> PostgresUrl | None:
    """``accounts.listen_url``. :raises ConfigError: it is not a URL of a database."""
    url = config.accounts.listen_url
    return None if url is None else _parsed("listen_url", url.reveal())


def store_name(config: Config, environment: Mapping[str, str] = os.environ) -> str:
    """Where accounts are, for people. :raises ConfigError: see ``ledger_path``."""
    return str(database_of(config) or ledger_path(config, environment))


def ledger_path(config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """The file of ``accounts.store``; a relative one is in the state directory. With PostgreSQL there is no such file:
    only what each node has for itself is beside it, as journals and sign-ins.

    :raises ConfigError: it is neither ``sqlite:`` and a path nor the URL of a database, or there is no home directory.
    """
    store = config.accounts.store
    database = database_of(config)
    name = store.removeprefix(_SQLITE) if database is None else f"accounts-{_UNSAFE.sub('_', database.database)}.node"
    if name == store or not name or name.startswith("//"):
        shown = repr(store) if "://" not in store else "the value"  # which may have a password
        message = f'accounts.store: {shown} is neither "sqlite:" and the path of a file nor the URL of a database'
        raise ConfigError(
            [message],
            hint=f'Set it to "sqlite:accounts.db", to "sqlite:/var/lib/modelmux/accounts.db" or to "{EXAMPLE}".',
        )
    try:
        path = expand_user(name)
        return path if path.is_absolute() else state_directory(config.server.state_dir, environment) / path
    except RuntimeError:
        raise ConfigError(
            ["accounts.store: there is no home directory for the ledger"],
            hint="Set server.state_dir, or an absolute path in accounts.store.",
        ) from None


def _parsed(setting: str, url: str) -> PostgresUrl:
    try:
        return parse_postgres_url(url)
    except BadUrl as error:
        raise ConfigError([f"accounts.{setting}: {error}"], hint=f'Write "{EXAMPLE}".') from None


def switched_off(config: Config, environment: Mapping[str, str] = os.environ) -> str | None:
    """A warning where there are virtual keys, and the configuration asks for none of them."""
    if config.accounts.enabled:
        return None
    try:
        mark = KeyedMark(ledger_path(config, environment))  # with PostgreSQL, that of this node
        is_set = mark.is_set
    except (ConfigError, OSError):  # nothing is kept there, or not for this user
        return None
    if not is_set:
        return None
    return f"there are virtual keys ({mark.path}), and accounts.enabled is false: requests need none of them"


def open_ledger(
    config: Config, environment: Mapping[str, str] = os.environ, *, query_limit: float | None = None
) -> Ledger:
    """The ledger of a configuration; the file is created if there is none.

    It must not be carried into a forked process.

    :param query_limit: seconds after which a query is ended; None: as long as it takes.
    :raises ConfigError: see ``ledger_path``.
    :raises StoreFailed: the file cannot be used.
    """
    database = database_of(config)
    if database is not None:
        return _postgres(database, config, query_limit=query_limit)
    path = ledger_path(config, environment)
    try:
        # Imported here, because a Python may have been built without SQLite.
        sqlite = importlib.import_module("modelmux.store.ledger.sqlite_ledger")
    except ModuleNotFoundError as error:
        if error.name not in ("sqlite3", "_sqlite3"):
            raise
        raise StoreFailed(f"this Python has no module sqlite3; {_PYTHON_REMEDY}") from None
    ledger: Ledger = sqlite.SqliteLedger(path, tuple(config.accounts.tags), query_limit=query_limit)
    return ledger


def open_existing_ledger(config: Config, environment: Mapping[str, str] = os.environ) -> Ledger:
    """As ``open_ledger``, for commands that only read: nothing is created.

    :raises NoLedger: there is no file.
    :raises StoreFailed: there is only a link to none.
    """
    database = database_of(config)
    if database is not None:
        return _postgres(database, config, leaves_nothing=True)
    existing_path(config, environment)
    return open_ledger(config, environment)


def _postgres(database: PostgresUrl, config: Config, **options: Any) -> Ledger:
    module = importlib.import_module("modelmux.store.ledger.postgres_ledger")  # not needed with SQLite
    ledger: Ledger = module.PostgresLedger(database, tuple(config.accounts.tags), **options)
    return ledger


def existing_path(config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """As ``ledger_path``, of a file that there is. :raises NoLedger, StoreFailed: see ``open_existing_ledger``."""
    database = database_of(config)
    if database is not None:
        raise NoLedger(f"the accounts are not in a file: they are in {database}", "Use pg_dump of PostgreSQL.")
    path = ledger_path(config, environment)
    problem = dangling(path)
    if problem is not None:
        raise StoreFailed(problem)
    if not path.exists():
        hint = (
            "`modelmux serve` writes it with accounts.enabled = true. If it runs as another user or a service, pass "
            f"its path: --set accounts.store={_SQLITE}…"
        )
        raise NoLedger(f"there is no ledger at {path}", hint)
    return path
