"""For what a start here would be refused, and one elsewhere might not: variables of keys that are not set, and teams
and people that only the accounts may have. Nothing is created, and no database of another machine is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.config import Config, ConfigError
from modelmux.config.postgres_url import is_postgres
from modelmux.store.base import StoreFailed
from modelmux.store.directory.managed import check_managed
from modelmux.store.directory.open_directory import load_directory

_UNSET: Final = "{path}.variable: {variable} is not set here; set it where the gateway starts"
_SHARED: Final = "unless the database of accounts.store has it: `modelmux doctor` looks there"
#: In place of secrets that are not here.
_ANY: Final = "0123456789abcdef" * 4


def start_problems(config: Config, environment: Mapping[str, str], now: Callable[[], float]) -> list[str]:
    """A sentence for each. The configuration alone has no problem.

    :param now: Unix seconds.
    """
    if not config.accounts.enabled:
        return []
    unset = {
        one.variable: f"accounts.keys[{index}]"
        for index, one in enumerate(config.accounts.keys)
        if one.variable and not environment.get(one.variable, "").strip()
    }
    problems = [_UNSET.format(path=path, variable=variable) for variable, path in unset.items()]
    is_shared = is_postgres(config.accounts.store)
    try:
        directory = Directory() if is_shared else load_directory(config, environment)
    except (ConfigError, StoreFailed, ModuleNotFoundError):  # `modelmux doctor` says what is wrong with the store
        return problems
    try:
        check_managed(config, directory, {**environment, **dict.fromkeys(unset, _ANY)}, now)
    except ConfigError as error:
        problems += [f"{problem}; {_SHARED if is_shared else error.hint}" for problem in error.problems]
    return problems
