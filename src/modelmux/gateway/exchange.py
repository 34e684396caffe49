"""What is known of one exchange while it runs, and the services it runs on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from modelmux.routing.resolve import Deployment, Route, Routes
from modelmux.routing.retry import Policy
from modelmux.telemetry.logs import Log
from modelmux.telemetry.metrics import Metrics
from modelmux.translate.notices import Notice
from modelmux.upstream.base import TokenSource, Upstream
from modelmux.upstream.vertex import Vertex
from modelmux.wire import anthropic


@dataclass(frozen=True, slots=True)
class Services:
    """What every exchange uses; built once by ``app.py``. Clock, sleep, ids and randomness come in here."""

    routes: Routes
    vertex: Vertex
    upstream: Upstream
    tokens: TokenSource
    policy: Policy
    metrics: Metrics
    log: Log
    now: Callable[[], float]  # Unix seconds
    clock: Callable[[], float]  # monotonic seconds
    sleep: Callable[[float], Awaitable[None]]
    new_id: Callable[[], str]
    jitter: Callable[[], float]  # 0 to 1


@dataclass(slots=True)
class Exchange:
    """One request on its way. Only ``gateway`` writes here; ``settle`` reads it once at the end."""

    request_id: str
    started: float
    model: str = ""
    stream: bool = False
    route: Route | None = None
    tried: list[Deployment] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    first_content: float | None = None
    usage: anthropic.Usage | None = None
    upstream_request_id: str | None = None
    unknown: set[str] = field(default_factory=set)
    settled: bool = False
