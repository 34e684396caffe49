"""Asks the upstream how many tokens a prompt has, where a budget is short: the bound of every request is rather high.

Such a count is free and not an attempt of the request, and its failure only leaves the bound as it is.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from typing import Final

import msgspec
from msgspec import Struct

from modelmux.claude.native import NativeRequest, blocks_of
from modelmux.errors import GatewayError, without_traceback
from modelmux.gateway.count_state import CountReply
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.preparation import Prepared
from modelmux.gateway.prepare_native import location_of
from modelmux.providers.base import TokenCounting
from modelmux.routing.model import Deployment, Route

#: Seconds that a request waits for its count.
TIMEOUT: Final = 5.0
#: The deployment's own location, and one more.
_MOST_LOCATIONS: Final = 2
_MOST_READ: Final = 64 * 1024
#: What a count may be below what is charged, says Anthropic, is "a small amount".
_PERCENT: Final = 2
_TOKENS: Final = 50


class _Count(Struct):
    input_tokens: int


_decode: Final = msgspec.json.Decoder(_Count).decode


async def exact_prompt(exchange: Exchange, prepared: Prepared, deployment: Deployment) -> int | None:
    """Tokens of the prompt, at most; None if they cannot be counted."""
    counting, route = exchange.services.provider.counting, exchange.route
    if counting is None or route is None or not deployment.card.count_tokens:
        return None
    try:
        async with asyncio.timeout(TIMEOUT):
            request = await exchange.run(_native, prepared.encoded)
            for one in counting.deployments(deployment, route)[:_MOST_LOCATIONS]:
                if not route.allows_deployment(one):
                    return None
                try:
                    counted = _decode((await _count(exchange, request, one, route, counting)).body).input_tokens
                    return counted + counted * _PERCENT // 100 + _TOKENS
                except GatewayError as error:
                    without_traceback(error)
                    if not counting.is_unavailable(error):
                        return None
    except TimeoutError:
        pass
    return None


def _native(body: bytes) -> NativeRequest:
    content = msgspec.json.decode(body)
    return NativeRequest(body, content, list(blocks_of(content)))


async def _count(
    exchange: Exchange, request: NativeRequest, deployment: Deployment, route: Route, counting: TokenCounting
) -> CountReply:
    """:raises GatewayError:"""
    services, owner = exchange.services, exchange.inbound.caller.owner
    refused = services.counts.refusals.of(location_of(deployment))
    prepared = await exchange.run(functools.partial(counting.prepare, request, deployment, route, refused=refused))

    async def ask() -> CountReply:
        since = await services.counts.limiter.acquire(TIMEOUT, key=owner)
        try:
            token = await services.tokens.token()
            reply = await services.upstream.send(counting.call(deployment, prepared.body, token, route=route))
            try:
                body = await reply.read(_MOST_READ)
            finally:
                await reply.aclose()
            if reply.status != 200:
                now = services.runtime.now()
                raise services.provider.error(reply.status, reply.headers, body, deployment, now)
            counting.check(body)
            return CountReply(body, prepared.notices)
        finally:
            services.counts.limiter.release(since=since)

    key = hashlib.sha256(b"\0".join([b"budget", owner.encode(), deployment.url.encode(), prepared.body]))
    return await services.counts.replies.get(key.digest(), ask)
