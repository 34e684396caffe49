"""What nodes keep together of conversations: whether its databases can be used with the seal keys of this node. Nothing
is changed in them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Final

from modelmux.cli.doctor.redis import check_redis_thinking
from modelmux.cli.doctor.result import Result
from modelmux.config import Config, ConfigError
from modelmux.config.conversations_check import responses_url, thinking_url
from modelmux.config.postgres_url import PostgresUrl
from modelmux.dialects.aes_siv_sealer import AesSivSealer
from modelmux.runtime import Runtime
from modelmux.store.base import ResponseLimits, StoreFailed, StoreOutdated
from modelmux.store.local_state import LocalState
from modelmux.store.open_responses import describe_duration, left_over, seal_keys

_THINKING: Final = "remembered thinking"


def check_shared_responses(config: Config, state: LocalState, name: str) -> Result:
    """Whether stored responses can be read. :param name: of the check."""
    try:
        url = responses_url(config)
        sealer = AesSivSealer(seal_keys(config, state))
    except ConfigError as error:
        return Result(name, "fail", error.problems[0], error.hint)
    assert url is not None
    module = importlib.import_module("modelmux.store.postgres_responses")
    ttl = float(config.responses.ttl)
    store = module.PostgresResponseStore(url, sealer, Runtime().now, ResponseLimits(ttl=ttl))
    result = _looked(name, f"sealed in {url}, for {describe_duration(ttl)} after their last use", store.look)
    left = left_over(state)
    return Result(name, "warn", result.detail, left) if result.status == "ok" and left is not None else result


def check_thinking(config: Config) -> Iterator[Result]:
    """Whether remembered thinking can be read; nothing where each node remembers for itself."""
    try:
        url = thinking_url(config)
        if isinstance(url, PostgresUrl):
            module = importlib.import_module("modelmux.store.postgres_thinking")
            rows = module.PostgresThinkingRows(url, config.thinking.max_bytes, Runtime().now)
            yield _looked(_THINKING, f"sealed in {url}", rows.look)
        elif url is not None:
            yield from check_redis_thinking(url, config.tls.ca_file, _THINKING)
    except ConfigError as error:
        yield Result(_THINKING, "fail", error.problems[0], error.hint)


def _looked(name: str, where: str, look: Callable[[], None]) -> Result:
    try:
        look()
    except StoreOutdated:
        return Result(name, "ok", f"{where}; the next start of the gateway prepares the database")
    except StoreFailed as error:
        problem, _, remedy = str(error).partition("; ")
        return Result(name, "warn", problem, remedy or "look at the log of the database")
    return Result(name, "ok", where)
