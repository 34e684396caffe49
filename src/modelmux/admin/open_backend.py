"""The stores that the admin API works on, of a configuration; opened in the process that serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from modelmux.admin.backend import Backend, WorkerState
from modelmux.config import Config
from modelmux.runtime import Runtime
from modelmux.store.directory.base import DirectoryStore
from modelmux.store.directory.issuer import Issuer, NewIds
from modelmux.store.directory.open_directory import read_peppers
from modelmux.store.ledger.base import Ledger


def open_backend(
    config: Config,
    directory: DirectoryStore,
    ledger: Ledger,
    environment: Mapping[str, str],
    runtime: Runtime,
    await_workers: Callable[[int], Awaitable[int]],
    workers: Callable[[], Sequence[WorkerState]],
) -> Backend:
    """:param directory, ledger: stay the same when the configuration changes."""
    ids = NewIds(runtime.now)
    return Backend(
        config=config,
        directory=directory,
        ledger=ledger,
        ids=ids,
        issuer=lambda: Issuer(read_peppers(config, environment, directory.load, runtime.now), runtime.now),
        now=ids.now,
        clock=runtime.clock,
        await_workers=await_workers,
        workers=workers,
    )
