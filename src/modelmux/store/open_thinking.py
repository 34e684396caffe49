"""Which store of thinking a configuration asks for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from modelmux.config.conversations_check import thinking_url
from modelmux.config.redis_url import RedisUrl
from modelmux.config.schema import Config
from modelmux.dialects.aes_siv_sealer import AesSivSealer
from modelmux.runtime import Runtime
from modelmux.store.base import ThinkingStore
from modelmux.store.local_state import LocalState
from modelmux.store.memory import MemoryThinkingStore
from modelmux.store.open_responses import seal_keys

if TYPE_CHECKING:
    from modelmux.store.shared_thinking import SharedThinkingStore, ThinkingRows


def open_thinking(
    config: Config, state: LocalState, runtime: Runtime, on_problem: Callable[[str | None], None] = lambda _: None
) -> ThinkingStore:
    """The store that ``thinking.store`` asks for. One that cannot be reached is tried again.

    :param on_problem: see ``SharedThinkingStore``.
    :raises ConfigError: it is a URL that cannot be used, or a package for it is not installed.
    """
    memory, rows = MemoryThinkingStore(runtime.clock), _rows(config, runtime)
    if rows is None:
        return memory
    sealer = AesSivSealer(seal_keys(config, state))
    shared = importlib.import_module("modelmux.store.shared_thinking")
    store: SharedThinkingStore = shared.SharedThinkingStore(
        memory, rows, sealer, runtime.clock, runtime.now, runtime.sleep, on_problem
    )
    store.check()
    return store


def _rows(config: Config, runtime: Runtime) -> ThinkingRows | None:
    """The store of all nodes; None where each remembers for itself.

    :raises ConfigError: see ``open_thinking``.
    """
    url = thinking_url(config)
    if url is None:
        return None
    rows: ThinkingRows
    # What follows is not imported without such a store.
    if isinstance(url, RedisUrl):
        importlib.import_module("modelmux.store.redis.open_redis").check_driver(url.setting)
        redis = importlib.import_module("modelmux.store.redis.thinking_rows")
        rows = redis.RedisThinkingRows(url, config.tls.ca_file, runtime.now, clock=runtime.clock)
    else:
        postgres = importlib.import_module("modelmux.store.postgres_thinking")
        rows = postgres.PostgresThinkingRows(url, config.thinking.max_bytes, runtime.now, clock=runtime.clock)
    return rows
