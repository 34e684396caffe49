"""What the admin API works on: the stores of accounts, and the workers of the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from modelmux.config import Config
from modelmux.store.directory.base import DirectoryStore
from modelmux.store.directory.issuer import Issuer, NewIds
from modelmux.store.ledger.base import Ledger


class WorkerState(Struct, frozen=True, kw_only=True):
    """A worker of the gateway.

    :param started: Unix seconds.
    :param in_flight: requests that run.
    :param directory_version: of the accounts by which it admits requests; None if there was none yet.
    """

    index: int
    pid: int
    started: float
    in_flight: int
    directory_version: int | None


@dataclass(frozen=True)
class Backend:
    """What handlers of the admin API read and change.

    :param issuer: reads the pepper, and makes it if there is none: for new secrets alone.
    :param now: microseconds in UTC. :param clock: monotonic seconds.
    :param await_workers: waits until each worker has a version of the directory, for at most a second; returns how many
        have not.
    """

    config: Config
    directory: DirectoryStore
    ledger: Ledger
    ids: NewIds
    issuer: Callable[[], Issuer]
    now: Callable[[], int]
    clock: Callable[[], float]
    await_workers: Callable[[int], Awaitable[int]]
    workers: Callable[[], Sequence[WorkerState]]
