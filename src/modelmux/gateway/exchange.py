"""What is known of one exchange while it runs, and the services it runs on."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from modelmux.claude.notices import Notice
from modelmux.gateway.buffered_relay import Pacing
from modelmux.gateway.dated_routes import RoutesToday
from modelmux.gateway.deployments import Fleet
from modelmux.gateway.relay import StreamRelay
from modelmux.gateway.thinking_store import ThoughtStore
from modelmux.providers.vertex_claude.provider import Vertex
from modelmux.routing.model import Deployment, Route
from modelmux.routing.retry import RetryPolicy
from modelmux.routing.stream_mode import Mode
from modelmux.telemetry.log import Log
from modelmux.telemetry.metrics import Metrics
from modelmux.upstream.base import TokenSource, Upstream
from modelmux.upstream.downloads.fetcher import Fetched
from modelmux.wire import anthropic


class Downloads(Protocol):
    """Fetches what URLs of a request hold; ``upstream/downloads/fetcher.py`` is the real one."""

    async def fetch_all(self, urls: Iterable[str]) -> Mapping[str, Fetched]:
        """:raises NotFetched: a URL that may not or cannot be fetched."""
        ...

    def forget(self, url: str) -> None:
        """Drop a kept answer that proved useless."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What every exchange uses; built once by ``app.py``. Clock, sleep, ids and randomness come in here."""

    routes: RoutesToday
    vertex: Vertex
    upstream: Upstream
    tokens: TokenSource
    policy: RetryPolicy
    fleet: Fleet
    metrics: Metrics
    log: Log
    now: Callable[[], float]  # Unix seconds
    clock: Callable[[], float]  # monotonic seconds
    sleep: Callable[[float], Awaitable[None]]
    new_id: Callable[[], str]
    jitter: Callable[[], float]  # 0 to 1
    thoughts: ThoughtStore
    downloads: Downloads
    pacing: Pacing
    strict: bool = False


class Exchange(Struct):
    """One request on its way. Only ``gateway`` writes here; ``settle`` reads it once at the end."""

    request_id: str
    started: float
    owner: str = ""  # digest of the caller's key: what is remembered for one is not shown to another
    strict: bool = False
    timeout: float = math.inf  # seconds the client gives it, from ``started``
    headers: Sequence[tuple[bytes, bytes]] = ()  # the request's; they say who the client is
    request_bytes: int = 0
    response_bytes: int = 0  # so far, without the head
    stream: bool = False
    mode: Mode = "standard"  # of the stream, if one is asked for
    remembers: bool = False  # the model may think, so what led to its tool calls is kept
    route: Route | None = None
    affinity: bytes | None = None  # names the conversation, where a route has several deployments
    deadline: float = math.inf  # monotonic seconds; nothing begins then or later
    tried: list[Deployment] = []
    notices: list[Notice] = []
    first_content: float | None = None
    usage: anthropic.Usage | None = None
    upstream_request_id: str | None = None
    unknown: set[str] = set()
    settled: bool = False

    @property
    def model(self) -> str:
        """The catalog's id of the model that answers."""
        assert self.route is not None
        return self.route.deployments[0].card.id


class Answer(Struct):
    """What the server sends: a body, or a stream to read until it is empty. Always settle it with ``finish``.

    :param events: the body is a whole event stream.
    """

    exchange: Exchange
    body: bytes = b""
    relay: StreamRelay | None = None
    events: bool = False
