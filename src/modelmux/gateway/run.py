"""One exchange: admit -> resolve -> translate -> attempt -> relay -> settle. The whole data path in one screen."""

from __future__ import annotations

from collections.abc import Callable

from modelmux.claude import unknown_types
from modelmux.claude.notices import reject_notices
from modelmux.claude.prepare import prepare
from modelmux.dialects.openai_chat.request import to_claude_request
from modelmux.dialects.openai_chat.response import translate_response
from modelmux.dialects.openai_chat.stream import ChatStream
from modelmux.gateway.attempts import Attempts
from modelmux.gateway.buffered_relay import make_relay, tell_whole
from modelmux.gateway.downloads import embed_downloads
from modelmux.gateway.exchange import Answer, Exchange, Services
from modelmux.gateway.thinking_store import remember
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
    claude_request, plan = to_claude_request(request, unknown)
    claude_request = await embed_downloads(claude_request, services.downloads)
    prepared = prepare(claude_request, plan, card, route.options, lambda call_id: thoughts.get(owner, call_id, card.id))
    exchange.notices = prepared.notices
    if services.strict or exchange.strict:
        reject_notices(prepared.notices)
    exchange.remembers = prepared.keeps_thinking
    id, created, shape, relay = services.new_id(), int(services.now()), prepared.plan, None
    if exchange.stream:
        encoder = chat_response.ChunkEncoder(
            id=id, created=created, model=shape.model, include_usage=shape.include_usage, tier=shape.service_tier
        )
        relay = make_relay(exchange.mode, ChatStream(shape), encoder, services.pacing, services.clock)
    attempts = Attempts(route, prepared, relay, exchange, services)
    message = await attempts.whole(shape.max_continuations)
    exchange.first_content = services.clock()
    if message is None:
        assert relay is not None
        relay.go_on = attempts.go_on
        return Answer(exchange, relay=relay)
    exchange.usage, exchange.unknown = (
        message.usage,
        unknown_types.unknown_in_reply(message.content, message.stop_reason),
    )
    if exchange.remembers:
        remember(message.content or (), owner, card.id, thoughts)
    completion = translate_response(message, shape, id=id, created=created)
    if exchange.stream and exchange.mode == "never":
        return Answer(exchange, tell_whole(completion, include_usage=shape.include_usage), events=True)
    return Answer(exchange, common.encode(completion))
