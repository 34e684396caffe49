"""What a reload cannot do: a process keeps the file of accounts that it opened at its start, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from modelmux.config.errors import ConfigError
from modelmux.config.schema import Config
from modelmux.store.ledger.open_ledger import database_of, ledger_path, listen_url_of, store_name

_REMEDY: Final = "restart the gateway to apply it, or undo the change to reload the rest"


def check_same_accounts(before: Config, after: Config, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a reload that would need other keys than the process has: it would be served without, or by a mixture of
    both.

    :param before: by which it was started, or that of the last reload.
    :raises ConfigError: accounts are turned on or off, or are in another file.
    """
    if before.accounts.enabled != after.accounts.enabled:
        raise ConfigError([f"accounts.enabled changed: {_REMEDY}"])
    if not after.accounts.enabled:
        return
    if (
        ledger_path(before, environment) != ledger_path(after, environment)
        or database_of(before) != database_of(after)
        or listen_url_of(before) != listen_url_of(after)
    ):
        raise ConfigError([f"accounts.store changed to {store_name(after, environment)}: {_REMEDY}"])
