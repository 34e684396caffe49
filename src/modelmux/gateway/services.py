"""The dependencies of the data path, built by ``app.py`` once for each configuration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelmux.dialects.base import Caller, DialectOptions, Inbound, RateLimit
from modelmux.gateway.capture.body_capture import BodyCapture
from modelmux.gateway.count_state import CountState
from modelmux.gateway.dated_routes import DatedRoutes
from modelmux.gateway.deployments import DeploymentPool
from modelmux.gateway.gates import Gates
from modelmux.gateway.large_requests import LargeRequests
from modelmux.gateway.metering.own_keys import OwnKeys
from modelmux.gateway.preparation import Prepared
from modelmux.gateway.refusals import Refusals
from modelmux.gateway.running_requests import RunningRequests
from modelmux.providers.base import Provider
from modelmux.routing.model import Deployment
from modelmux.routing.retry import RetryPolicy
from modelmux.routing.stream_mode import StreamModes
from modelmux.runtime import Runtime
from modelmux.store.base import ResponseStore, ThinkingStore
from modelmux.telemetry.log import Log
from modelmux.telemetry.observers import ExchangeObserver
from modelmux.telemetry.records import ExchangeRecord
from modelmux.telemetry.tracing.tracer import Tracer
from modelmux.upstream.base import TokenSource, Upstream
from modelmux.upstream.downloads.cache import Fetched


class Downloads(Protocol):
    """Fetches the files that URLs of a request refer to; ``upstream/downloads`` has the real one."""

    async def fetch_all(self, urls: Iterable[str], owner: str = "") -> Mapping[str, Fetched]:
        """:param owner: the client. :raises DownloadRefused: a URL that may not or cannot be fetched."""
        ...

    def forget(self, url: str) -> None:
        """Drop a cached file that turned out to be unusable."""
        ...


class Budgets(Protocol):
    """Holds what calls may cost; ``gateway/metering`` has the real one."""

    async def hold(self, exchange: Any, prepared: Prepared, deployment: Deployment) -> tuple[object | None, Prepared]:
        """Before each call. What is held is settled with the row of the request.

        :returns: what is held, None if no budget applies; and what to send, which may ask for fewer tokens.
        :raises BudgetSpent: it does not fit.
        """
        ...


#: Takes exchange, prepared request, deployment and what is held. It notes that a call is about to leave, so that the
#: request has its row if the process is killed, and returns the note; or raises ``StoreUnavailable``.
NoteCall = Callable[[Any, Prepared, Deployment, Any], Awaitable[object]]


class Limits(Protocol):
    """Keeps requests within the limits of keys, as one of the gates; ``gateway/limits`` has the real one."""

    def measures(self, caller: Caller) -> bool:
        """Whether it matters how long the prompts of a caller are."""
        ...

    @property
    def waits(self) -> bool:
        """Whether a request above a limit waits for room, so that it matters how long its body is."""
        ...

    def check(self, inbound: Inbound, size: int) -> Callable[[], Awaitable[object]] | None:
        """Before a large request is decoded, which takes long. Nothing is counted.

        :param size: bytes of its body.
        :returns: what it has to wait for, which may raise the same.
        :raises CallerRateLimited: its key has no requests left, whatever it asks for.
        """
        ...

    def admitted(self, entered: Sequence[object]) -> Admitted | None:
        """What a request has taken; None if nothing limits it. :param entered: what the gates have returned."""
        ...


class Admitted(Protocol):
    """What a request has taken of limits."""

    def limits(self, clock: float, now: float) -> Sequence[RateLimit]:
        """What is left, for headers. :param clock: monotonic seconds. :param now: Unix seconds."""
        ...


class Traces(Protocol):
    """Keeps records of requests; ``gateway/traces`` has the real one."""

    def capture_of(self, inbound: Inbound) -> BodyCapture | None:
        """For the bodies of a request; None if they are not kept."""
        ...

    def settled(
        self,
        record: ExchangeRecord,
        body: bytes | None,
        session: str | None,
        clock: float,
        capture: BodyCapture | None = None,
    ) -> None:
        """A request is over.

        :param body: of its last call. :param session: what its body calls the conversation.
        :param clock: monotonic seconds of now. :param capture: of its bodies.
        """
        ...


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How streams are sent.

    :param modes: which client gets which kind of stream.
    :param buffer_bytes, buffer_seconds: how much text the mode ``buffered`` holds back, and for how long.
    :param keep_alive_interval: seconds of silence after which a waiting client gets a sign of life; 0 for never.
    """

    modes: StreamModes
    buffer_bytes: int
    buffer_seconds: float
    keep_alive_interval: float


@dataclass(frozen=True, slots=True)
class Services:
    """See the module.

    :param budgets, note_call: None where requests leave no rows.
    :param limits, own_keys, running: None without accounts.
    :param tracer: None where requests are not traced. :param traces: None where no records of them are kept.
    :param is_metered: what a reply that breaks off has delivered is counted, because it is charged for.
    """

    routes: DatedRoutes
    deployments: DeploymentPool
    provider: Provider
    upstream: Upstream
    tokens: TokenSource
    downloads: Downloads
    thinking: ThinkingStore
    responses: ResponseStore
    refusals: Refusals
    counts: CountState
    gates: Gates
    observers: Sequence[ExchangeObserver]
    retry_policy: RetryPolicy
    streams: StreamSettings
    log: Log
    runtime: Runtime
    strict: bool = False
    estimates_tokens: bool = True
    is_metered: bool = False
    budgets: Budgets | None = None
    tracer: Tracer | None = None
    traces: Traces | None = None
    note_call: NoteCall | None = None
    limits: Limits | None = None
    own_keys: OwnKeys | None = None
    running: RunningRequests | None = None
    dialect_options: DialectOptions = field(default_factory=DialectOptions)
    large_requests: LargeRequests = field(default_factory=LargeRequests)
