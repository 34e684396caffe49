"""The stores that the admin API works on, of a configuration; opened in the process that serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from modelmux.accounts.edits import revoke_key
from modelmux.admin.backend import Backend, WorkerState
from modelmux.config import Config
from modelmux.runtime import Runtime
from modelmux.store.directory.base import Author, DirectoryStore
from modelmux.store.directory.issuer import Issuer, NewIds
from modelmux.store.directory.open_directory import read_peppers

_AUTHOR = Author("admin API", "admin")


def open_backend(
    config: Config,
    store: DirectoryStore,
    environment: Mapping[str, str],
    runtime: Runtime,
    await_workers: Callable[[int], Awaitable[int]],
    workers: Callable[[], Sequence[WorkerState]],
) -> Backend:
    """:param store: stays the same when the configuration changes."""
    ids = NewIds(runtime.now)

    async def end_requests(key: str) -> None:
        """The record of a key says that its requests are over: every worker reads it."""
        directory, _ = await store.change(
            lambda d: revoke_key(d, key, ids.now(), ends_requests=True), _AUTHOR, ids.now()
        )
        await await_workers(directory.version)

    return Backend(
        config=config,
        directory=store,
        ids=ids,
        issuer=lambda: Issuer(read_peppers(config, environment, store.load, runtime.now), runtime.now),
        now=ids.now,
        await_workers=await_workers,
        end_requests=end_requests,
        workers=workers,
    )
