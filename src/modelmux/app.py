"""The composition root: the one place that builds a gateway from a configuration.

Everything that reaches for the outside (clock, randomness, environment, sockets, credentials) is chosen here and
passed down.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modelmux.config import Config, ConfigError, build_routes
from modelmux.config.admin_check import admin_address, admin_tokens
from modelmux.config.cors_origins import read_origins
from modelmux.config.restart import restart_needed
from modelmux.config.streaming import build_stream_modes
from modelmux.errors import CredentialsUnavailable, GatewayError
from modelmux.gateway.concurrency import ConcurrencyLimiter, limits_of
from modelmux.gateway.count_state import CountState
from modelmux.gateway.dated_routes import DatedRoutes
from modelmux.gateway.deployments import DeploymentPool, log_deployment_events
from modelmux.gateway.gates import ConcurrencyGate, Gates
from modelmux.gateway.large_requests import LargeRequests
from modelmux.gateway.limits.rate_limits import RateLimits
from modelmux.gateway.metering.metering import Metering, static_keys
from modelmux.gateway.open_telemetry import OpenTelemetry
from modelmux.gateway.operator_warnings import operator_warnings, thinking_log
from modelmux.gateway.refusals import Refusals
from modelmux.gateway.running_requests import RunningRequests
from modelmux.gateway.services import Services, StreamSettings
from modelmux.gateway.traces.recorder import RequestTraces
from modelmux.providers.vertex_claude.provider import VertexClaude
from modelmux.routing.retry import RetryPolicy
from modelmux.routing.routes import Routes
from modelmux.runtime import Runtime
from modelmux.server.account_keys import account_keys, log_directory_problems
from modelmux.server.asgi import Application, ServerOptions
from modelmux.server.auth import ApiKeys
from modelmux.server.body_memory import BodyMemory, body_memory
from modelmux.server.cors import Cors
from modelmux.server.health import Readiness, page_routes
from modelmux.server.host_and_origin import HostAndOriginCheck
from modelmux.server.loop_lag import LoopLag
from modelmux.server.refused import RefusedRequests
from modelmux.server.responses import Receive, Scope, Send
from modelmux.server.served import served_surfaces
from modelmux.store.directory.managed import ManagedAccounts
from modelmux.store.directory.open_directory import open_feed
from modelmux.store.directory.same_accounts import check_same_accounts
from modelmux.store.local_state import LocalState
from modelmux.store.open_responses import dialect_options, open_responses, seal_keys
from modelmux.store.open_thinking import open_thinking
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, null_logger
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.observers import LogObserver, MetricsObserver
from modelmux.telemetry.team_labels import team_labels
from modelmux.upstream.base import TokenSource, Upstream
from modelmux.upstream.configured_pool import configured_pool
from modelmux.upstream.downloads.configured import fetch_settings
from modelmux.upstream.downloads.fetcher import Fetcher
from modelmux.upstream.google_auth.configured import quota_project, token_source
from modelmux.upstream.google_auth.tokens import EVENT_REFRESHED
from modelmux.upstream.trust import configured_trust
from modelmux.wire.redaction import redaction_of


@dataclass(slots=True)
class Snapshot:
    """What one configuration made. A reload puts another in its place; this one serves the requests it began."""

    config: Config
    application: Application | Cors
    known_path: Callable[[str], str | None]
    routes: DatedRoutes
    tokens: TokenSource
    fetcher: Fetcher
    redact: Callable[[str], str]
    running: int = 0


class Gateway:
    """An ASGI application. Servers with a lifespan start and stop it; others call ``aclose`` when done.

    Nothing is opened before the first request needs it, so it works mounted in an application whose lifespan it
    never sees.

    :param manages_keys: write the keys of the configuration into the directory, when the lifespan starts or the first
        request comes, and at a reload.
    :param worker: the number of this process, from 1 to ``server.workers``.
    """

    def __init__(
        self,
        config: Config,
        *,
        log: Log | None = None,
        upstream: Upstream | None = None,
        tokens: TokenSource | None = None,
        environment: Mapping[str, str] | None = None,
        runtime: Runtime | None = None,
        state: LocalState | None = None,
        log_warnings: bool = True,
        manages_keys: bool = True,
        worker: int = 1,
    ) -> None:
        self._logs_warnings = log_warnings
        self._environment = os.environ if environment is None else environment
        self._runtime = runtime = runtime or Runtime()
        self.jitter = runtime.jitter
        self._log = log or null_logger()
        self.refused = RefusedRequests(self._log, runtime.clock)
        self.readiness, self._large_requests = Readiness(), LargeRequests()
        self.metrics = Metrics.of(config.metrics)
        self._warming: asyncio.Task[None] | None = None
        #: The cause of a failure of the credentials that the log has already: the first token does not report it again.
        self.reported_credentials: str | None = None
        self._token_override = tokens
        self._state = state or LocalState.of_library(config, self._environment)
        self._thinking = open_thinking(config, self._state, runtime, thinking_log(self._log))
        self.responses = open_responses(config, self._state, runtime)
        self.metering = Metering(config, self._environment, runtime, self._log, self.metrics, self._state.node)
        on_problem, self.running = log_directory_problems(self._log), RunningRequests()
        self.directory = open_feed(config, self._environment, runtime, on_problem, self.running.end_revoked)
        self.metrics.teams = team_labels(self.directory, config.metrics.max_teams)
        self._managed = ManagedAccounts(self.directory, self._environment, runtime, on_problem, writes=manages_keys)
        self._open_telemetry = OpenTelemetry(config, self._environment, runtime, self.metrics, log)
        self.traces = RequestTraces(config, self._state, runtime, self._log, self.metrics)
        limited = (config, self.directory, self._state.counters, worker, runtime, self._log, self.metrics)
        self._limits = RateLimits(*limited, self.metering.live_nodes, lambda: self.readiness.draining)
        self._refusals, self._counts = Refusals(runtime.clock), CountState(runtime.clock)
        self._host = config.server.host  # where the process listens; a reload does not change it
        self._workers = config.server.workers  # a reload starts no further ones
        on_wait = self.metrics.count_wait
        self._deployments = DeploymentPool(
            runtime.clock, log_deployment_events(self._log), share=self._workers, on_wait=on_wait, jitter=runtime.jitter
        )
        self._worker, limits = worker, limits_of(config.limits, self._workers, worker)
        self._limiter = ConcurrencyLimiter(**limits, clock=runtime.clock, on_wait=on_wait)
        self.readiness.loop_lag = LoopLag(on_reject=lambda: on_wait(0.0, "rejected", "event_loop_lag"))
        self.metrics.read_loop_lag = self.readiness.loop_lag.worst
        self.body_memory = BodyMemory(on_reject=lambda: on_wait(0.0, "rejected", "body_memory"))
        self._limits.read_body_memory = lambda: self.body_memory.limit
        self.metrics.register_gauges(self._deployments.snapshot, self._limiter, self._deployments.reports)
        self._trust = configured_trust(config.tls.ca_file, self._environment)
        self._tls = self._trust.context()
        self._upstream = upstream or configured_pool(self._environment, self._tls, runtime)
        self._draining, self._reloading = list[Snapshot](), asyncio.Lock()
        built = self._build(config, None)
        self._managed.check(config)
        self._adopt(built)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._current.application(scope, receive, send)
            return
        if self._managed.pending:
            await self._managed.apply_late(self._current.config)
        snapshot = self._current
        snapshot.running += 1
        try:
            await snapshot.application(scope, receive, send)
        finally:
            snapshot.running -= 1
            if self._draining and not snapshot.running and snapshot is not self._current:
                await self._close_retired()

    async def reload(self, config: Config) -> list[str]:
        """Serve by another configuration from the next request on. Running requests end by the one they began with.

        :returns: the settings whose change needs a restart.
        :raises ConfigError: settings that cannot be used; nothing has changed then.
        """
        async with self._reloading:
            return await self._reload(config)

    async def _reload(self, config: Config) -> list[str]:
        before = self._current
        check_same_accounts(before.config, config, self._environment)
        built = self._build(config, before)
        try:
            await self._managed.apply(config)
        except BaseException:
            self._draining.append(built)
            await self._close_retired()
            raise
        self._adopt(built)
        self._draining.append(before)
        await self._close_retired()
        if self._current.tokens is not before.tokens:
            await self._end_warming()
            self.readiness.problem = None
            await self.startup()
        return restart_needed(before.config, config)

    def _build(self, config: Config, before: Snapshot | None) -> Snapshot:
        """A configuration's parts. What did not change is kept: tokens stay valid, downloads stay cached."""
        if before is not None and before.config.tls != config.tls:
            configured_trust(config.tls.ca_file, self._environment)  # only checked: a change needs a restart
        if before is not None and before.config.auth == config.auth:
            tokens = before.tokens
        else:
            tokens = self._token_override or token_source(config.auth, self._on_credentials, self._trust)
        try:
            if before is not None and before.config.fetch == config.fetch:
                fetcher = before.fetcher
            else:
                fetcher = Fetcher(fetch_settings(config), ssl_context=self._tls)
        except ValueError as error:
            raise ConfigError([f"fetch: {error}"]) from None
        redact = redaction_of([*(key.reveal() for key in config.server.api_keys), *admin_tokens(config.admin)])
        services = self._services(config, tokens, fetcher, redact)
        pages = page_routes(self.metrics, self.readiness, shows_metrics=config.metrics.listener == "both")
        own = self.readiness, config.server.max_body_bytes, self.body_memory
        application = Application(served_surfaces(services, pages, *own), self._options(config, redact))
        origins = read_origins(config.server.cors_origins)
        outermost = Cors(application, origins) if origins else application
        return Snapshot(config, outermost, application.known_path, services.routes, tokens, fetcher, redact)

    def _adopt(self, built: Snapshot) -> None:
        """Serve by it. Nothing here fails: what outlives configurations changes only for one that can be used."""
        self._current, config, routes = built, built.config, built.routes.current
        self.refused.redact = built.redact
        self._deployments.retain(routes.deployments)
        several = routes.has_several_models
        self._limiter.resize(**limits_of(config.limits, self._workers, self._worker, several_models=several))
        self.body_memory.limit = body_memory(config, self._workers)
        if self._logs_warnings:
            self._log_warnings(config, built.routes)

    def apply_accounts(self) -> None:
        """Write what the configuration manages now, where there is no event loop. :raises ConfigError:"""
        self._managed.apply_now(self._current.config)

    def _options(self, config: Config, redact: Callable[[str], str]) -> ServerOptions:
        keys = ApiKeys.of(config)
        return ServerOptions(
            keys=keys,
            account_keys=account_keys(config, keys, self.directory, self._environment, self._runtime, self._host),
            log=self._log,
            keyless_vertex_paths=config.server.keyless_vertex_paths,
            new_request_id=lambda: f"req_{self._runtime.new_id(24)}",
            on_error=self.count_error,
            on_startup=self.startup,
            on_shutdown=self.aclose,
            host_and_origin=HostAndOriginCheck.of(config, self._host),
            jitter=self._runtime.jitter,
            refused=self.refused,
            redact=redact,
        )

    def count_error(self, error: GatewayError, status: int | None = None) -> None:
        """Count an error response; also those that the HTTP parser sends before there is a request."""
        self.metrics.count_error(error, status)

    def known_path(self, path: str) -> str | None:
        """The template of a served path; None for another."""
        return self._current.known_path(path)

    @property
    def routes(self) -> Routes:
        """What is served today."""
        return self._current.routes.current

    def log_warnings(self) -> None:
        """Log the warnings of the current configuration, and from here on those of each reload."""
        self._logs_warnings = True
        self._log_warnings(self._current.config, self._current.routes)

    def _log_warnings(self, config: Config, routes: DatedRoutes) -> None:
        for fields in operator_warnings(
            config, routes, self._environment, trust=self._trust, state=self._state, responses=self.responses
        ):
            self._log.warning(names.EVENT_CONFIG, **fields)

    def _services(
        self, config: Config, tokens: TokenSource, fetcher: Fetcher, redact: Callable[[str], str]
    ) -> Services:
        runtime, streaming = self._runtime, config.streaming
        meters = self.metering.meters(config, redact, lambda: seal_keys(config, self._state)[0], self.directory)
        limits, gates = self._limits.gates(config, self._large_requests)
        return Services(
            routes=DatedRoutes(build_routes(config, config.build_catalog(), runtime.today()), runtime.now),
            deployments=self._deployments,
            provider=VertexClaude(quota_project=quota_project(tokens, self._environment)),
            upstream=self._upstream,
            tokens=tokens,
            downloads=fetcher,
            thinking=self._thinking,
            responses=self.responses.store,
            refusals=self._refusals,
            counts=self._counts,
            gates=Gates((*gates, ConcurrencyGate(self._limiter, self._large_requests))),
            observers=(
                MetricsObserver(self.metrics),
                *meters.observers,  # before the log, which has what they charge
                LogObserver(self._log, redact, static_keys(config), meters.log_fields),
                *self._limits.observers,
            ),
            retry_policy=RetryPolicy(max_attempts=1 + config.retries.max),
            streams=StreamSettings(
                build_stream_modes(config),
                streaming.buffer_size,
                streaming.buffer_timeout,
                float(streaming.keep_alive_interval),
            ),
            log=self._log,
            runtime=runtime,
            strict=config.server.strict,
            is_metered=self.metering.writer is not None,
            budgets=meters.budgets,
            tracer=self._open_telemetry.tracer(config, redact, self.directory),
            traces=self.traces.recorder(config, redact, self.directory),
            note_call=meters.note_call,
            limits=limits,
            running=None if self.directory is None and admin_address(config) is None else self.running,
            own_keys=self.metering.own_keys(config, self.directory, limits),
            estimates_tokens=config.messages.count_tokens_estimates,
            dialect_options=dialect_options(config, self._state, self.responses),
            large_requests=self._large_requests,
        )

    async def _close_retired(self, *, every: bool = False) -> None:
        """Close what only retired snapshots use whose requests are over."""
        over = [s for s in self._draining if every or not s.running]
        self._draining = [s for s in self._draining if s not in over]
        used = [self._current, *self._draining]
        for snapshot in over:
            if not any(s.tokens is snapshot.tokens for s in used):
                await snapshot.tokens.aclose()
            if not any(s.fetcher is snapshot.fetcher for s in used):
                await snapshot.fetcher.aclose()

    async def startup(self) -> None:
        """Watch event loop and keys, and fetch the first token in the background: no request should pay for it."""
        await self._managed.apply_first(self._current.config)
        self.readiness.loop_lag.start()
        if self.directory is not None:
            self.directory.watch()
        for part in (self._limits, self._open_telemetry, self.traces):
            part.start()
        self.metering.start(self._upstream, is_first=self._worker == 1)
        self._warming = asyncio.create_task(self._warm_up())  # held here; ended and awaited in aclose

    async def aclose(self) -> None:
        """Let go of connections and credentials. Idempotent."""
        self.readiness.loop_lag.stop()
        self.refused.flush()
        await self._end_warming()
        await self._close_retired(every=True)
        await self._current.fetcher.aclose()
        await self.metering.stop()
        await self._upstream.aclose()
        await self._current.tokens.aclose()
        # At the same time: the server gives all of it seconds, and one whose store is silent must not cost the others.
        stores = (self.metering, self._limits, self.responses.store, self._thinking, self._open_telemetry, self.traces)
        await asyncio.gather(*(part.aclose() for part in stores))
        if self.directory is not None:
            await self.directory.aclose()

    async def _end_warming(self) -> None:
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait([self._warming])
            self._warming = None

    async def _warm_up(self) -> None:
        try:
            await self._current.tokens.token()
        except CredentialsUnavailable as error:
            self.readiness.problem = "credentials"
            cause = (error.detail or "").partition(":")[0]
            if cause != self.reported_credentials:
                self._log.error(names.EVENT_CREDENTIALS, message=error.public_message)
        finally:
            self.reported_credentials = None

    def _on_credentials(self, event: str, detail: Mapping[str, str | float | bool]) -> None:
        if event == EVENT_REFRESHED:
            self.readiness.problem = None
            self._log.info(names.EVENT_CREDENTIALS, action=event, **detail)
            return
        if detail.get("cause") != self.reported_credentials:
            self._log.warning(names.EVENT_CREDENTIALS, action=event, **detail)
        if detail.get("token_left_s") == 0:
            self.readiness.problem = "credentials"


def create_app(config: Config, *, log: Log | None = None, state: LocalState | None = None) -> Gateway:
    """A gateway as an ASGI application.

    :param log: see ``telemetry.logs.Log``; one of structlog's does. Silent by default, because the logging of an
        application is its own.
    :param state: where it keeps files. By default it writes none, unless ``server.state_dir`` or ``responses.store``
        asks for them.
    :raises ConfigError: settings that cannot be used.
    """
    return Gateway(config, log=log, state=state)
