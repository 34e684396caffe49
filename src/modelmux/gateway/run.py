"""One exchange: decode -> resolve -> gates -> prepare and attempt -> relay -> settle. The data path on one screen.

``Exchange`` settles exactly once, whatever ends the request; ``Attempts`` prepares the request for each model it tries.
"""

from __future__ import annotations

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
        decoded = await load_history(exchange, await _decode(exchange))
        route, clock = exchange.resolve(decoded), services.runtime.clock
        admission = exchange.admission
        admission.queued_at = queued_at = clock()
        async with client.connected(exchange.time_left), services.gates(inbound, decoded, route) as entered:
            admission.admitted_at = clock()
            if services.limits is not None:
                admission.limits = services.limits.admitted(entered)
            exchange.keep_alive()
            request = await embed_files(
                exchange.request, services.downloads, inbound.caller.owner, exchange.large_requests
            )
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
    exchange.admission.waited, limits = services.runtime.clock() - exchange.inbound.received_at, services.limits
    if limits is not None and len(body) >= LARGE:
        limits.check(exchange.inbound)
    return await exchange.decode(body)
