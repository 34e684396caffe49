"""What the listener of the admin API serves: probes, and the API, the dashboard and ``/metrics`` to those who may reach
it at all.

Who a caller is, and what they may do, is decided in the API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Final

from modelmux.admin.app import NO_STORE
from modelmux.admin.metrics_page import PATH as METRICS
from modelmux.admin.operation import BASE
from modelmux.admin.proxy_sign_in import ProxySignIn
from modelmux.admin.sessions import session_token
from modelmux.config import Config
from modelmux.config.admin_check import admin_tokens
from modelmux.config.allowed_hosts import read_hosts
from modelmux.config.proxy_sign_in import signs_in_by_proxy
from modelmux.dialects.registry import OPENAI_CHAT
from modelmux.errors import GatewayError, MethodNotAllowed, Unauthorized
from modelmux.server.auth import is_loopback
from modelmux.server.host_and_origin import HostAndOriginCheck
from modelmux.server.refused import RefusedRequests, log_refused
from modelmux.server.responses import Receive, Scope, Send, send_error, send_json
from modelmux.version import __version__

#: Paths of the dashboard.
DASHBOARD: Final = re.compile(r"/dashboard(\.json|/.*)?")
Api = Callable[[Scope, Receive, Send], Awaitable[None]]

_ALIVE: Final = b'{"status":"ok"}'
#: What needs no token: probes, and what other commands recognize a running gateway by.
_PAGES: Final = {
    "/": json.dumps({"name": "modelmux", "version": __version__, "admin_base_path": BASE}).encode(),
    "/livez": _ALIVE,
    "/readyz": _ALIVE,
    "/healthz": _ALIVE,
}
_HOST_HINT: Final = (
    "On loopback the admin API is served only under names of this machine: use localhost or 127.0.0.1, or add the name "
    "to admin.allowed_hosts."
)
_ORIGIN_HINT: Final = (
    "Only pages of this machine and of the names in admin.allowed_hosts may. A proxy in front has to pass the header "
    "Host on."
)


class AdminListener:
    """An ASGI application.

    :param host: where it listens, whatever the configuration says by now.
    :param on_startup, on_shutdown: run by the server's lifespan.
    :param refused: logs requests that do not reach the API, those that the HTTP parser refuses included.
    :ivar proxy: whose sign-in counts by the configuration of now; the one of the next takes over what it knows.
    """

    def __init__(
        self,
        host: str,
        on_startup: Callable[[], Awaitable[None]],
        on_shutdown: Callable[[], Awaitable[None]],
        refused: RefusedRequests | None = None,
    ) -> None:
        self.refused = refused
        self.proxy: ProxySignIn | None = None
        self._host = host
        self._on_startup = on_startup
        self._on_shutdown = on_shutdown
        self._api: Api | None = None
        self._dashboard: Api | None = None
        self._metrics: Api | None = None
        self._has_tokens = False
        self._check: HostAndOriginCheck | None = None

    def serve(self, config: Config, api: Api, dashboard: Api | None = None, metrics: Api | None = None) -> None:
        """Serve by a configuration from the next request on. :raises ConfigError: a name that is not a host."""
        hosts = read_hosts(config.admin.allowed_hosts, "admin.allowed_hosts")
        origins = frozenset(f"https://{host}" for host in hosts)  # a proxy in front has the certificate of the name
        check = HostAndOriginCheck(hosts, origins, host_hint=_HOST_HINT, origin_hint=_ORIGIN_HINT, reads_forms=True)
        self._check = check if is_loopback(self._host) else None
        self._api, self._dashboard, self._metrics = api, dashboard, metrics
        self._has_tokens = bool(admin_tokens(config.admin)) or signs_in_by_proxy(config.admin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            try:
                await self._answer(scope, receive, send)
            except GatewayError as error:
                log_refused(self, error, scope)
                await send_error(send, error, OPENAI_CHAT.error(error, ""), NO_STORE)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """:raises GatewayError: before the API has the request."""
        path = scope["path"]
        if self._check is not None:
            self._check.check(scope, path)
        dashboard = self._dashboard
        if dashboard is not None and ((path == "/" and _wants_html(scope)) or DASHBOARD.fullmatch(path)):
            await dashboard(scope, receive, send)
            return
        page = _PAGES.get(path)
        if page is not None:
            if scope["method"] not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"{path} does not accept {scope['method'][:20]}.", allow="GET, HEAD")
            await send_json(send, 200, b"" if scope["method"] == "HEAD" else page, [])
        elif self._api is None or not (self._has_tokens or session_token(scope["headers"])):
            raise Unauthorized(
                "The admin API has no token yet, so it refuses every request.",
                hint="Its operator has to set admin.token, or MODELMUX_ADMIN_TOKEN, and to restart the gateway.",
            )
        elif path == METRICS and self._metrics is not None:
            await self._metrics(scope, receive, send)
        else:
            await self._api(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._on_startup()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._on_shutdown()
        await send({"type": "lifespan.shutdown.complete"})


def _wants_html(scope: Scope) -> bool:
    """Whether a person asks, and not a program."""
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])
