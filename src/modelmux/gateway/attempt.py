"""Attempts: call a deployment, read until there is content, try again where it may help.

An attempt includes reading the first content: until then nothing was promised to the client, so an "Overloaded"
inside a 200 stream is retried like any other.
"""

from __future__ import annotations

from typing import Final

import msgspec

from modelmux.errors import GatewayError, UpstreamBroken, UpstreamRefused
from modelmux.gateway.exchange import Exchange, Services
from modelmux.gateway.relay import EventReader, StreamRelay
from modelmux.routing.resolve import Deployment, Route
from modelmux.routing.retry import GiveUp, decide
from modelmux.routing.select import select
from modelmux.telemetry import names
from modelmux.translate import fold
from modelmux.translate.context import Translated
from modelmux.translate.errors import translate_fault
from modelmux.upstream.base import Headers, Reply
from modelmux.upstream.vertex import MAX_ERROR_BODY, MAX_REPLY_BODY
from modelmux.wire import anthropic
from modelmux.wire.vertex import decode_fault

#: A unary request that may produce more than this is streamed from Vertex AI and folded: no idle timeout on the way
#: can cut it while the model writes.
LONG_REPLY_TOKENS: Final = 8_192


async def attempt(
    route: Route, body: bytes, translated: Translated, relay: StreamRelay | None, exchange: Exchange, services: Services
) -> anthropic.Message | None:
    """Try deployments until one gives content.

    :param relay: where a streamed reply goes; None for a unary one.
    :returns: the whole message for a unary request; None once ``relay`` holds the reply.
    :raises GatewayError: of the last attempt, when no further one is worth it.
    """
    deployment, renewed = select(route, ()), False
    token = await services.tokens.token()
    while True:
        exchange.tried.append(deployment)
        try:
            return await _try_once(deployment, body, token, translated, relay, exchange, services)
        except GatewayError as error:
            _note_failure(error, deployment, exchange, services)
            verdict = decide(
                error, route=route, tried=tuple(exchange.tried), renewed=renewed, policy=services.policy,
                jitter=services.jitter(),
            )  # fmt: skip
            if isinstance(verdict, GiveUp):
                raise
        if verdict.renew_token:
            token, renewed = await services.tokens.renew(token), True
        elif verdict.delay:
            await services.sleep(verdict.delay)
            token = await services.tokens.token()
        services.metrics.retries += 1
        deployment = verdict.deployment


async def _try_once(
    deployment: Deployment,
    body: bytes,
    token: str,
    translated: Translated,
    relay: StreamRelay | None,
    exchange: Exchange,
    services: Services,
) -> anthropic.Message | None:
    stream = bool(translated.body.stream)
    reply = await services.upstream.send(services.vertex.call(deployment, body, token, stream=stream))
    kept = False
    try:
        exchange.upstream_request_id = _header(reply.headers, b"request-id")
        if reply.status != 200:
            fault = decode_fault(reply.status, await reply.read(MAX_ERROR_BODY))
            raise translate_fault(fault, retry_after=_header(reply.headers, b"retry-after"), hide=deployment.project)
        whole = not (_header(reply.headers, b"content-type") or "").startswith("text/event-stream")
        if relay is not None:
            if whole:
                relay.hold(fold.unfold(_decode(await reply.read(MAX_REPLY_BODY))))
            else:
                kept = await relay.open(reply)
            services.metrics.attempts.labels(deployment.id, "ok").inc()
            return None
        message = _decode(await reply.read(MAX_REPLY_BODY)) if whole else await _fold(reply, exchange)
        services.metrics.attempts.labels(deployment.id, "ok").inc()
        return message
    finally:
        if not kept:
            await reply.aclose()


async def _fold(reply: Reply, exchange: Exchange) -> anthropic.Message:
    folded = fold.MessageFold()
    reader = EventReader(reply)
    try:
        while (events := await reader.read()) is not None:
            for event in events:
                folded.feed(event)
    finally:
        exchange.usage = folded.usage
    return folded.result()


def _decode(body: bytes) -> anthropic.Message:
    try:
        message = anthropic.decode_message(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamBroken(
            "The upstream's answer is not a Messages reply.", reply_started=True, detail=str(error)[:200]
        ) from None
    if message.type != "message":
        raise UpstreamBroken("The upstream's answer is not a Messages reply.", reply_started=True)
    return message


def _note_failure(error: GatewayError, deployment: Deployment, exchange: Exchange, services: Services) -> None:
    kind = error.kind if isinstance(error, UpstreamRefused) else error.code or "error"
    if isinstance(error, UpstreamRefused):
        exchange.upstream_request_id = error.request_id or exchange.upstream_request_id
        if error.kind == "rate_limit":
            services.metrics.quota_errors += 1
    services.metrics.attempts.labels(deployment.id, kind).inc()
    services.log.warning(
        names.EVENT_ATTEMPT_FAILED,
        request_id=exchange.request_id,
        deployment=deployment.id,
        attempt=len(exchange.tried),
        kind=kind,
        message=error.message,
        detail=error.detail,
    )


def _header(headers: Headers, name: bytes) -> str | None:
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None
