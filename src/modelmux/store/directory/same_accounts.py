"""What a reload cannot do: a process keeps the file of accounts that it opened at its start, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from modelmux.config.errors import ConfigError
from modelmux.config.schema import Config
from modelmux.store.ledger.open_ledger import ledger_path

_REMEDY: Final = "restart the gateway to apply it, or undo the change to reload the rest"


def check_same_accounts(before: Config, after: Config, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a reload that would need other keys than the process has: it would be served without, or by a mixture of
    both.

    :param before: by which it was started, or that of the last reload.
    :raises ConfigError: accounts are turned on or off, or are in another file.
    """
    if before.accounts.enabled != after.accounts.enabled:
        raise ConfigError([f"accounts.enabled changed: {_REMEDY}"])
    if after.accounts.enabled and ledger_path(before, environment) != ledger_path(after, environment):
        raise ConfigError([f"accounts.store changed to {ledger_path(after, environment)}: {_REMEDY}"])
