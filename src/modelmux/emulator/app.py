"""The emulator as an ASGI application: routing, and the order in which a call is judged and answered.

The paths of Vertex AI, of Google's token endpoint and of the metadata server, and a few of its own under
``/_emulator``. What a request may say is in ``validate.py``, what is answered in ``answer.py``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from modelmux.catalog import Catalog, builtin
from modelmux.emulator import oauth, refusals
from modelmux.emulator.exchange import JSON, Exchange, Receive, Scope, Send, TooLarge
from modelmux.emulator.messages import serve_call
from modelmux.emulator.misbehave import apply_early
from modelmux.emulator.refusals import Refused
from modelmux.emulator.scenario import Meeting, meet
from modelmux.emulator.settings import EmulatorSettings
from modelmux.emulator.state import State

_PREDICT: Final = re.compile(
    r"^/v1(?:beta1)?/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/publishers/(?P<publisher>[^/]+)"
    r"/models/(?P<model>[^/]+):(?P<verb>rawPredict|streamRawPredict)$"
)
_HTML: Final = (b"content-type", b"text/html; charset=UTF-8")


class Emulator:
    """One emulated service. Call it as an ASGI application; ``requests()`` tells what it got."""

    def __init__(self, settings: EmulatorSettings, catalog: Catalog, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.state = State(settings, catalog, clock)

    def requests(self) -> list[dict[str, Any]]:
        """The last requests, oldest first, in the form ``/_emulator/requests`` shows."""
        return self.state.log.entries()

    def reset(self) -> None:
        self.state.reset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        try:
            await self._route(exchange)
        except TooLarge:
            refused = Refused(413, "request_too_large", "Request exceeds the maximum size")
            body = refused.body("req_vrtx_011Ctoolarge", streaming=False)
            await exchange.reply(413, body, (JSON, (b"connection", b"close")))

    async def _route(self, exchange: Exchange) -> None:
        found = _PREDICT.match(exchange.path)
        if found is not None and exchange.method == "POST":
            await self._predict(exchange, found.groupdict())
        elif exchange.path in ("/token", "/oauth2/v4/token"):
            await self._token(exchange)
        elif exchange.path.startswith(oauth.METADATA) or (exchange.path == "/" and exchange.header(b"metadata-flavor")):
            await self._metadata(exchange)
        elif exchange.path in ("/", "/healthz", "/health"):
            await exchange.reply(200, msgspec.json.encode(self._status()))
        elif exchange.path == "/_emulator/requests" and exchange.method == "GET":
            await exchange.reply(200, msgspec.json.encode({"requests": self.requests()}))
        elif exchange.path == "/_emulator/reset" and exchange.method == "POST":
            self.reset()
            await exchange.reply(200, b'{"reset":true}')
        else:
            await exchange.reply(404, refusals.html_error(404), (_HTML,))

    async def _predict(self, exchange: Exchange, target: dict[str, str]) -> None:
        state = self.state
        exchange.number = state.next_number()
        exchange.at = state.clock()
        state.log.add(exchange)
        try:
            await exchange.read(self.settings.max_body_bytes)
        finally:
            state.log.settle(exchange)
        await serve_call(state, exchange, target)

    async def _token(self, exchange: Exchange) -> None:
        if exchange.method != "POST":
            await exchange.reply(405, refusals.html_error(405), (_HTML, (b"allow", b"POST")))
            return
        body = await exchange.read(64 * 1024)
        fault = meet(self.state, Meeting(endpoint="token"))
        if fault is not None and await apply_early(exchange, fault[0], streaming=False):
            return
        own = f"http://{exchange.header(b'host')}{exchange.path}"
        try:
            said = self.state.tokens.grant(exchange.header(b"content-type"), body, own, self.state.clock())
        except oauth.Denied as denied:
            refusal = {"error": denied.error, "error_description": denied.description}
            await exchange.reply(400, msgspec.json.encode(refusal))
            return
        await exchange.reply(200, msgspec.json.encode(said), (JSON, (b"cache-control", b"no-store")))

    async def _metadata(self, exchange: Exchange) -> None:
        flavor = (b"metadata-flavor", b"Google")
        if exchange.header(b"metadata-flavor") != "Google":
            await exchange.reply(
                403, b"Missing Metadata-Flavor:Google header.\n", ((b"content-type", b"text/plain"), flavor)
            )
            return
        if exchange.path == "/":
            await exchange.reply(200, b"computeMetadata/\n", ((b"content-type", b"application/text"), flavor))
            return
        project = (self.settings.projects or ("emulated-project",))[0]
        found = oauth.metadata(exchange.path, self.state.tokens, project, self.state.clock())
        if found is None:
            await exchange.reply(404, refusals.html_error(404), (_HTML, flavor))
            return
        kind, body = found
        await exchange.reply(200, body, ((b"content-type", kind), flavor))

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
    """An emulator ready to be served.

    :param clock: seconds since the epoch; caches, quotas and tokens age by it.
    """
    return Emulator(settings or EmulatorSettings(), catalog or builtin(), clock)
