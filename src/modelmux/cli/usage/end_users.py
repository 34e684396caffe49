"""``--where end_user=NAME``: the names of end users as rows have them."""

from __future__ import annotations

import os
import re
from typing import Final

from modelmux.accounts.attribution import MAX_END_USER
from modelmux.cli.output import exit_with_config_error, exit_with_error
from modelmux.cli.usage.options import Where
from modelmux.config import Config, ConfigError
from modelmux.config.seal_keys import read_seal_keys
from modelmux.gateway.metering.metering import hashed
from modelmux.store.local_state import KEY_FILE, LocalState, read_key

_NAME: Final = "end_user"
_HASH: Final = re.compile(r"[0-9a-f]{32}")


def with_end_users(where: Where, config: Config) -> Where:
    """With the hashes of end users beside their names, which older rows may have, and which may be hashes already.

    Exits if there is a name that cannot be hashed.
    """
    if config.accounts.end_user == "plain" or not any(name == _NAME for name, _ in where):
        return where
    return tuple((name, _with_hashes(values, config) if name == _NAME else values) for name, values in where)


def end_user_as_stored(name: str, config: Config) -> str:
    """An end user's name as rows and windows of budgets have it; exits if it cannot be hashed."""
    if config.accounts.end_user == "plain" or _HASH.fullmatch(name):
        return name
    return hashed(name[:MAX_END_USER], _keys(config)[0])


def _with_hashes(names: tuple[str, ...], config: Config) -> tuple[str, ...]:
    if all(_HASH.fullmatch(name) for name in names):
        return names
    keys = _keys(config)
    return (*names, *(hashed(name[:MAX_END_USER], key) for name in names for key in keys))


def _keys(config: Config) -> tuple[bytes, ...]:
    """The keys that the gateway hashes with. Nothing is created."""
    try:
        configured = tuple(read_seal_keys(key.reveal() for key in config.server.seal_keys))
    except ConfigError as error:
        exit_with_config_error(error)
    if configured:
        return configured
    directory = LocalState.of_service(config, os.environ).directory
    problem = "there is no home directory"
    if directory is not None:
        try:
            return (read_key(directory / KEY_FILE),)
        except OSError as error:
            problem = f"{directory / KEY_FILE}: {error.strerror or error}"
        except ValueError as error:
            problem = f"{directory / KEY_FILE}: {error}"
    exit_with_error(
        [f"names of end users are stored as hashes, and their key cannot be read: {problem}"],
        "Run this as the user of the gateway, or pass the hash: the column end_user of an export has it.",
    )
