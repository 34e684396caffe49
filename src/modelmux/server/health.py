"""Pages for machines and newcomers: health, readiness, metrics, the root. The model list is in ``models.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from modelmux.telemetry.metrics import Metrics
from modelmux.version import __version__

#: Ours first, then the names that LiteLLM gives them.
_LIVE: Final = ("/livez", "/healthz", "/health/liveliness", "/health/liveness")
_READY: Final = ("/readyz", "/health/readiness")
#: Anybody may ask these: they tell nothing but that the process lives, and its counters.
OPEN_PATHS = frozenset({"/", "/health", *_LIVE, *_READY})


@dataclass(slots=True)
class Readiness:
    """Whether the gateway can serve.

    :param draining: it is about to stop and wants no new requests.
    :param ending: the time of running requests is over: one that is cancelled now tells its client so.
    :param problem: what is in the way, in one word.
    """

    draining: bool = False
    ending: bool = False
    problem: str | None = None


def page_routes(metrics: Metrics, readiness: Readiness) -> list[Route]:
    """The Starlette routes. No page does I/O or waits."""

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

    async def exposition(_: Request) -> Response:
        return Response(metrics.expose(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [
        Route("/", root),
        Route("/health", health),
        *(Route(path, live) for path in _LIVE),
        *(Route(path, ready) for path in _READY),
        Route("/metrics", exposition),
    ]
