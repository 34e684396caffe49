"""Risk: a gateway that takes requests although it cannot serve, or is restarted although it can."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.dialects.registry import SURFACES, Surface
from modelmux.errors import GatewayError, InvalidRequest
from modelmux.server.asgi import Application, Served, ServerOptions
from modelmux.server.auth import ApiKeys
from modelmux.server.health import Readiness, page_routes
from modelmux.server.pages import page_handler
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.worker_metrics import GatewayTotals
from support.asgi import Response, request
from support.exchange_world import RecordingLog

PAGES: tuple[Surface, ...] = tuple(surface for surface in SURFACES if surface.operation == "page")
LIVE = ("/livez", "/healthz", "/health/liveliness", "/health/liveness")
COUNTS = {"total": 9, "succeeded": 8, "failed": 1, "quota_errors": 0, "retries": 0}
READY = ("/readyz", "/health/readiness")


class Pages:
    def __init__(self, *, shows_metrics: bool = True) -> None:
        self.metrics, self.readiness = Metrics(), Readiness()
        routes = page_routes(self.metrics, self.readiness, shows_metrics=shows_metrics)
        pages = {route.path: route.endpoint for route in routes}

        async def nothing() -> None: ...

        def ignore(error: GatewayError, status: int) -> None: ...

        log: Any = RecordingLog()
        options = ServerOptions(ApiKeys([]), False, log, lambda: "req_1", ignore, nothing, nothing)
        self.app = Application([Served(surface, page_handler(pages[surface.path])) for surface in PAGES], options)

    async def get(self, path: str, method: str = "GET") -> Response:
        return await request(self.app, method, path)


def test_every_page_of_the_registry_exists_and_every_page_is_registered() -> None:
    assert {route.path for route in page_routes(Metrics(), Readiness())} == {surface.path for surface in PAGES}


@pytest.mark.parametrize("path", [surface.path for surface in PAGES])
async def test_every_page_answers_get_and_head_with_the_request_id(path: str) -> None:
    for method in ("GET", "HEAD"):
        response = await Pages().get(path, method)
        assert (response.status, response.headers["x-request-id"]) == (200, "req_1")


async def test_the_root_says_where_clients_go() -> None:
    root = (await Pages().get("/")).json()
    assert (root["name"], root["openai_base_path"]) == ("modelmux", "/v1")
    assert root["apis"].items() >= {"openai_chat": "/v1/chat/completions", "anthropic_messages": "/v1/messages"}.items()


@pytest.mark.parametrize("path", LIVE)
async def test_a_process_that_answers_is_alive(path: str) -> None:
    pages = Pages()
    pages.readiness.draining, pages.readiness.problem = True, "credentials"
    assert (await pages.get(path)).json() == {"status": "ok"}


@pytest.mark.parametrize("path", READY)
async def test_it_is_ready_unless_something_is_wrong(path: str) -> None:
    pages = Pages()
    assert (await pages.get(path)).json() == {"status": "ok"}
    pages.readiness.problem = "credentials"
    response = await pages.get(path)
    assert (response.status, response.json()) == (503, {"status": "not ready", "reason": "credentials"})
    pages.readiness.draining = True
    assert (await pages.get(path)).json()["reason"] == "draining"


async def test_the_health_page_has_the_counters() -> None:
    pages = Pages()
    pages.metrics.total, pages.metrics.succeeded, pages.metrics.failed = 4, 3, 1
    counters = (await pages.get("/health")).json()["metrics"]
    assert (counters["total_requests"], counters["success_rate"]) == (4, 0.75)


async def test_the_metrics_page_is_prometheus_text() -> None:
    pages = Pages()
    pages.metrics.count_error(InvalidRequest("no"))
    response = await pages.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'modelmux_error_responses_total{code="invalid_request_error",status="400"} 1.0' in response.body


async def test_a_change_of_readiness_is_reported() -> None:
    readiness, changes = Readiness(), list[str | None]()
    readiness.on_change = lambda: changes.append(readiness.problem)
    readiness.problem = "credentials"
    readiness.problem = None
    assert changes == ["credentials", None]


async def test_with_several_workers_each_answers_for_all() -> None:
    pages = Pages()
    requests: list[bool] = []

    def aggregate(metrics: bool) -> GatewayTotals:
        requests.append(metrics)
        return totals

    totals = GatewayTotals(counts=COUNTS, problem=None, ready=1, total=2)
    pages.readiness.aggregate = aggregate
    health = (await pages.get("/health")).json()
    assert (health["metrics"]["total_requests"], health["workers"]) == (9, {"ready": 1, "total": 2})
    assert (await pages.get("/readyz")).json()["workers"] == {"ready": 1, "total": 2}
    assert (await pages.get("/metrics")).status == 200
    assert requests == [False, False, True]


async def test_metrics_are_in_the_format_that_the_scraper_asks_for() -> None:
    pages = Pages()
    pages.metrics.requests.add("m", "ok")
    for accept, kind, end in (
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "application/openmetrics-text", b"# EOF\n"),
        ("*/*", "text/plain; version=0.0.4", b"\n"),
    ):
        response = await request(pages.app, "GET", "/metrics", headers={"accept": accept})
        assert response.headers["content-type"].startswith(kind)
        assert response.body.endswith(end)
        assert b'modelmux_requests_total{outcome="ok",route="m"} 1.0' in response.body
        assert (b"# EOF" in response.body) == (end == b"# EOF\n")


async def test_metrics_that_are_elsewhere_are_not_here() -> None:
    response = await Pages(shows_metrics=False).get("/metrics")
    assert response.status == 404
    assert "admin API" in response.json()["error"]["message"]
