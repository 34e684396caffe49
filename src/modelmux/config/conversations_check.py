"""``responses.store`` and ``thinking.store`` beyond their types: stores that nodes share, and their seal keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from modelmux.config.check import Problem
from modelmux.config.errors import ConfigError
from modelmux.config.postgres_url import EXAMPLE, BadUrl, PostgresUrl, is_postgres, parse_postgres_url
from modelmux.config.redis_url import EXAMPLE as REDIS_EXAMPLE
from modelmux.config.redis_url import BadRedisUrl, RedisUrl, is_redis, parse_redis_url
from modelmux.config.schema import Config

RESPONSES: Final = "responses.store"
THINKING: Final = "thinking.store"
U = TypeVar("U")
_KEY_HINT: Final = "Generate a key with: openssl rand -hex 64"


def shares_conversations(config: Config) -> bool:
    """Whether stored responses or remembered thinking are in a store that nodes share."""
    stores = config.responses.store, config.thinking.store
    return any(map(is_postgres, stores)) or is_redis(config.thinking.store)


def responses_url(config: Config) -> PostgresUrl | None:
    """The database of stored responses; None where they are elsewhere. :raises ConfigError: see ``_parsed``."""
    store = config.responses.store
    return _parsed(config, RESPONSES, store, parse_postgres_url, EXAMPLE) if is_postgres(store) else None


def thinking_url(config: Config) -> PostgresUrl | RedisUrl | None:
    """The store of remembered thinking; None where it is in memory only. :raises ConfigError: see ``_parsed``."""
    store = config.thinking.store
    if is_redis(store):
        return _parsed(config, THINKING, store, parse_redis_url, REDIS_EXAMPLE)
    return _parsed(config, THINKING, store, parse_postgres_url, EXAMPLE) if is_postgres(store) else None


def check_conversations(config: Config) -> None:
    """:raises ConfigError: naming every value that cannot be used."""
    problems: list[str] = []
    hints: list[str | None] = []
    for read in (responses_url, thinking_url):
        try:
            read(config)
        except ConfigError as error:
            problems += error.problems
            hints.append(error.hint)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)), hint=hints[0])


def _parsed(config: Config, setting: str, url: str, parse: Callable[[str, str], U], example: str) -> U:
    """:raises ConfigError: it is not such a URL, or there is no key that nodes can have together."""
    try:
        parsed = parse(url, setting)
    except (BadUrl, BadRedisUrl) as error:
        problem = str(Problem(tuple(setting.split(".")), str(error)))
        raise ConfigError([problem], hint=f'Write "{example}".') from None
    if not config.server.seal_keys:
        missing = Problem(("server", "seal_keys"), "none is set, and nodes that share conversations need the same")
        raise ConfigError([str(missing)], hint=_KEY_HINT)
    return parsed
