"""What ``serve`` says when it starts: what it read, what it serves, who may use it, and where its log is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from modelmux.cli.config.checks import describe_sources
from modelmux.config import Config, Loaded
from modelmux.config.admin_check import admin_address
from modelmux.server.account_keys import is_key_required
from modelmux.server.auth import is_loopback
from modelmux.upstream.google_auth.failures import TokenFailure


def start_lines(
    loaded: Loaded, config: Config, names: Sequence[str], log_directory: Path | None, *, has_keys: bool
) -> list[str]:
    """Four lines; a fifth, of stored responses, is the store's own.

    :param config: the settings that are really used.
    :param names: of the models that are listed.
    :param has_keys: there are virtual keys.
    :param log_directory: None if no files are written.
    """
    return [_read(loaded), _models(names), _keys(config, has_keys=has_keys), _logs(config, log_directory)]


_DASHBOARD: Final = "`modelmux dashboard` prints a link to its dashboard"
#: What to do where programs cannot use the admin API yet.
ADMIN_IS_CLOSED: Final = (
    "the admin API has no token, so it refuses every program: set admin.token (MODELMUX_ADMIN_TOKEN) to the output of "
    '`openssl rand -hex 24`, or admin.listen = "off"'
)


def admin_line(config: Config, url: str) -> str:
    """Where the admin API is, and who can reach it."""
    address = admin_address(config)
    if address is not None and not is_loopback(address[0]):
        return f"the admin API is at {url}; other machines can reach it, with a token and without TLS; {_DASHBOARD}"
    return f"the admin API is at {url}; only this machine can connect; {_DASHBOARD}"


def not_ready(failure: TokenFailure) -> str:
    """Why there are no usable credentials, and what to do."""
    error = failure.error()
    detail = f" ({failure.detail})" if failure.detail else ""
    return f"{error.message.rstrip('.')}{detail}. {error.hint or ''}".rstrip()


def _read(loaded: Loaded) -> str:
    sources = describe_sources(loaded)
    return f"read {', '.join(sources)}" if sources else "no configuration was found: all settings have their defaults"


def _models(names: Sequence[str]) -> str:
    if not names:
        return "no models are listed"
    return f"1 model: {names[0]}" if len(names) == 1 else f"{len(names)} models; `modelmux models` lists them"


def _keys(config: Config, *, has_keys: bool) -> str:
    count = len(config.server.api_keys)
    if config.accounts.enabled and (
        has_keys or config.accounts.keys or (not count and is_key_required(config, config.server.host))
    ):
        return "clients need a virtual key" + (" or one of server.api_keys" if count else "")
    if count:
        return "clients need the key of server.api_keys" if count == 1 else f"clients need one of {count} keys"
    if is_loopback(config.server.host):
        if config.accounts.enabled:
            return "clients need no key until the first one is created; only this machine can connect"
        return "clients need no key; only this machine can connect"
    return "clients need no key, and other machines can connect"


def _logs(config: Config, directory: Path | None) -> str:
    if directory is None:
        return "log lines go here only"
    return f"log lines go here and, with all fields, to {directory} ({config.logs.retention_days} days)"
