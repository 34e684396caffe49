"""Pages for machines and newcomers: health, readiness, the model list, metrics, the root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from modelmux.errors import ModelNotFound
from modelmux.routing.resolve import Routes
from modelmux.telemetry.metrics import Metrics
from modelmux.version import __version__
from modelmux.wire.openai_common import Model, ModelList, encode

#: Anybody may ask these: they tell nothing but that the process lives, and its counters.
OPEN_PATHS = frozenset({"/", "/health", "/healthz", "/livez", "/readyz"})


@dataclass(slots=True)
class Readiness:
    """Whether the gateway can serve. ``problem`` names what is in the way, in one word."""

    draining: bool = False
    problem: str | None = None


def page_routes(routes: Routes, metrics: Metrics, readiness: Readiness, created: int) -> list[Route]:
    """The Starlette routes. No page does I/O or waits.

    :param created: Unix seconds to show as the models' creation.
    """

    async def root(_: Request) -> Response:
        return JSONResponse({"name": "modelmux", "version": __version__, "openai_base_path": "/v1"})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "metrics": metrics.health()})

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        problem = "draining" if readiness.draining else readiness.problem
        body: dict[str, Any] = {"status": "not ready", "reason": problem} if problem else {"status": "ok"}
        return JSONResponse(body, 503 if problem else 200)

    async def models(_: Request) -> Response:
        listed = ModelList(data=[Model(id=name, created=created) for name in routes.names])
        return Response(encode(listed), media_type="application/json")

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        known = {listed.lower(): listed for listed in routes.names}
        if name.lower() in known:
            return Response(encode(Model(id=known[name.lower()], created=created)), media_type="application/json")
        try:
            routes.find(name)
        except ModelNotFound as error:
            error.param = "model"
            raise
        return Response(encode(Model(id=name, created=created)), media_type="application/json")

    async def exposition(_: Request) -> Response:
        return Response(metrics.expose(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [
        Route("/", root),
        Route("/health", health),
        Route("/healthz", live),
        Route("/livez", live),
        Route("/readyz", ready),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),
        Route("/metrics", exposition),
    ]
