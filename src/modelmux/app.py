"""The composition root: the one place that builds a gateway from a configuration.

Everything that reaches for the outside (clock, randomness, environment, sockets, credentials) is chosen here and
passed down.
"""

from __future__ import annotations

import asyncio
import math
import operator
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

from modelmux.config import Config, ConfigError, build_routes
from modelmux.config.cors_origins import read_origins
from modelmux.config.schema import Auth
from modelmux.config.streaming import build_stream_modes
from modelmux.errors import CredentialsUnavailable
from modelmux.gateway.buffered_relay import Pacing
from modelmux.gateway.concurrency import Admission
from modelmux.gateway.dated_routes import RoutesToday
from modelmux.gateway.deployments import Fleet
from modelmux.gateway.exchange import Services
from modelmux.gateway.ids import IDS
from modelmux.gateway.thinking_store import MemoryThoughts
from modelmux.providers.vertex_claude.provider import Vertex
from modelmux.routing.retry import Policy
from modelmux.routing.routes import Deployment
from modelmux.routing.warnings import route_warnings
from modelmux.server.asgi import Application
from modelmux.server.auth import ApiKeys, is_loopback
from modelmux.server.cors import Cors
from modelmux.server.endpoints import ChatEndpoint
from modelmux.server.health import OPEN_PATHS, Readiness, page_routes
from modelmux.server.models import ModelPages
from modelmux.server.responses import Receive, Scope, Send
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, quiet
from modelmux.telemetry.metrics import Metrics
from modelmux.upstream.base import TokenSource, Upstream
from modelmux.upstream.downloads.fetcher import Fetcher, FetchSettings
from modelmux.upstream.google_auth.loaders import (
    Loader,
    application_default,
    service_account_file,
    service_account_info,
)
from modelmux.upstream.google_auth.tokens import EVENT_REFRESHED, GoogleTokens, StaticToken
from modelmux.upstream.pool import HttpPool
from modelmux.upstream.proxy import Proxies


@dataclass(slots=True)
class Snapshot:
    """What one configuration made. A reload puts another in its place; this one serves the requests it began."""

    config: Config
    application: Application | Cors
    tokens: TokenSource
    fetcher: Fetcher
    running: int = 0


class Gateway:
    """An ASGI application. Servers with a lifespan start and stop it; others call ``aclose`` when done.

    Nothing is opened before the first request needs it, so it works mounted in an application whose lifespan it
    never sees.
    """

    def __init__(
        self,
        config: Config,
        *,
        log: Log | None = None,
        upstream: Upstream | None = None,
        tokens: TokenSource | None = None,
        environment: Mapping[str, str] | None = None,
        log_route_warnings: bool = True,
    ) -> None:
        self._log_route_warnings = log_route_warnings
        self._environment = os.environ if environment is None else environment
        self._log = log or quiet()
        self.readiness = Readiness()
        self.metrics = Metrics()
        self._warming: asyncio.Task[None] | None = None
        self._given_tokens = tokens
        self._thoughts = MemoryThoughts(time.monotonic)
        self._fleet = Fleet(time.monotonic, self._on_deployment, share=config.server.workers)
        self._admission = Admission(**_bounds(config))
        self.metrics.watch(self._fleet.seen, self._admission)
        try:
            self._upstream = upstream or HttpPool(proxies=Proxies.from_environment(self._environment))
        except ValueError as error:
            raise ConfigError([str(error)], hint="Use http://host:port, or leave the variable unset.") from None
        self._current = self._build(config, None)
        self._retired: list[Snapshot] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        snapshot = self._current
        if scope["type"] != "http":
            await snapshot.application(scope, receive, send)
            return
        snapshot.running += 1
        try:
            await snapshot.application(scope, receive, send)
        finally:
            snapshot.running -= 1
            if self._retired and not snapshot.running and snapshot is not self._current:
                await self._let_go()

    async def reload(self, config: Config) -> list[str]:
        """Serve by another configuration from the next request on. Running requests end by the one they began with.

        :returns: the settings whose change needs a restart.
        :raises ConfigError: settings that cannot be used; nothing has changed then.
        """
        before = self._current
        self._current = self._build(config, before)
        self._retired.append(before)
        await self._let_go()
        if self._current.tokens is not before.tokens:
            await self._end_warming()
            self.readiness.problem = None
            await self.startup()
        return restart_needed(before.config, config)

    def _build(self, config: Config, before: Snapshot | None) -> Snapshot:
        """A configuration's parts. What did not change is kept: tokens stay valid, downloads stay cached."""
        if before is not None and before.config.auth == config.auth:
            tokens = before.tokens
        else:
            tokens = self._given_tokens or self._make_tokens(config)
        try:
            kept = before is not None and before.config.fetch == config.fetch
            fetcher = before.fetcher if before is not None and kept else Fetcher(_fetch_settings(config))
        except ValueError as error:
            raise ConfigError([f"fetch: {error}"]) from None
        origins = read_origins(config.server.cors_origins)
        services = self._services(config, tokens, fetcher)
        self._fleet.settle_for(services.routes.current.deployments)
        self._admission.resize(**_bounds(config))
        chat = ChatEndpoint(
            services, config.server.max_body_bytes, self.readiness, self._admission, config.streaming.keep_alive
        )
        models = ModelPages(services.routes, started=int(time.time()))
        application = Application(
            data_plane={("POST", "/v1/chat/completions"): chat, ("POST", "/chat/completions"): chat},
            pages=[*page_routes(self.metrics, self.readiness), *models.pages()],
            keys=ApiKeys(key.reveal() for key in config.server.api_keys),
            open_paths=OPEN_PATHS,
            log=self._log,
            new_request_id=lambda: f"req_{IDS.draw(24)}",
            on_error=self.metrics.count_error,
            on_startup=self.startup,
            on_shutdown=self.aclose,
        )
        if self._log_route_warnings:
            self._tell(services.routes)
        return Snapshot(config, Cors(application, origins) if origins else application, tokens, fetcher)

    def _tell(self, routes: RoutesToday) -> None:
        """Log what an operator should know of the routes, once for each."""
        for name, sentence in route_warnings(routes.current, routes.day):
            self._log.warning(names.EVENT_CONFIG, route=name, message=sentence)

    def _services(self, config: Config, tokens: TokenSource, fetcher: Fetcher) -> Services:
        return Services(
            routes=RoutesToday(build_routes(config, config.build_catalog()), time.time),
            vertex=Vertex(quota_project=_quota_project(tokens, self._environment)),
            upstream=self._upstream,
            tokens=tokens,
            fleet=self._fleet,
            policy=Policy(attempts=1 + (config.server.max_retry_attempts if config.server.enable_retries else 0)),
            metrics=self.metrics,
            log=self._log,
            now=time.time,
            clock=time.monotonic,
            sleep=asyncio.sleep,
            new_id=lambda: f"chatcmpl-{IDS.draw(32)}",
            jitter=random.random,
            thoughts=self._thoughts,
            downloads=fetcher,
            pacing=Pacing(
                build_stream_modes(config), config.streaming.buffer_size, config.streaming.chunk_timeout_ms / 1000
            ),
            strict=config.server.strict,
        )

    async def _let_go(self, *, every: bool = False) -> None:
        """Close what only retired snapshots use whose requests are over."""
        over = [s for s in self._retired if every or not s.running]
        self._retired = [s for s in self._retired if s not in over]
        used = [self._current, *self._retired]
        for snapshot in over:
            if not any(s.tokens is snapshot.tokens for s in used):
                await snapshot.tokens.aclose()
            if not any(s.fetcher is snapshot.fetcher for s in used):
                await snapshot.fetcher.aclose()

    async def startup(self) -> None:
        """Fetch the first token in the background: the first request should not pay for it."""
        self._warming = asyncio.create_task(self._warm_up())  # held here; ended and awaited in aclose

    async def aclose(self) -> None:
        """Let go of connections and credentials. Idempotent."""
        await self._end_warming()
        await self._let_go(every=True)
        await self._current.fetcher.aclose()
        await self._upstream.aclose()
        await self._current.tokens.aclose()

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
            self._log.error(names.EVENT_CREDENTIALS, message=error.public_message)

    def _make_tokens(self, config: Config) -> TokenSource:
        auth = config.auth
        if auth.access_token is not None:
            try:
                return StaticToken(auth.access_token.reveal())
            except ValueError as error:
                raise ConfigError([str(error)]) from None
        return GoogleTokens(credential_loader(auth), on_event=self._on_credentials)

    def _on_deployment(self, deployment: Deployment, what: str) -> None:
        known = _OF_A_DEPLOYMENT[what]
        (self._log.info if what == "closed" else self._log.warning)(
            names.EVENT_DEPLOYMENT, deployment=deployment.id, what=what, message=known
        )

    def _on_credentials(self, event: str, detail: Mapping[str, str | float | bool]) -> None:
        if event == EVENT_REFRESHED:
            self.readiness.problem = None
            self._log.info(names.EVENT_CREDENTIALS, what=event, **detail)
            return
        self._log.warning(names.EVENT_CREDENTIALS, what=event, **detail)
        if detail.get("token_left_s") == 0:
            self.readiness.problem = "credentials"


#: What ``Fleet`` tells of a deployment -> what it means, for people.
_OF_A_DEPLOYMENT: Final = {
    "open": "it failed too often; it is left alone for some seconds, and then tried with one request",
    "closed": "it answers again",
    "no_quota": "every request was refused for its quota, which seems to be zero; request quota for it in the Google "
    "Cloud console (IAM & Admin, Quotas & System Limits)",
}


class _Bounds(TypedDict):
    limit: int
    queue: int
    patience: float


def _bounds(config: Config) -> _Bounds:
    """What this process may do at once: its share of what all workers may."""
    limits, workers = config.limits, config.server.workers
    return _Bounds(
        limit=math.ceil(limits.requests / workers),
        queue=math.ceil(limits.queue / workers),
        patience=float(limits.queue_timeout),
    )


def credential_loader(auth: Auth) -> Loader:
    """Where credentials that can be renewed come from: the first that is set, else Application Default Credentials."""
    if auth.service_account_json is not None:
        return service_account_info(auth.service_account_json.reveal())
    if auth.service_account_file is not None:
        return service_account_file(Path(auth.service_account_file).expanduser())
    return application_default()


def _quota_project(tokens: TokenSource, environment: Mapping[str, str]) -> Callable[[], str | None]:
    """Who pays for a user's credentials: the environment's word, or the credential's own, once it was loaded."""
    named = environment.get("GOOGLE_CLOUD_QUOTA_PROJECT")
    if named or not isinstance(tokens, GoogleTokens):
        return lambda: named
    return lambda: tokens.quota_project


def _fetch_settings(config: Config) -> FetchSettings:
    fetch = config.fetch
    return FetchSettings(
        enabled=fetch.enabled,
        allow=tuple(fetch.allow),
        deny=tuple(fetch.deny),
        allow_private=tuple(fetch.allow_private),
        extra_ports=tuple(fetch.extra_ports),
        timeout=fetch.timeout,
        max_bytes=fetch.max_bytes,
    )


def create_app(config: Config, *, log: Log | None = None) -> Gateway:
    """A gateway as an ASGI application.

    :param log: see ``telemetry.logs.Log``; one of structlog's does. Silent by default, because the logging of an
        application is its own.
    :raises ConfigError: settings that cannot be used.
    """
    return Gateway(config, log=log)


def restart_needed(before: Config, after: Config) -> list[str]:
    """The names of changed settings that a running process cannot take over."""
    fixed = [
        "server.host",
        "server.port",
        "server.log_level",
        "server.log_format",
        "server.drain_delay",
        "server.drain_timeout",
        "server.workers",
        "logs",
    ]
    get = operator.attrgetter(*fixed)
    return [name for name, old, new in zip(fixed, get(before), get(after), strict=True) if old != new]


def check_exposure(config: Config) -> None:
    """Refuse to listen where strangers are without asking for a key.

    :raises ConfigError: with what to do.
    """
    server = config.server
    if not server.api_keys and not server.allow_unauthenticated and not is_loopback(server.host):
        raise ConfigError(
            [f"server.host = {server.host!r} can be reached from other machines, and server.api_keys is empty"],
            hint="Set server.api_keys, or listen on 127.0.0.1, or set server.allow_unauthenticated = true if "
            "something in front of the gateway authenticates.",
        )
