"""A count of tokens: decode -> resolve -> count, or estimate.

It is logged and settled like any other request, and passes none of its gates: it generates nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final

import msgspec

from modelmux.claude.native import NativeRequest
from modelmux.claude.notices import Notice
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest
from modelmux.claude.token_estimate import estimate_tokens
from modelmux.dialects.base import CountingDialect, Inbound
from modelmux.errors import GatewayError, NotSupported, UpstreamRefused, without_traceback
from modelmux.gateway.client_stream import ClientStream
from modelmux.gateway.count_state import CountReply
from modelmux.gateway.downloads import embed_files
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.preparation import Prepared
from modelmux.gateway.prepare_native import location_notices
from modelmux.gateway.prepare_translated import explain, prepare_for
from modelmux.gateway.services import Services
from modelmux.gateway.stored_responses import load_history
from modelmux.gateway.token_counter import TokenCounter, counting_deployment
from modelmux.routing.model import Route
from modelmux.wire.http import Headers

#: Kinds of errors after which the tokens are estimated: the upstream does not count here, or not now. All others are
#: the client's to fix, or the operator's.
ESTIMATED: Final = frozenset({
    "not_found", "not_enabled", "rate_limit", "quota_zero", "timeout", "overloaded", "server_error", "unexpected",
    "unreachable", "broken", "slow_start", "slow_reply", "deadline", "gateway_overloaded",
})  # fmt: skip
ESTIMATE_HEADER: Final = (b"x-modelmux-estimate", b"true")


async def count_tokens(inbound: Inbound, dialect: CountingDialect, client: ClientStream, services: Services) -> None:
    """Answer one request for a count.

    :raises GatewayError: it failed; the caller sends the error.
    """
    async with Exchange(inbound, dialect, client, services) as exchange:
        decoded = await load_history(exchange, await exchange.decode(await client.body()))
        route = exchange.resolve(decoded)
        async with client.connected(exchange.time_left):
            request = await embed_files(
                exchange.request, services.downloads, inbound.caller.owner, exchange.large_requests
            )
            if isinstance(request, NativeRequest):
                changes = location_notices(request, route)
                body, headers = await _answer(exchange, request, route, decoded.plan, changes)
            else:
                body, headers = await _answer_translated(exchange, request, route, decoded.plan)
            await client.send(dialect.token_count(body), headers)


async def _answer_translated(
    exchange: Exchange, request: ClaudeRequest, route: Route, plan: ReplyPlan
) -> tuple[bytes, Headers]:
    """The same for a request that is translated.

    :raises NotSupported: the provider cannot count.
    """
    counting = exchange.services.provider.counting
    if counting is None:
        raise NotSupported("The upstream of this model cannot count tokens.")
    prepare = functools.partial(prepare_for, exchange, request, route, plan, counting_deployment(route))
    prepared = await exchange.run(prepare)
    native = await exchange.run(counting.native_form, prepared)
    try:
        return await _answer(exchange, native, route, plan, prepared.notices)
    except UpstreamRefused as error:
        own = error.copy()  # identical requests share one error, their paths may differ
        await exchange.run(explain, own, request, prepared.body, prepared.plan)
        raise own from None


async def _answer(
    exchange: Exchange, request: NativeRequest, route: Route, plan: ReplyPlan, changes: Sequence[Notice]
) -> tuple[bytes, Headers]:
    """Anthropic's body of a count, and the headers of the response."""
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
    tokens = await exchange.run(estimate_tokens, request, route.card)
    body = msgspec.json.encode({"input_tokens": tokens})
    return body, [*exchange.headers, ESTIMATE_HEADER]


async def _count(exchange: Exchange, request: NativeRequest, route: Route) -> CountReply | None:
    """The upstream's count; None if it has none."""
    counting = exchange.services.provider.counting
    if counting is None or not route.card.count_tokens:
        return None
    return await TokenCounter(exchange, request, route, counting).count()
