"""Which ledger a configuration asks for, and opening it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from modelmux.config.errors import ConfigError
from modelmux.config.home import expand_user
from modelmux.config.schema import Config
from modelmux.store.base import StoreFailed
from modelmux.store.files import dangling, state_directory
from modelmux.store.keyed_mark import KeyedMark
from modelmux.store.ledger.base import Ledger

_SQLITE: Final = "sqlite:"
_PYTHON_REMEDY: Final = "install Python with SQLite (on Debian: python3 has it)"


class NoLedger(StoreFailed):
    """There is no ledger yet. :param hint: what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def ledger_path(config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """The file of ``accounts.store``; a relative one is in the state directory.

    :raises ConfigError: it is not ``sqlite:`` and a path, or there is no home directory to put it in.
    """
    store = config.accounts.store
    name = store.removeprefix(_SQLITE)
    if name == store or not name or name.startswith("//"):
        message = f'accounts.store: {store!r} is not "sqlite:" and the path of a file'
        raise ConfigError(
            [message], hint='Set it to "sqlite:accounts.db", or to "sqlite:/var/lib/modelmux/accounts.db".'
        )
    try:
        path = expand_user(name)
        return path if path.is_absolute() else state_directory(config.server.state_dir, environment) / path
    except RuntimeError:
        raise ConfigError(
            ["accounts.store: there is no home directory for the ledger"],
            hint="Set server.state_dir, or an absolute path in accounts.store.",
        ) from None


def switched_off(config: Config, environment: Mapping[str, str] = os.environ) -> str | None:
    """A warning where there are virtual keys, and the configuration asks for none of them."""
    if config.accounts.enabled:
        return None
    try:
        mark = KeyedMark(ledger_path(config, environment))
        is_set = mark.is_set
    except (ConfigError, OSError):  # nothing is kept there, or not for this user
        return None
    if not is_set:
        return None
    return f"there are virtual keys ({mark.path}), and accounts.enabled is false: requests need none of them"


def open_ledger(config: Config, environment: Mapping[str, str] = os.environ) -> Ledger:
    """The ledger of a configuration; the file is created if there is none.

    It must not be carried into a forked process.

    :raises ConfigError: see ``ledger_path``.
    :raises StoreFailed: the file cannot be used.
    """
    path = ledger_path(config, environment)
    try:
        # Imported here, because a Python may have been built without SQLite.
        sqlite = importlib.import_module("modelmux.store.ledger.sqlite_ledger")
    except ModuleNotFoundError as error:
        if error.name not in ("sqlite3", "_sqlite3"):
            raise
        raise StoreFailed(f"this Python has no module sqlite3; {_PYTHON_REMEDY}") from None
    ledger: Ledger = sqlite.SqliteLedger(path, tuple(config.accounts.tags))
    return ledger


def open_existing_ledger(config: Config, environment: Mapping[str, str] = os.environ) -> Ledger:
    """As ``open_ledger``, for commands that only read: nothing is created.

    :raises NoLedger: there is no file.
    :raises StoreFailed: there is only a link to none.
    """
    existing_path(config, environment)
    return open_ledger(config, environment)


def existing_path(config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """As ``ledger_path``, of a file that there is. :raises NoLedger, StoreFailed: see ``open_existing_ledger``."""
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
