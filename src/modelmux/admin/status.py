"""``/status``, ``/workers``: how the gateway and its ledger are."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Struct

from modelmux.accounts.views import time_text
from modelmux.admin.backend import WorkerState
from modelmux.admin.operation import Call, ListParams, Operation, Page, Reply, page_of
from modelmux.store.journal.journal import journal_directory, journal_paths
from modelmux.store.ledger.open_ledger import ledger_path
from modelmux.telemetry.quantiles import Latency
from modelmux.version import __version__

_MICRO: Final = 1_000_000
#: How the version of the library begins.
_POSTGRESQL: Final = "PostgreSQL "


class WorkerView(Struct, frozen=True, kw_only=True):
    """A worker process.

    :param directory_version: of the accounts by which it admits requests.
    :param is_current: it has the accounts of now.
    """

    id: str
    pid: int
    started_at: str | None
    in_flight: int
    directory_version: int | None
    is_current: bool


class HolderView(Struct, frozen=True, kw_only=True):
    """A process that has leases on budgets.

    :param node: the server whose process it is, where several share the ledger.
    :param windows: on how many. :param seen_at: its last exchange, or the last renewal of its leases.
    """

    id: str
    node: str | None
    seen_at: str | None
    windows: int


class LedgerView(Struct, frozen=True, kw_only=True):
    """The ledger, and the journals of this machine.

    :param schema: number of the last migration.
    :param sqlite, postgresql: version of what it is kept in.
    :param bytes: of its file, without the log, or of its database.
    :param first_at, last_at: of the rows that there are.
    :param dropped_before: rows of before are gone, their sums are not.
    :param alerts_due: that were not delivered yet.
    :param nodes: how many servers are alive, where several can share it.
    :param journals: files of requests that run, and of killed processes.
    """

    schema: int
    sqlite: str | None
    postgresql: str | None
    bytes: int
    first_at: str | None
    last_at: str | None
    dropped_before: str | None
    alerts_due: int
    nodes: int | None
    journals: int
    holders: list[HolderView]


class StatusView(Struct, frozen=True, kw_only=True):
    """
    :param in_flight: requests that run in all workers. :param latency: of all requests since the start.
    :param ledger: null without accounts.
    """

    version: str
    now: str | None
    directory_version: int
    workers: list[WorkerView]
    in_flight: int
    latency: Latency
    ledger: LedgerView | None


async def list_workers(call: Call) -> Reply:
    directory = await call.read()
    return Reply(page_of(_workers(call, directory.version), call.params, lambda view: view))


async def read_status(call: Call) -> Reply:
    directory = await call.read()
    workers = _workers(call, directory.version)
    return Reply(
        StatusView(
            version=__version__,
            now=time_text(call.now),
            directory_version=directory.version,
            workers=workers,
            in_flight=sum(one.in_flight for one in workers),
            latency=call.backend.counted().latency,
            ledger=await _ledger(call) if call.backend.has_accounts else None,
        )
    )


async def _ledger(call: Call) -> LedgerView:
    state = await call.backend.ledger.state()
    directory = journal_directory(ledger_path(call.backend.config))
    journals = await asyncio.to_thread(journal_paths, directory)
    is_shared = state.library.startswith(_POSTGRESQL)
    holders = [
        HolderView(id=one.name, node=one.node, seen_at=time_text(one.seen), windows=one.windows)
        for one in state.holders
    ]
    return LedgerView(
        schema=state.schema,
        sqlite=None if is_shared else state.library,
        postgresql=state.library.removeprefix(_POSTGRESQL) if is_shared else None,
        bytes=state.bytes,
        first_at=time_text(state.first),
        last_at=time_text(state.last),
        dropped_before=time_text(state.dropped_before),
        alerts_due=state.alerts_due,
        nodes=state.nodes,
        journals=len(journals),
        holders=holders,
    )


def _workers(call: Call, version: int) -> list[WorkerView]:
    return [_worker(one, version) for one in call.backend.workers()]


def _worker(one: WorkerState, version: int) -> WorkerView:
    return WorkerView(
        id=f"{one.index:04}", pid=one.pid, started_at=time_text(int(one.started * _MICRO)), in_flight=one.in_flight,
        directory_version=one.directory_version, is_current=(one.directory_version or 0) >= version,
    )  # fmt: skip


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "GET", "/status", "Read how the gateway and its ledger are", "status.read", StatusView, read_status,
        without_accounts=True,
    ),
    Operation(
        "GET", "/workers", "List workers", "status.read", Page[WorkerView], list_workers, ListParams,
        without_accounts=True,
    ),
)  # fmt: skip
