"""Which store of responses a configuration asks for, and what dialects are told about it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelmux.config.conversations_check import responses_url
from modelmux.config.home import visible
from modelmux.config.postgres_url import PostgresUrl, is_postgres
from modelmux.config.schema import Config
from modelmux.config.seal_keys import read_seal_keys
from modelmux.dialects.aes_siv_sealer import AesSivSealer
from modelmux.dialects.base import DialectOptions
from modelmux.runtime import Runtime
from modelmux.store.base import ResponseLimits, ResponseStore, StoreFailed
from modelmux.store.local_state import LocalState
from modelmux.store.memory_responses import MemoryResponseStore
from modelmux.store.no_responses import NoResponseStore

FILE_NAME: Final = "responses.sqlite3"
#: Items in the memory of one process; a file may have more.
_MAX_ITEMS_IN_MEMORY: Final = 200_000
#: Those of all nodes together.
MAX_ITEMS_IN_DATABASE: Final = 10_000_000
#: What to do where the file cannot be created or written.
STORE_REMEDY: Final = 'set server.state_dir to a writable directory, or responses.store to "memory" or "off"'
#: What to do where there is a file that cannot be used.
FILE_REMEDY: Final = f"move the file away, with -wal and -shm beside it, or {STORE_REMEDY}"


@dataclass(frozen=True, slots=True)
class OpenedResponses:
    """The store of a process. It is closed with ``store.aclose``.

    :param largest: bytes of the largest response that is stored; None if none is.
    :param notice: what is kept, where and for how long, for people.
    :param warning: what an operator should change.
    """

    store: ResponseStore
    largest: int | None = None
    notice: str = "no responses are stored"
    warning: str | None = None


def open_responses(config: Config, state: LocalState, runtime: Runtime) -> OpenedResponses:
    """The store that ``responses.store`` asks for; one that stores nothing if its file cannot be used.

    May be called before workers are forked: no file stays open.

    :raises ConfigError: it is the URL of a database that cannot be used.
    """
    database = responses_url(config)
    if database is not None:
        return _in_database(config, database, state, runtime)
    kind = store_kind(config, state)
    if kind == "off":
        return OpenedResponses(NoResponseStore(), warning=left_over(state))
    if kind == "memory":
        return _in_memory(config, state, runtime)
    if state.directory is None:
        return _unusable(state.problem or "there is no directory for them")
    return _in_file(config, state.directory / FILE_NAME, runtime)


def store_kind(config: Config, state: LocalState) -> str:
    """``memory``, ``sqlite``, ``postgres`` or ``off``."""
    kind = config.responses.store
    if kind != "auto":
        return "postgres" if is_postgres(kind) else kind
    # A library has no directory unless a setting names one, and one process.
    in_library = state.directory is None and state.problem is None
    return "memory" if config.server.workers == 1 or in_library else "sqlite"


def seal_keys(config: Config, state: LocalState) -> tuple[bytes, ...]:
    """The configured keys, else that of the state directory; the first one is used for what is new.

    :raises ConfigError: seal keys that cannot be used.
    """
    return tuple(read_seal_keys(key.reveal() for key in config.server.seal_keys)) or (state.seal_key(),)


def dialect_options(config: Config, state: LocalState, responses: OpenedResponses) -> DialectOptions:
    """What dialects are told of a configuration.

    :param responses: the store of the process, which may be that of an earlier configuration.
    :raises ConfigError: seal keys that cannot be used.
    """
    settings = config.responses
    return DialectOptions(
        sealer=AesSivSealer(seal_keys(config, state)),
        stores_responses=responses.largest is not None,
        max_stored_bytes=responses.largest or 0,
        drops_hosted_tools=settings.hosted_tools == "drop",
        web_search=settings.web_search,
        sends_done=settings.done_marker,
        codex_refusals_as_text=settings.codex_refusals_as_text,
    )


def _in_memory(config: Config, state: LocalState, runtime: Runtime) -> OpenedResponses:
    limits = _limits(config, _MAX_ITEMS_IN_MEMORY)
    warning = "; ".join(filter(None, (not_shared(config), left_over(state)))) or None
    store = MemoryResponseStore(runtime.clock, limits)
    return OpenedResponses(store, limits.largest_response, _notice("in memory", limits.ttl), warning)


def _in_file(config: Config, path: Path, runtime: Runtime) -> OpenedResponses:
    limits = _limits(config, ResponseLimits().max_items)
    try:
        from modelmux.store.sqlite_responses import SqliteResponseStore  # a Python may have been built without SQLite

        store = SqliteResponseStore(path, runtime.now, limits, clock=runtime.clock)
        store.check()
    except ImportError:
        return _unusable("this Python has no module sqlite3")
    except StoreFailed as error:
        return _unusable(str(error), FILE_REMEDY if path.is_file() else STORE_REMEDY)
    return OpenedResponses(store, limits.largest_response, _notice(f"in {path}", limits.ttl))


def _in_database(config: Config, database: PostgresUrl, state: LocalState, runtime: Runtime) -> OpenedResponses:
    """The store is used though it cannot be reached now: each call tries again."""
    limits = _limits(config, MAX_ITEMS_IN_DATABASE)
    # Not imported without a database. What it seals is sealed as that which clients get.
    module = importlib.import_module("modelmux.store.postgres_responses")
    sealer = AesSivSealer(seal_keys(config, state))
    store = module.PostgresResponseStore(database, sealer, runtime.now, limits, clock=runtime.clock)
    problem = None
    try:
        store.check()
    except StoreFailed as error:
        problem = f"responses are not stored now: {error}"
    warning = "; ".join(filter(None, (problem, left_over(state)))) or None
    return OpenedResponses(store, limits.largest_response, _notice(f"sealed in {database}", limits.ttl), warning)


def not_shared(config: Config) -> str | None:
    """Responses in memory that other workers do not find, as a warning."""
    workers = config.server.workers
    if workers == 1 or config.responses.store != "memory":
        return None
    return f'responses.store = "memory" with {workers} workers: a worker knows its own responses only; use "sqlite"'


def left_over(state: LocalState) -> str | None:
    """Prompts that are kept although nothing reads them, as a warning."""
    path = None if state.directory is None else state.directory / FILE_NAME
    if path is None or not visible(path):
        return None
    return (
        f"{path} has responses of an earlier start, prompts included: delete it, with -wal and -shm beside it, unless "
        "another gateway uses it"
    )


def _unusable(problem: str, remedy: str = STORE_REMEDY) -> OpenedResponses:
    return OpenedResponses(NoResponseStore(), warning=f"no responses are stored ({problem}); {remedy}")


def _limits(config: Config, max_items: int) -> ResponseLimits:
    settings = config.responses
    return ResponseLimits(ttl=float(settings.ttl), max_bytes=settings.max_bytes, max_items=max_items)


def _notice(where: str, ttl: float) -> str:
    return (
        f"responses that clients ask to store are kept {where}, prompts included, for {describe_duration(ttl)} after "
        'their last use; responses.store = "off" turns that off'
    )


def describe_duration(seconds: float) -> str:
    """A duration for people: ``30 d``, ``1 h``, ``90 min``, ``45 s``."""
    for unit, scale in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % scale == 0:
            return f"{seconds / scale:g} {unit}"
    return f"{seconds:g} s"
