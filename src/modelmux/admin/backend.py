"""What the admin API works on: the stores of accounts, and the workers of the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from modelmux.accounts.live_requests import LiveAnswer, LiveQuestion
from modelmux.config import Config
from modelmux.config.effective_config import NO_SETTINGS, Settings
from modelmux.store.directory.base import DirectoryStore
from modelmux.store.directory.issuer import Issuer, NewIds
from modelmux.store.ledger.base import Ledger
from modelmux.telemetry.counted import Counted
from modelmux.telemetry.deployment_report import DeploymentReport

#: Seconds after which a query is ended: a page that takes longer is reloaded, which makes it slower.
QUERY_LIMIT: Final = 2.0


class WorkerState(Struct, frozen=True, kw_only=True):
    """A worker of the gateway.

    :param started: Unix seconds.
    :param in_flight: requests that run.
    :param directory_version: of the accounts by which it admits requests; None if there was none yet.
    :param deployments: those that are in use, or were left alone when it reported.
    """

    index: int
    pid: int
    started: float
    in_flight: int
    directory_version: int | None
    deployments: tuple[DeploymentReport, ...] = ()


@dataclass(frozen=True)
class Answers:
    """:param by_worker: number -> what it has answered. :param missing: numbers of those that have not, in time."""

    by_worker: Mapping[int, LiveAnswer]
    missing: Sequence[int]


class AskWorkers(Protocol):
    """Asks workers about the requests that they run."""

    async def __call__(self, question: LiveQuestion, worker: int | None = None) -> Answers:
        """:param worker: only this one, which may not run; None for all that run. Waits for a second at most."""
        ...


@dataclass(frozen=True)
class Backend:
    """What handlers of the admin API read and change.

    :param issuer: reads the pepper, and makes it if there is none: for new secrets alone.
    :param now: microseconds in UTC. :param clock: monotonic seconds.
    :param settings: of ``config``, with their origins and without secrets. :param environment: of the process.
    :param await_workers: waits until each worker has a version of the directory, for at most a second; returns how many
        have not.
    :param ask_workers: see there.
    :param rows: the ledger; None without accounts.
    :param counted: by all workers together, since their start; must not wait.
    :param state_directory: where records of requests and captured bodies are; None if there is none.
    """

    config: Config
    directory: DirectoryStore
    rows: Ledger | None
    ids: NewIds
    issuer: Callable[[], Issuer]
    now: Callable[[], int]
    clock: Callable[[], float]
    await_workers: Callable[[int], Awaitable[int]]
    workers: Callable[[], Sequence[WorkerState]]
    ask_workers: AskWorkers
    counted: Callable[[], Counted] = Counted
    state_directory: Path | None = None
    settings: Settings = NO_SETTINGS
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def has_accounts(self) -> bool:
        return self.rows is not None

    @property
    def ledger(self) -> Ledger:
        """For operations that need accounts, which are called with them alone."""
        assert self.rows is not None, "accounts are on"
        return self.rows
