"""``[limits]`` beyond its types: the server of rate limits, and whether requests wait for them."""

from __future__ import annotations

from modelmux.config.check import Problem
from modelmux.config.errors import ConfigError
from modelmux.config.redis_url import EXAMPLE, BadRedisUrl, RedisUrl, parse_redis_url
from modelmux.config.schema import Config


def limit_wait(config: Config) -> float:
    """Seconds for which a request waits for room within rate limits.

    :raises ConfigError: nothing would wait.
    """
    wait = float(config.limits.wait)
    if wait and not config.accounts.enabled:
        problem = "has no effect while accounts.enabled is false: only virtual keys have rate limits"
        raise ConfigError(
            [str(Problem(("limits", "wait"), problem))], hint="Set accounts.enabled = true, or remove it."
        )
    return wait


def redis_url(config: Config) -> RedisUrl | None:
    """The server that nodes share rate limits by; None if none is configured.

    :raises ConfigError: it cannot be used.
    """
    secret = config.limits.redis
    if secret is None:
        return None
    if not config.accounts.enabled:
        problem = "has no effect while accounts.enabled is false: only virtual keys have rate limits"
        raise ConfigError(
            [str(Problem(("limits", "redis"), problem))], hint="Set accounts.enabled = true, or remove it."
        )
    try:
        return parse_redis_url(secret.reveal())
    except BadRedisUrl as error:
        raise ConfigError([str(Problem(("limits", "redis"), str(error)))], hint=f'Write "{EXAMPLE}".') from None
