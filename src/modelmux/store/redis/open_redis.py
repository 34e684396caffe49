"""The server that ``limits.redis`` names."""

from __future__ import annotations

from collections.abc import Callable

from modelmux.config.errors import ConfigError
from modelmux.config.limits_check import redis_url
from modelmux.config.schema import Config
from modelmux.store.base import StoreFailed
from modelmux.store.redis.connection import Connection, driver
from modelmux.store.redis.limit_exchange import TIMEOUT


def redis_connection(config: Config) -> Callable[[], Connection] | None:
    """Makes a connection, which opens itself when it is used; None if none is configured.

    :raises ConfigError: the URL cannot be used, or the package is not installed.
    """
    url = redis_url(config)
    if url is None:
        return None
    check_driver(url.setting)
    return lambda: Connection(url, TIMEOUT, config.tls.ca_file)


def check_driver(setting: str) -> None:
    """:raises ConfigError: the package that a setting needs is not installed."""
    try:
        driver(setting)
    except StoreFailed as error:
        problem, _, remedy = str(error).partition("; ")
        raise ConfigError([problem], hint=remedy) from None
