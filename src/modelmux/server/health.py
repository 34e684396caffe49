"""Health, readiness, metrics and the root page. The model list is in ``models.py``.

With several workers, each reports the totals of all. Not in this module: how the totals are collected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from modelmux.dialects.registry import api_paths
from modelmux.errors import EndpointNotFound
from modelmux.server.exposition import content_type, wants_open_metrics
from modelmux.server.loop_lag import LoopLag
from modelmux.telemetry.metrics import Metrics, health_counters
from modelmux.telemetry.worker_metrics import GatewayTotals
from modelmux.version import __version__

_LIVE: Final = ("/livez", "/healthz", "/health/liveliness", "/health/liveness")
_READY: Final = ("/readyz", "/health/readiness")


class Readiness:
    """Whether the gateway can serve.

    :ivar draining: it is about to stop and should get no new requests.
    :ivar ending: the drain is over: a request that is cancelled now sends its client an in-band error.
    :ivar aggregate: the totals of all workers, with their metrics or without. None where there is one process only.
    :ivar loop_lag: whether the event loop keeps up.
    :ivar on_change: called when ``problem`` was set.
    """

    def __init__(self) -> None:
        self.draining = False
        self.ending = False
        self.aggregate: Callable[[bool], GatewayTotals] | None = None
        self.on_change: Callable[[], None] | None = None
        self.loop_lag = LoopLag()
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why it cannot serve, in one word."""
        return self._problem

    @problem.setter
    def problem(self, problem: str | None) -> None:
        self._problem = problem
        if self.on_change is not None:
            self.on_change()

    def all_workers(self, *, metrics: bool = False) -> GatewayTotals | None:
        """The totals of all workers; None if this process is the only one."""
        return None if self.aggregate is None else self.aggregate(metrics)


def page_routes(metrics: Metrics, readiness: Readiness, *, shows_metrics: bool = True) -> list[Route]:
    """The Starlette routes. All pages respond at once, without waiting.

    :param shows_metrics: ``/metrics`` is here, and not only at the admin API.
    """

    async def root(_: Request) -> Response:
        return JSONResponse(
            {"name": "modelmux", "version": __version__, "openai_base_path": "/v1", "apis": api_paths()}
        )

    async def hello(_: Request) -> Response:
        return Response()

    async def health(_: Request) -> Response:
        totals = readiness.all_workers()
        if totals is None:
            return JSONResponse({"status": "ok", "metrics": metrics.health()})
        return JSONResponse({"status": "ok", "metrics": health_counters(totals.counts), "workers": _workers(totals)})

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        totals = readiness.all_workers()
        problem = "draining" if readiness.draining else readiness.problem or (totals.problem if totals else None)
        if not problem and readiness.loop_lag.lagging:
            problem = "event_loop_lag"
        body: dict[str, Any] = {"status": "not ready", "reason": problem} if problem else {"status": "ok"}
        if totals is not None:
            body["workers"] = _workers(totals)
        return JSONResponse(body, 503 if problem else 200)

    async def scrape(request: Request) -> Response:
        if not shows_metrics:
            raise EndpointNotFound("/metrics is not served here.", hint="It is on the listener of the admin API.")
        totals = readiness.all_workers(metrics=True)
        open_metrics = wants_open_metrics(request.headers.get("accept", ""))
        if totals is None:
            text = metrics.expose(open_metrics=open_metrics)
        else:
            text = metrics.expose_all(totals, open_metrics=open_metrics)
        return Response(text, media_type=content_type(open_metrics=open_metrics))

    return [
        Route("/", root),
        Route("/api/hello", hello),
        Route("/health", health),
        *(Route(path, live) for path in _LIVE),
        *(Route(path, ready) for path in _READY),
        Route("/metrics", scrape),
    ]


def _workers(totals: GatewayTotals) -> dict[str, int]:
    return {"ready": totals.ready, "total": totals.total}
