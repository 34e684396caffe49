"""The stores that the admin API works on, of a configuration; opened in the process that serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from modelmux.admin.backend import QUERY_LIMIT, AskWorkers, Backend, WorkerState
from modelmux.admin.no_directory import NoDirectory
from modelmux.config import Config
from modelmux.config.effective_config import NO_SETTINGS, Settings
from modelmux.runtime import Runtime
from modelmux.store.directory.base import DirectoryStore
from modelmux.store.directory.issuer import Issuer, NewIds
from modelmux.store.directory.open_directory import open_directory, read_peppers
from modelmux.store.files import state_directory
from modelmux.store.ledger.base import Ledger
from modelmux.store.ledger.open_ledger import open_ledger
from modelmux.telemetry.counted import Counted
from modelmux.telemetry.log import Log


def open_stores(config: Config, log: Log) -> tuple[DirectoryStore, Ledger | None]:
    """The stores of accounts; without accounts, an empty directory and no ledger. They must not be used before a fork.

    :param log: see ``NoDirectory``. :raises ConfigError, StoreFailed: they cannot be used.
    """
    if not config.accounts.enabled:
        return NoDirectory(log), None
    return open_directory(config, query_limit=QUERY_LIMIT), open_ledger(config, query_limit=QUERY_LIMIT)


def open_backend(
    config: Config,
    directory: DirectoryStore,
    ledger: Ledger | None,
    environment: Mapping[str, str],
    runtime: Runtime,
    await_workers: Callable[[int], Awaitable[int]],
    workers: Callable[[], Sequence[WorkerState]],
    ask_workers: AskWorkers,
    settings: Settings = NO_SETTINGS,
    counted: Callable[[], Counted] = Counted,
) -> Backend:
    """:param directory, ledger: stay the same when the configuration changes. :param settings: of it, to show.

    :param counted: see ``Backend``.
    """
    ids = NewIds(runtime.now)
    return Backend(
        config=config,
        directory=directory,
        rows=ledger,
        ids=ids,
        issuer=lambda: Issuer(read_peppers(config, environment, directory.load, runtime.now), runtime.now),
        now=ids.now,
        clock=runtime.clock,
        await_workers=await_workers,
        workers=workers,
        ask_workers=ask_workers,
        counted=counted,
        state_directory=_state_directory(config, environment),
        settings=settings,
        environment=environment,
    )


def _state_directory(config: Config, environment: Mapping[str, str]) -> Path | None:
    try:
        return state_directory(config.server.state_dir, environment)
    except RuntimeError:  # there is no home directory
        return None
