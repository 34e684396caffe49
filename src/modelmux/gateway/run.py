"""One exchange: admit -> resolve -> translate -> attempt -> relay -> settle. The whole data path in one screen."""

from __future__ import annotations

from collections.abc import Callable

from modelmux.claude import unknown_types
from modelmux.dialects.openai_chat.request import refuse_notices, translate_request
from modelmux.dialects.openai_chat.response import translate_response
from modelmux.dialects.openai_chat.stream import ChatStream
from modelmux.gateway.attempts import Attempts
from modelmux.gateway.buffered_relay import make_relay, tell_whole
from modelmux.gateway.downloads import fetch_assets
from modelmux.gateway.exchange import Answer, Exchange, Services
from modelmux.gateway.thinking_store import may_think, remember
from modelmux.routing import affinity
from modelmux.wire.openai import chat_request, chat_response, common


async def run(
    body: bytes, exchange: Exchange, services: Services, on_route: Callable[[], None] = lambda: None
) -> Answer:
    """Answer a Chat Completions request.

    :param on_route: called once the exchange says how the request is answered, and until when.
    :returns: once there is content to show; a stream goes on in ``Answer.relay``.
    :raises GatewayError: the client gets it as a status and an envelope.
    """
    request, unknown = chat_request.read_request(body)
    exchange.stream = bool(request.stream)
    exchange.route = route = services.routes.find(request.model)
    exchange.deadline = exchange.started + min(route.timeouts.total, exchange.timeout)
    if exchange.stream:
        exchange.mode = services.pacing.modes.find(exchange.headers)
    on_route()
    if len(route.deployments) > 1:
        exchange.affinity = affinity.key_of(request, exchange.headers)
    card, owner, thoughts = route.deployments[0].card, exchange.owner, services.thoughts
    translated = translate_request(
        request,
        card,
        route.options,
        unknown=unknown,
        assets=await fetch_assets(request, services.downloads),
        recall=lambda call_id: thoughts.get(owner, call_id, card.id),
    )
    exchange.notices = translated.notices
    if services.strict or exchange.strict:
        refuse_notices(translated.notices)
    exchange.remembers = may_think(translated.body, card.thinking_default)
    id, created, shape, relay = services.new_id(), int(services.now()), translated.shape, None
    if exchange.stream:
        encoder = chat_response.ChunkEncoder(
            id=id, created=created, model=shape.model, include_usage=shape.include_usage, tier=shape.service_tier
        )
        relay = make_relay(exchange.mode, ChatStream(shape), encoder, services.pacing, services.clock)
    attempts = Attempts(route, translated, relay, exchange, services)
    message = await attempts.whole(shape.continue_paused)
    exchange.first_content = services.clock()
    if message is None:
        assert relay is not None
        relay.go_on = attempts.go_on
        return Answer(exchange, relay=relay)
    exchange.usage, exchange.unknown = message.usage, unknown_types.of_reply(message.content, message.stop_reason)
    if exchange.remembers:
        remember(message.content or (), owner, card.id, thoughts)
    completion = translate_response(message, shape, id=id, created=created)
    if exchange.stream and exchange.mode == "single":
        return Answer(exchange, tell_whole(completion, include_usage=shape.include_usage), events=True)
    return Answer(exchange, common.encode(completion))
