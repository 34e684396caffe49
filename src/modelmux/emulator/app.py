"""The emulator as an ASGI application: routing.

It serves the paths of Vertex AI, of Google's token endpoint and of the metadata server, and a few of its own under
``/_emulator``. Model calls continue in ``pipeline.py``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from modelmux.catalog import Catalog, builtin
from modelmux.emulator import errors, oauth
from modelmux.emulator.faults.matching import RequestFacts
from modelmux.emulator.faults.unary import apply_before_reply
from modelmux.emulator.http import JSON, BodyTooLarge, HttpExchange, Receive, Scope, Send
from modelmux.emulator.pipeline import serve_call
from modelmux.emulator.settings import EmulatorSettings
from modelmux.emulator.state import EmulatorState

_PREDICT: Final = re.compile(
    r"^/v1(?:beta1)?/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/publishers/(?P<publisher>[^/]+)"
    r"/models/(?P<model>[^/]+):(?P<verb>rawPredict|streamRawPredict)$"
)
_HTML: Final = (b"content-type", b"text/html; charset=UTF-8")


class Emulator:
    """One emulated service: an ASGI application. ``requests()`` lists the requests it received."""

    def __init__(self, settings: EmulatorSettings, catalog: Catalog, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.state = EmulatorState(settings, catalog, clock)

    def requests(self) -> list[dict[str, Any]]:
        """The last requests, oldest first, in the form of ``/_emulator/requests``."""
        return self.state.log.entries()

    def reset(self) -> None:
        self.state.reset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        exchange = HttpExchange(scope, receive, send)
        try:
            await self._route(exchange)
        except BodyTooLarge as error:
            refusal = errors.request_too_large(error.size, self.settings.max_body_bytes)
            body = refusal.body("", streaming=exchange.path.endswith(":streamRawPredict"))
            await exchange.respond(refusal.status, body, (JSON, (b"connection", b"close")))
            exchange.outcome = "refused"

    async def _route(self, exchange: HttpExchange) -> None:
        match = _PREDICT.match(exchange.path)
        if match is not None and exchange.method == "POST":
            await self._predict(exchange, match.groupdict())
        elif exchange.path in ("/token", "/oauth2/v4/token"):
            await self._token(exchange)
        elif exchange.path.startswith(oauth.METADATA) or (exchange.path == "/" and exchange.header(b"metadata-flavor")):
            await self._metadata(exchange)
        elif exchange.path in ("/", "/healthz", "/health"):
            await exchange.respond(200, msgspec.json.encode(self._status()))
        elif exchange.path == "/_emulator/requests" and exchange.method == "GET":
            await exchange.respond(200, msgspec.json.encode({"requests": self.requests()}))
        elif exchange.path == "/_emulator/bill" and exchange.method == "GET":
            await exchange.respond(200, msgspec.json.encode(self.state.bill.to_json()))
        elif exchange.path == "/_emulator/reset" and exchange.method == "POST":
            self.reset()
            await exchange.respond(200, b'{"reset":true}')
        else:
            await exchange.respond(404, errors.html_error(404), (_HTML,))

    async def _predict(self, exchange: HttpExchange, target: dict[str, str]) -> None:
        state = self.state
        exchange.number = state.next_number()
        exchange.at = state.clock()
        state.log.add(exchange)
        try:
            await exchange.read(self.settings.max_body_bytes)
        finally:
            state.log.record_body(exchange)
        await serve_call(state, exchange, target)

    async def _token(self, exchange: HttpExchange) -> None:
        if exchange.method != "POST":
            await exchange.respond(405, errors.html_error(405), (_HTML, (b"allow", b"POST")))
            return
        body = await exchange.read(64 * 1024)
        match = self.state.rules.match(RequestFacts(endpoint="token"))
        if match is not None and await apply_before_reply(exchange, match[0], streaming=False):
            return
        own_url = f"http://{exchange.header(b'host')}{exchange.path}"
        try:
            grant = self.state.tokens.grant(exchange.header(b"content-type"), body, own_url, self.state.clock())
        except oauth.OAuthError as error:
            document = {"error": error.error, "error_description": error.description}
            await exchange.respond(400, msgspec.json.encode(document))
            return
        await exchange.respond(200, msgspec.json.encode(grant), (JSON, (b"cache-control", b"no-store")))

    async def _metadata(self, exchange: HttpExchange) -> None:
        flavor = (b"metadata-flavor", b"Google")
        if exchange.header(b"metadata-flavor") != "Google":
            await exchange.respond(
                403, b"Missing Metadata-Flavor:Google header.\n", ((b"content-type", b"text/plain"), flavor)
            )
            return
        if exchange.path == "/":
            await exchange.respond(200, b"computeMetadata/\n", ((b"content-type", b"application/text"), flavor))
            return
        project = (self.settings.projects or ("emulated-project",))[0]
        resource = oauth.metadata_resource(exchange.path, self.state.tokens, project, self.state.clock())
        if resource is None:
            await exchange.respond(404, errors.html_error(404), (_HTML, flavor))
            return
        content_type, body = resource
        await exchange.respond(200, body, ((b"content-type", content_type), flavor))

    def _status(self) -> dict[str, Any]:
        return {
            "status": "ok",
            "service": "modelmux emulator",
            "requests": self.state.counter,
            "tokens_per_second": self.settings.tokens_per_second,
            "scenario": self.settings.scenario.description if self.settings.scenario else None,
            "models": [card.id for card in self.state.catalog.cards],
        }


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def create_emulator(
    settings: EmulatorSettings | None = None,
    *,
    catalog: Catalog | None = None,
    clock: Callable[[], float] = time.time,
) -> Emulator:
    """Create an emulator, ready to be served.

    :param clock: seconds since the epoch, for the lifetimes of caches, quotas and tokens.
    """
    return Emulator(settings or EmulatorSettings(), catalog or builtin(), clock)
