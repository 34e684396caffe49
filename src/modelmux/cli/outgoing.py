"""Connections of commands to a gateway: trust and proxies as the configuration and the environment have them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from modelmux.cli.options import DOTENV
from modelmux.cli.output import exit_with_config_error, exit_with_error
from modelmux.config import ConfigError, load_all
from modelmux.upstream.pool import HttpPool
from modelmux.upstream.proxy import Proxies
from modelmux.upstream.trust import configured_trust


def open_pool(ca_file: str | None, *, proxies: bool = True) -> HttpPool:
    """A pool that its caller closes; exits if certificates or proxies cannot be used."""
    try:
        context = configured_trust(ca_file, os.environ).context()
        return HttpPool(proxies=Proxies.from_environment(os.environ) if proxies else None, ssl_context=context)
    except ConfigError as error:
        exit_with_config_error(error)
    except ValueError as error:
        exit_with_error([str(error)], "Use http://host:port, or unset the variable.")


def ca_file_if_any(config_path: Path | None, overrides: dict[str, Any]) -> str | None:
    """The setting, for a gateway named by its URL: that needs no configuration, so a bad one that was not named is no
    error."""
    try:
        return load_all(options=overrides, file=config_path, dotenv=DOTENV).config.tls.ca_file
    except ConfigError as error:
        if config_path is not None or overrides:
            exit_with_config_error(error)
        return None
