"""Pages for machines and newcomers: health, readiness, metrics, the root. The model list is in ``models.py``.

Where several workers serve, each answers for all of them. How it learns of the others must not come in here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from modelmux.telemetry.metrics import Metrics, health_counters
from modelmux.telemetry.worker_metrics import Whole, exposition
from modelmux.version import __version__

#: Ours first, then the names that LiteLLM gives them.
_LIVE: Final = ("/livez", "/healthz", "/health/liveliness", "/health/liveness")
_READY: Final = ("/readyz", "/health/readiness")
#: Anybody may ask these: they tell nothing but that the process lives, and its counters.
OPEN_PATHS = frozenset({"/", "/health", *_LIVE, *_READY})

_EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Readiness:
    """Whether the gateway can serve.

    :param draining: it is about to stop and wants no new requests.
    :param ending: the time of running requests is over: one that is cancelled now tells its client so.
    :param problem: what is in the way, in one word.
    :param ask: asks how all workers are together, with their metrics or without, in bounded time; None is the answer
        if that cannot be known now. None where there is one process only.
    """

    draining: bool = False
    ending: bool = False
    problem: str | None = None
    ask: Callable[[bool], Awaitable[Whole | None]] | None = None

    async def whole(self, *, metrics: bool = False) -> Whole | None:
        """How all workers are; None if there is this process only, or if it cannot be known now."""
        return None if self.ask is None else await self.ask(metrics)


def page_routes(metrics: Metrics, readiness: Readiness) -> list[Route]:
    """The Starlette routes. No page does I/O; with several workers some wait for the others, in bounded time."""

    async def root(_: Request) -> Response:
        return JSONResponse({"name": "modelmux", "version": __version__, "openai_base_path": "/v1"})

    async def health(_: Request) -> Response:
        whole = await readiness.whole()
        if whole is None:
            return JSONResponse({"status": "ok", "metrics": metrics.health()})
        workers = {"serving": whole.serving, "of": whole.of}
        return JSONResponse({"status": "ok", "metrics": health_counters(whole.counts), "workers": workers})

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        whole = await readiness.whole()
        problem = "draining" if readiness.draining else readiness.problem or (whole.problem if whole else None)
        body: dict[str, Any] = {"status": "not ready", "reason": problem} if problem else {"status": "ok"}
        if whole is not None:
            body["workers"] = {"serving": whole.serving, "of": whole.of}
        return JSONResponse(body, 503 if problem else 200)

    async def scrape(_: Request) -> Response:
        if readiness.ask is None:
            return Response(metrics.expose(), media_type=_EXPOSITION)
        whole = await readiness.whole(metrics=True)
        if whole is None or whole.families is None:  # one worker's alone would look like counters that fell
            return Response("the other workers could not be asked\n", 503, media_type="text/plain")
        return Response(exposition(whole.families), media_type=_EXPOSITION)

    return [
        Route("/", root),
        Route("/health", health),
        *(Route(path, live) for path in _LIVE),
        *(Route(path, ready) for path in _READY),
        Route("/metrics", scrape),
    ]
