"""``/status``, ``/workers``, ``/deployments``: how the gateway and its ledger are."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Struct

from modelmux.accounts.periods import day_of
from modelmux.accounts.views import time_text
from modelmux.admin.backend import WorkerState
from modelmux.admin.operation import Call, ListParams, Operation, Page, Reply, page_of
from modelmux.config import build_routes
from modelmux.store.journal.journal import journal_directory, journal_paths
from modelmux.store.ledger.open_ledger import ledger_path
from modelmux.version import __version__

_MICRO: Final = 1_000_000


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


class DeploymentView(Struct, frozen=True, kw_only=True):
    """Where calls may go: a model in a location, and the names that are served by it."""

    id: str
    model: str
    location: str
    weight: int
    order: int
    max_in_flight: int | None
    routes: list[str]


class HolderView(Struct, frozen=True, kw_only=True):
    """A process that has leases on budgets. :param windows: on how many. :param seen_at: its last exchange."""

    id: str
    seen_at: str | None
    windows: int


class LedgerView(Struct, frozen=True, kw_only=True):
    """The ledger of this machine.

    :param schema: number of the last migration. :param bytes: of its file, without the log.
    :param first_at, last_at: of the rows that there are.
    :param dropped_before: rows of before are gone, their sums are not.
    :param alerts_due: that were not delivered yet.
    :param journals: files of requests that run, and of killed processes.
    """

    schema: int
    sqlite: str
    bytes: int
    first_at: str | None
    last_at: str | None
    dropped_before: str | None
    alerts_due: int
    journals: int
    holders: list[HolderView]


class StatusView(Struct, frozen=True, kw_only=True):
    """:param in_flight: requests that run in all workers."""

    version: str
    now: str | None
    directory_version: int
    workers: list[WorkerView]
    in_flight: int
    ledger: LedgerView


async def list_workers(call: Call) -> Reply:
    directory = await call.read()
    return Reply(page_of(_workers(call, directory.version), call.params, lambda view: view))


async def list_deployments(call: Call) -> Reply:
    config = call.backend.config
    views: dict[str, DeploymentView] = {}
    routes = build_routes(config, config.build_catalog(), day_of(call.now))
    for name, route in routes.visible_names.items():
        for one in route.deployments:
            known = views.get(one.id)
            if known is None:
                known = views[one.id] = DeploymentView(
                    id=one.id, model=one.card.id, location=one.location, weight=one.weight, order=one.order,
                    max_in_flight=one.max_in_flight, routes=[],
                )  # fmt: skip
            known.routes.append(name)
    return Reply(page_of(views.values(), call.params, lambda view: view))


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
            ledger=await _ledger(call),
        )
    )


async def _ledger(call: Call) -> LedgerView:
    state = await call.backend.ledger.state()
    directory = journal_directory(ledger_path(call.backend.config))
    journals = await asyncio.to_thread(journal_paths, directory)
    holders = [HolderView(id=one.name, seen_at=time_text(one.seen), windows=one.windows) for one in state.holders]
    return LedgerView(
        schema=state.schema,
        sqlite=state.library,
        bytes=state.bytes,
        first_at=time_text(state.first),
        last_at=time_text(state.last),
        dropped_before=time_text(state.dropped_before),
        alerts_due=state.alerts_due,
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
    Operation("GET", "/status", "Read how the gateway and its ledger are", "status.read", StatusView, read_status),
    Operation("GET", "/workers", "List workers", "status.read", Page[WorkerView], list_workers, ListParams),
    Operation(
        "GET", "/deployments", "List where calls may go", "status.read", Page[DeploymentView], list_deployments,
        ListParams,
    ),
)  # fmt: skip
