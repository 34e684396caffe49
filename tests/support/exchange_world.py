"""One exchange with a scripted client, a scripted upstream and all it needs, without sockets. See ``playbook``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from modelmux.catalog import Catalog, builtin
from modelmux.claude.options import Options
from modelmux.dialects.base import Caller, Decoded, Dialect, Inbound
from modelmux.errors import GatewayError, UpstreamBroken, UpstreamTimeout
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.gateway.concurrency import ConcurrencyLimiter
from modelmux.gateway.count_state import CountState
from modelmux.gateway.dated_routes import DatedRoutes
from modelmux.gateway.deployments import DeploymentPool
from modelmux.gateway.gates import ConcurrencyGate, Gates
from modelmux.gateway.large_requests import LargeRequests
from modelmux.gateway.refusals import Refusals
from modelmux.gateway.run import run
from modelmux.gateway.services import Downloads, Services, StreamSettings
from modelmux.providers.vertex_claude.provider import VertexClaude
from modelmux.routing.model import Deployment, Route
from modelmux.routing.retry import RetryPolicy
from modelmux.routing.routes import Routes
from modelmux.routing.stream_mode import ClientRule, Mode, StreamModes
from modelmux.runtime import Runtime
from modelmux.store.base import ResponseStore
from modelmux.store.memory import MemoryThinkingStore
from modelmux.store.no_responses import NoResponseStore
from modelmux.telemetry.records import AttemptRecord, ExchangeRecord
from modelmux.upstream.base import TokenSource
from modelmux.upstream.downloads.cache import Fetched
from modelmux.wire.http import DEFAULT_TIMEOUTS, Headers, HttpCall, Timeouts
from support.clock import loop_time
from support.fakes import FakeTokens

CARD = builtin().card("claude-sonnet-4-6")
OTHER_CARD = builtin().card("claude-opus-4-8")
MODEL = "chat"
#: The wall clock, which stands still.
NOW = 1_800_000_000.0
#: Seconds after which everything that can happen without time passing has happened.
_TICK = 1e-6


def deployment(id: str, order: int = 0, **changes: Any) -> Deployment:
    """``https://ID.example``; lower orders are tried first."""
    own = Deployment(id, f"https://{id}.example/v1/m", "project-42", "us-east5", CARD, order=order)
    return replace(own, **changes)


A, B = deployment("a"), deployment("b", 1, location="us-central1")  # of different quotas


# What comes of an exchange


@dataclass
class Called:
    deployment: str


@dataclass
class Started:
    headers: dict[str, str]


@dataclass
class Got:
    data: bytes


@dataclass
class Ended:
    data: bytes


@dataclass
class Responded:
    body: bytes
    headers: dict[str, str]


@dataclass
class Raised:
    error: BaseException


Effect = Called | Started | Got | Ended | Responded | Raised


# The two sides of the gateway


class ScriptedReply:
    """A reply whose body arrives as the script says."""

    def __init__(self, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        self.closed = 0
        self.is_complete = False
        self._pieces: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()

    def arrive(self, piece: bytes | BaseException | None) -> None:
        self.is_complete = piece is None
        self._pieces.put_nowait(piece)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        assert not self.closed, "a closed reply is read"
        piece = await self._pieces.get()
        if isinstance(piece, BaseException):
            raise piece
        if piece is None:
            self.arrive(None)
            raise StopAsyncIteration
        return piece

    async def read(self, limit: int) -> bytes:
        body = b"".join([piece async for piece in self])
        if len(body) > limit:
            raise UpstreamBroken("too long", reply_started=True)
        return body

    async def aclose(self) -> None:
        self.closed += 1


class ScriptedUpstream:
    """Calls wait until the script answers them."""

    def __init__(self, effects: list[Effect]) -> None:
        self._effects = effects
        self.calls: list[HttpCall] = []
        self.replies: list[ScriptedReply] = []
        self.waiting: asyncio.Future[ScriptedReply] | None = None

    async def send(self, call: HttpCall) -> ScriptedReply:
        self.calls.append(call)
        if call.on_sent is not None:
            call.on_sent()
        self._effects.append(Called(call.origin.host.removesuffix(".example")))
        self.waiting = asyncio.get_running_loop().create_future()
        try:
            return await self.waiting
        finally:
            self.waiting = None

    def answer(self, reply: ScriptedReply | BaseException) -> None:
        assert self.waiting is not None, "no call waits for an answer"
        if isinstance(reply, BaseException):
            self.waiting.set_exception(reply)
            return
        self.replies.append(reply)
        self.waiting.set_result(reply)

    def body(self, index: int = -1) -> Any:
        """The body of a call."""
        return json.loads(self.calls[index].body)

    async def aclose(self) -> None:
        pass


class ScriptedClient:
    """A ``ClientStream`` that records what it is sent."""

    def __init__(self, body: bytes | BaseException, effects: list[Effect]) -> None:
        self._body = body
        self._effects = effects
        self._owner: asyncio.Task[Any] | None = None
        self._cause: Callable[[], Exception] | None = None
        self._reading = asyncio.Event()
        self._reading.set()
        self._sign_of_life: Callable[[float], bytes] | None = None
        self._early_headers: Callable[[], Headers] = list
        self._signs: list[asyncio.Task[None]] = []
        self.gone = False
        self.started = self.ended = False
        self.ending: GatewayError | None = None
        self.bytes_received = self.bytes_sent = 0
        self.keep_alive_interval: float | None = None

    # What the gateway calls

    def end_with(self, error: GatewayError, task: asyncio.Task[Any]) -> None:
        if not self.ended:
            self.ending = error
            task.cancel()

    async def body(self) -> bytes:
        if isinstance(self._body, BaseException):
            raise self._body
        self.bytes_received = len(self._body)
        return self._body

    @contextlib.asynccontextmanager
    async def connected(self, seconds: float) -> AsyncIterator[None]:
        self._owner = owner = asyncio.current_task()
        assert owner is not None
        timer = None
        if seconds != math.inf:
            timer = asyncio.get_running_loop().call_later(seconds, self._cancel, _deadline)
        if self.gone:
            self._cancel(ClientDisconnected)
        try:
            yield
        except asyncio.CancelledError:
            if self._cause is None or owner.uncancel() > 0:
                raise
            raise self._cause() from None
        finally:
            self._owner = None
            if timer is not None:
                timer.cancel()

    def has_left(self) -> bool:
        return self.gone

    async def send(self, body: bytes, headers: Headers) -> None:
        assert not self.started
        self.started = self.ended = True
        self.bytes_sent += len(body)
        await self._pass(Responded(body, _decoded(headers)))

    async def start(self, headers: Headers) -> None:
        if not self.started:
            self.started = True
            await self._pass(Started(_decoded(headers)))

    async def write(self, data: bytes) -> None:
        assert self.started
        assert not self.ended
        self.bytes_sent += len(data)
        await self._pass(Got(data))

    async def end(self, data: bytes = b"") -> None:
        if not self.ended:
            assert self.started
            self.ended = True
            self.bytes_sent += len(data)
            await self._pass(Ended(data))

    def keep_alive(
        self, interval: float, sign_of_life: Callable[[float], bytes], headers: Callable[[], Headers]
    ) -> None:
        self.keep_alive_interval, self._sign_of_life, self._early_headers = interval, sign_of_life, headers

    async def stop_keep_alive(self) -> None:
        self._sign_of_life = None
        for task in self._signs:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    # What the script calls

    @property
    def keeps_alive(self) -> bool:
        return self._sign_of_life is not None

    def send_keep_alive(self, idle: float) -> None:
        if self._sign_of_life is not None and not self.ended:
            self._signs.append(asyncio.create_task(self._keep_alive(idle, self._sign_of_life)))

    async def _keep_alive(self, idle: float, sign_of_life: Callable[[float], bytes]) -> None:
        with contextlib.suppress(ClientDisconnected):
            await self.start(self._early_headers())
            if data := sign_of_life(idle):
                await self.write(data)

    def leave(self) -> None:
        self.gone = True
        self._reading.set()
        self._cancel(ClientDisconnected)

    def read(self, *, reading: bool) -> None:
        (self._reading.set if reading else self._reading.clear)()

    def _cancel(self, cause: Callable[[], Exception]) -> None:
        if self._owner is not None and self._cause is None:
            self._cause = cause
            self._owner.cancel()

    async def _pass(self, effect: Effect) -> None:
        if self.gone:
            raise ClientDisconnected
        self._effects.append(effect)
        await self._reading.wait()
        if self.gone:
            raise ClientDisconnected


def _deadline() -> UpstreamTimeout:
    return UpstreamTimeout("The request's deadline passed.", clock="total")


def _decoded(headers: Headers) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


# Who watches


class RecordingObserver:
    """Everything that the gateway tells its observers."""

    def __init__(self) -> None:
        self.requests = 0
        self.attempts: list[AttemptRecord] = []
        self.errors: list[GatewayError] = []
        self.records: list[ExchangeRecord] = []
        self.store_errors: list[str] = []

    def started(self) -> None:
        self.requests += 1

    def attempted(self, request_id: str, record: AttemptRecord) -> None:
        assert request_id == "req_1"
        self.attempts.append(record)

    def error_sent(self, error: GatewayError, status: int) -> None:
        del status
        self.errors.append(error)

    def store_failed(self, request_id: str, error: Exception) -> None:
        assert request_id == "req_1"
        self.store_errors.append(str(error))

    def settled(self, record: ExchangeRecord) -> None:
        self.records.append(record)


class RecordingGate:
    """A gate that is closed while ``open`` is not set, and may reject."""

    def __init__(self, error: GatewayError | None = None, *, is_open: bool = True) -> None:
        self._error = error
        self.open = asyncio.Event()
        if is_open:
            self.open.set()
        self.entered = self.left = 0

    async def enter(self, inbound: Inbound, decoded: Decoded, route: Route) -> None:
        assert (inbound.request_id, route.name) == ("req_1", MODEL)
        assert decoded.model.lower() == MODEL
        await self.open.wait()
        if self._error is not None:
            raise self._error
        self.entered += 1

    async def leave(self, inbound: Inbound, entered: object) -> None:
        assert entered is None
        assert inbound.request_id == "req_1"
        self.left += 1


class RecordingLog:
    """Log events with their fields."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def _write(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    debug = info = warning = error = _write


class NoDownloads:
    """Nothing to fetch."""

    async def fetch_all(self, urls: Iterable[str], owner: str = "") -> Mapping[str, Fetched]:
        raise AssertionError(f"not to be fetched: {list(urls)}")

    def forget(self, url: str) -> None:
        raise AssertionError(url)


@dataclass
class Setting:
    """What an exchange meets. The defaults are one deployment without anything special."""

    deployments: Sequence[Deployment] = (A,)
    stream: bool = True
    mode: Mode = "standard"
    buffer_bytes: int = 4096
    buffer_seconds: float = 2.0
    keep_alive_interval: float = 15.0
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    geographies: tuple[str, ...] = ()
    max_attempts: int = 4
    timeout: float = math.inf
    request: dict[str, Any] = field(default_factory=dict)
    headers: Sequence[tuple[bytes, bytes]] = ()
    path_params: dict[str, str] = field(default_factory=dict)
    owner: str = "ann"
    body: bytes | BaseException | None = None
    gate: RecordingGate | None = None
    tokens: TokenSource | None = None
    downloads: Downloads | None = None
    observers: tuple[Any, ...] = ()
    strict: bool = False
    thinking: MemoryThinkingStore | None = None
    responses: ResponseStore = field(default_factory=NoResponseStore)
    refusals: Refusals | None = None
    options: Options = field(default_factory=Options)


class World:
    """One exchange with everything around it. Make it inside a running loop."""

    def __init__(self, dialect: Dialect, setting: Setting) -> None:
        self.setting = setting
        self.dialect = dialect
        self.effects: list[Effect] = []
        body = setting.body
        if body is None:
            body = json.dumps({"model": MODEL, "stream": setting.stream, "prompt": "Hi"} | setting.request).encode()
        self.client = ScriptedClient(body, self.effects)
        self.upstream = ScriptedUpstream(self.effects)
        self.observer = RecordingObserver()
        self.gate = setting.gate or RecordingGate()
        self.limiter = ConcurrencyLimiter(8, queue=0, queue_timeout=1.0)
        self.log: Any = RecordingLog()
        self.runtime = Runtime(
            loop_time, lambda: 1_800_000_000.0, asyncio.sleep, lambda: 0.5, lambda digits: "0" * digits
        )
        self.pool = DeploymentPool(loop_time)
        self.thinking = setting.thinking or MemoryThinkingStore(loop_time)
        self.route = Route(
            MODEL,
            tuple(setting.deployments),
            geographies=setting.geographies,
            options=setting.options,
            timeouts=setting.timeouts,
        )
        self.inbound = Inbound(
            "req_1",
            loop_time(),
            headers=setting.headers,
            path_params=setting.path_params,
            caller=Caller(setting.owner),
            timeout=setting.timeout,
        )
        self.task: asyncio.Task[None] | None = None

    @property
    def services(self) -> Services:
        setting, log = self.setting, self.log
        cards = {deployment.card.id: deployment.card for deployment in setting.deployments}
        return Services(
            responses=setting.responses,
            routes=DatedRoutes(Routes([self.route], catalog=Catalog(cards.values())), self.runtime.now),
            deployments=self.pool,
            provider=VertexClaude(),
            upstream=self.upstream,
            tokens=setting.tokens or FakeTokens(),
            downloads=setting.downloads or NoDownloads(),
            thinking=self.thinking,
            refusals=setting.refusals or Refusals(loop_time),
            counts=CountState(loop_time),
            gates=Gates((self.gate, ConcurrencyGate(self.limiter, LargeRequests()))),
            observers=(self.observer, *setting.observers),
            retry_policy=RetryPolicy(max_attempts=setting.max_attempts),
            streams=StreamSettings(
                StreamModes("standard", [ClientRule(setting.mode)]), setting.buffer_bytes, setting.buffer_seconds,
                setting.keep_alive_interval,
            ),
            log=log,
            runtime=self.runtime,
            strict=setting.strict,
        )  # fmt: skip

    def start(self) -> None:
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await run(self.inbound, self.dialect, self.client, self.services)
        except BaseException as error:
            self.effects.append(Raised(error))
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise

    @property
    def over(self) -> bool:
        return self.task is not None and self.task.done()

    @property
    def record(self) -> ExchangeRecord:
        (record,) = self.observer.records
        return record

    async def settle_down(self) -> None:
        """Let everything happen that needs no time."""
        await asyncio.sleep(_TICK)

    async def finish(self) -> None:
        """End what the script left running."""
        if self.task is not None and not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task])

    def check_released(self) -> None:
        """An exchange that is over was settled once, and holds nothing."""
        assert self.over, "the exchange is not over"
        observer, record = self.observer, self.record
        assert observer.requests == 1
        assert [attempt.number for attempt in record.attempts] == list(range(1, len(record.attempts) + 1))
        assert all(attempt.ended_at is not None for attempt in record.attempts)
        assert len(self.upstream.calls) <= len(record.attempts)
        assert max(Counter(map(id, observer.attempts)).values(), default=0) <= 1
        assert {id(attempt) for attempt in observer.attempts} <= {id(attempt) for attempt in record.attempts}
        assert self.gate.entered == self.gate.left
        assert (self.limiter.running, self.limiter.queued) == (0, 0)
        assert [(running, queued) for _, _, running, queued in self.pool.snapshot() if running or queued] == []
        assert all(reply.closed for reply in self.upstream.replies)
        assert not self.client.keeps_alive
        others = {self.task, asyncio.current_task()}
        assert not [task for task in asyncio.all_tasks() if task not in others]
