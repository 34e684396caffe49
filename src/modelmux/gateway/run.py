"""One exchange: decode -> resolve -> gates -> prepare and attempt -> relay -> settle. The data path on one screen.

``Exchange`` settles exactly once, whatever ends the request; ``Attempts`` prepares the request for each model it tries.
"""

from __future__ import annotations

from msgspec.structs import replace

from modelmux.claude.native import NativeRequest
from modelmux.dialects.base import Decoded, Dialect, Inbound
from modelmux.gateway.attempts import Attempts
from modelmux.gateway.client_stream import ClientStream
from modelmux.gateway.conversation import conversation_of
from modelmux.gateway.downloads import embed_files
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.large_requests import LARGE
from modelmux.gateway.relay import relay_stream, send_message
from modelmux.gateway.services import Services
from modelmux.gateway.stored_responses import load_history


async def run(inbound: Inbound, dialect: Dialect, client: ClientStream, services: Services) -> None:
    """Answer one request.

    :raises GatewayError: it failed before anything was sent; the caller sends the error.
    """
    async with Exchange(inbound, dialect, client, services) as exchange:
        decoded = await _decode(exchange)
        if decoded.unresolved is not None:
            decoded = await load_history(exchange, decoded)
        route, clock = exchange.resolve(decoded), services.runtime.clock
        admission = exchange.admission
        admission.queued_at = queued_at = clock()
        async with client.connected(exchange.time_left), services.gates(inbound, decoded, route) as entered:
            admission.admitted_at = clock()
            if services.limits is not None:
                admission.limits = services.limits.admitted(entered)
            exchange.keep_alive()
            request = exchange.request
            if isinstance(request, NativeRequest) or request.remote_files:
                large = exchange.large_requests
                request = await embed_files(request, services.downloads, inbound.caller.owner, large)
            admission.waited += clock() - queued_at
            attempts = Attempts(exchange, request, route, await conversation_of(exchange, request, route))
            if exchange.relays_events:
                await relay_stream(exchange, attempts)
            else:
                await send_message(exchange, await attempts.message())


async def _decode(exchange: Exchange) -> Decoded:
    """The request.

    :raises InvalidRequest: :raises CallerRateLimited: it is large, and its key has no requests left.
    """
    body, services = await exchange.client.body(), exchange.services
    inbound, clock, limits = exchange.inbound, services.runtime.clock, services.limits
    exchange.admission.waited, waited = clock() - inbound.received_at, 0.0
    if limits is not None and len(body) >= LARGE and (room := limits.check(inbound, len(body))) is not None:
        since = clock()
        async with exchange.client.connected(exchange.time_left):
            await room()
        waited = clock() - since
        exchange.admission.waited += waited
    decoded = await exchange.decode(body)
    return decoded if limits is None or not limits.waits else replace(decoded, body_bytes=len(body), waited=waited)
