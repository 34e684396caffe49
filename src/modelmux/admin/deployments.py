"""``/deployments``, ``/models``: where calls may go and how that is now, and which names are served by which models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final

from msgspec import Struct

from modelmux.accounts.own_prices import with_own_prices
from modelmux.accounts.periods import day_of
from modelmux.accounts.views import time_text
from modelmux.admin.backend import WorkerState
from modelmux.admin.operation import Call, ListParams, Operation, Page, Reply, page_of
from modelmux.catalog import ModelCard, lifecycle_warning
from modelmux.config import build_routes
from modelmux.config.model_rows import locations_of, model_row
from modelmux.routing.model import Deployment, Route
from modelmux.routing.routes import Routes
from modelmux.telemetry.deployment_report import Circuit, DeploymentReport, QuotaState

_MICRO: Final = 1_000_000
#: From what counts least to what counts most, where workers differ.
_CIRCUITS: Final[tuple[Circuit, ...]] = ("closed", "half_open", "open")
_QUOTAS: Final[tuple[QuotaState, ...]] = ("available", "cooldown", "zero")
#: Facts of a card that say what a model takes. The rest is in fields of their own.
_CAPABILITIES: Final = (
    "thinking_default", "sampling", "prefill", "forced_tool_choice", "structured_output", "web_search", "fast_mode",
    "preserved_thinking", "cache_minimum",
)  # fmt: skip


class DeploymentView(Struct, frozen=True, kw_only=True):
    """Where calls may go: a model in a location, and the names that are served by it.

    :param in_flight, queued: attempts of all workers, that run and that wait for a slot.
    :param circuit, quota: of the worker that knows the worst; each learns by its own calls.
    :param available_at: when the last of the workers tries it again as any other; null if all do now.
    :param avoided_by: workers that prefer others now.
    """

    id: str
    model: str
    location: str
    weight: int
    order: int
    max_in_flight: int | None
    routes: list[str]
    in_flight: int
    queued: int
    circuit: Circuit
    quota: QuotaState
    available_at: str | None
    avoided_by: int


class ModelView(Struct, frozen=True, kw_only=True):
    """A name that clients may ask for. :param id: the name.

    :param other_models: that may answer, too. :param deployments: ids, in the order in which they are tried.
    :param fallbacks: names of which the last deployments are.
    :param context, max_output: tokens. :param capabilities: what the model takes, as the catalog has it.
    :param prices: of its locations, in USD; null if they are unknown. :param price_checked_on: day of the comparison
        with the source; null for own ones. :param price_age_days: since then.
    :param retires_on: the earliest day, ``retired_on`` the certain one. :param notice: what to do about that.
    :param known: the catalog has the model. :param configured: the configuration has the name.
    """

    id: str
    model: str
    other_models: list[str]
    deployments: list[str]
    fallbacks: list[str]
    locations: list[str]
    context: int
    max_output: int
    thinking: list[str]
    effort: list[str]
    capabilities: dict[str, Any]
    prices: dict[str, Any] | None
    price_checked_on: str | None
    price_age_days: int | None
    lifecycle: str
    released_on: str | None
    retires_on: str | None
    retired_on: str | None
    replacement: str | None
    notice: str | None
    known: bool
    configured: bool


async def list_deployments(call: Call) -> Reply:
    routes = _routes(call).visible_names
    names: dict[str, list[str]] = {}
    deployments: dict[str, Deployment] = {}
    for name, route in routes.items():
        for one in route.deployments:
            deployments.setdefault(one.id, one)
            names.setdefault(one.id, []).append(name)
    reports = _reports(call.backend.workers())
    views = [_deployment(one, names[one.id], reports.get(one.id, []), call.now) for one in deployments.values()]
    return Reply(page_of(views, call.params, lambda view: view))


async def list_models(call: Call) -> Reply:
    directory, config, today = await call.read(), call.backend.config, day_of(call.now)
    prices = with_own_prices(config.build_prices(), directory.prices)
    routes = _routes(call)
    configured = {*(route.name for route in routes.configured), *(alias.name for alias in routes.aliases)}
    views = [
        _model(model_row(name, locations_of(route), route.models, prices, today), route, today, name in configured)
        for name, route in routes.visible_names.items()
    ]
    return Reply(page_of(views, call.params, lambda view: view))


def _routes(call: Call) -> Routes:
    config = call.backend.config
    return build_routes(config, config.build_catalog(), day_of(call.now))


def _reports(workers: Sequence[WorkerState]) -> dict[str, list[DeploymentReport]]:
    by_id: dict[str, list[DeploymentReport]] = {}
    for worker in workers:
        for report in worker.deployments:
            by_id.setdefault(report.id, []).append(report)
    return by_id


def _deployment(one: Deployment, routes: list[str], reports: Iterable[DeploymentReport], now: int) -> DeploymentView:
    current = [_at(report, now / _MICRO) for report in reports]
    until = max((report.until for report in current), default=0.0)
    return DeploymentView(
        id=one.id, model=one.card.id, location=one.location, weight=one.weight, order=one.order,
        max_in_flight=one.max_in_flight, routes=routes,
        in_flight=sum(report.in_flight for report in current), queued=sum(report.queued for report in current),
        circuit=max((report.circuit for report in current), key=_CIRCUITS.index, default="closed"),
        quota=max((report.quota for report in current), key=_QUOTAS.index, default="available"),
        available_at=time_text(int(until * _MICRO)) if until else None,
        avoided_by=sum(report.circuit != "closed" or report.quota != "available" for report in current),
    )  # fmt: skip


def _at(report: DeploymentReport, now: float) -> DeploymentReport:
    """What a report means by now: workers do not report the end of a cooldown, only the next attempt."""
    if report.until > now or not report.until:
        return report
    quota: QuotaState = "zero" if report.quota == "zero" else "available"
    circuit: Circuit = "half_open" if report.circuit != "closed" else "closed"
    return DeploymentReport(
        id=report.id, in_flight=report.in_flight, queued=report.queued, circuit=circuit, quota=quota
    )


def _model(row: dict[str, Any], route: Route, today: date, configured: bool) -> ModelView:
    card, price = route.card, row["prices"]
    checked = None if price is None else price["checked"]
    return ModelView(
        id=row["name"], model=row["model"], other_models=row["other_models"],
        deployments=[one.id for one in route.deployments], fallbacks=list(route.fallbacks), locations=row["locations"],
        context=row["context"], max_output=row["max_output"], thinking=row["thinking"], effort=row["effort"],
        capabilities=_capabilities(card), prices=price, price_checked_on=checked,
        price_age_days=None if checked is None else (today - date.fromisoformat(checked)).days,
        lifecycle=row["lifecycle"], released_on=card.released_on.isoformat() if card.released_on else None,
        retires_on=row["retires"], retired_on=row["retired"], replacement=card.replacement,
        notice=lifecycle_warning(card, today), known=card.known,
        configured=configured,
    )  # fmt: skip


def _capabilities(card: ModelCard) -> dict[str, Any]:
    return {name: getattr(card, name) for name in _CAPABILITIES}


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "GET", "/deployments", "List where calls may go, and how that is", "status.read", Page[DeploymentView],
        list_deployments, ListParams, without_accounts=True,
    ),
    Operation(
        "GET", "/models", "List the names that are served, with their models", "status.read", Page[ModelView],
        list_models, ListParams, without_accounts=True,
    ),
)  # fmt: skip
