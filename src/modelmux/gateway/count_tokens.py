"""A count of tokens: decode -> resolve -> count, or estimate.

It is logged and settled like any other request, and passes none of its gates: it generates nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec

from modelmux.claude.native import NativeRequest
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.token_estimate import estimate_tokens
from modelmux.dialects.base import Dialect, Inbound
from modelmux.errors import GatewayError, NotSupported, without_traceback
from modelmux.gateway.client_stream import ClientStream
from modelmux.gateway.count_state import CountReply
from modelmux.gateway.downloads import embed_files
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.preparation import Prepared
from modelmux.gateway.prepare_native import location_notices
from modelmux.gateway.services import Services
from modelmux.gateway.token_counter import TokenCounter
from modelmux.routing.model import Route
from modelmux.wire.http import Headers

#: Kinds of errors after which the tokens are estimated: the upstream does not count here, or not now. All others are
#: the client's to fix, or the operator's.
ESTIMATED: Final = frozenset({
    "not_found", "not_enabled", "rate_limit", "quota_zero", "timeout", "overloaded", "server_error", "unexpected",
    "unreachable", "broken", "slow_start", "slow_reply", "deadline", "gateway_overloaded",
})  # fmt: skip
ESTIMATE_HEADER: Final = (b"x-modelmux-estimate", b"true")


async def count_tokens(inbound: Inbound, dialect: Dialect, client: ClientStream, services: Services) -> None:
    """Answer one request for a count.

    :raises GatewayError: it failed; the caller sends the error.
    """
    async with Exchange(inbound, dialect, client, services) as exchange:
        decoded = dialect.decode(inbound, await client.body())
        route = exchange.resolve(decoded)
        async with client.connected(exchange.time_left):
            request = await embed_files(exchange.request, services.downloads)
            if not isinstance(request, NativeRequest):
                raise NotSupported("Tokens of requests in this format cannot be counted.")
            await client.send(*await _answer(exchange, request, route, decoded.plan))


async def _answer(exchange: Exchange, request: NativeRequest, route: Route, plan: ReplyPlan) -> tuple[bytes, Headers]:
    """Body and headers of the response."""
    changes = location_notices(request, route)
    try:
        reply = await _count(exchange, request, route)
    except GatewayError as error:
        counting = exchange.services.provider.counting
        if not (error.kind.name in ESTIMATED or (counting is not None and counting.is_unavailable(error))):
            raise
        without_traceback(error)
        reply = None
    if reply is not None:
        exchange.prepared = Prepared(b"", False, plan, [*changes, *reply.notices])
        return reply.body, exchange.headers
    if not exchange.services.estimates_tokens:
        raise NotSupported(
            "Vertex AI could not count the tokens, and this gateway does not estimate them.",
            hint="The setting messages.count_tokens_estimates turns estimates on.",
        )
    exchange.prepared = Prepared(b"", False, plan, changes, is_estimate=True)
    body = msgspec.json.encode({"input_tokens": estimate_tokens(request, route.card)})
    return body, [*exchange.headers, ESTIMATE_HEADER]


async def _count(exchange: Exchange, request: NativeRequest, route: Route) -> CountReply | None:
    """The upstream's count; None if it has none."""
    counting = exchange.services.provider.counting
    if counting is None or not route.card.count_tokens:
        return None
    return await TokenCounter(exchange, request, route, counting).count()
