"""One exchange: admit -> resolve -> translate -> attempt -> relay -> settle. The whole data path in one screen."""

from __future__ import annotations

from dataclasses import dataclass

from modelmux.errors import GatewayError
from modelmux.gateway.attempt import LONG_REPLY_TOKENS, attempt
from modelmux.gateway.exchange import Exchange, Services
from modelmux.gateway.relay import StreamRelay
from modelmux.gateway.settle import settle
from modelmux.translate.chat_request import translate_request
from modelmux.translate.chat_response import translate_response
from modelmux.translate.chat_stream import ChatStream
from modelmux.wire import anthropic, openai_chat, openai_common


@dataclass(slots=True)
class Answer:
    """What the server sends: a body, or a stream to read until it is empty. Always ``aclose`` it."""

    exchange: Exchange
    body: bytes = b""
    relay: StreamRelay | None = None


async def run(body: bytes, exchange: Exchange, services: Services) -> Answer:
    """Answer a Chat Completions request.

    :returns: once there is content to show; a stream goes on in ``Answer.relay``.
    :raises GatewayError: the client gets it as a status and an envelope.
    """
    request = openai_chat.decode_request(body)
    exchange.model, exchange.stream = request.model, bool(request.stream)
    exchange.route = route = services.routes.find(request.model)
    translated = translate_request(request, route.deployments[0].card)
    exchange.notices = translated.notices
    streamed = exchange.stream or translated.body.max_tokens > LONG_REPLY_TOKENS
    translated.body.stream = True if streamed else None
    id, created, shape = services.new_id(), int(services.now()), translated.shape
    relay = None
    if exchange.stream:
        encoder = openai_chat.ChunkEncoder(id=id, created=created, model=shape.model, include_usage=shape.include_usage)
        relay = StreamRelay(ChatStream(shape), encoder)
    encoded = anthropic.encode_request(translated.body)
    message = await attempt(route, encoded, translated, relay, exchange, services)
    exchange.first_content = services.clock()
    if message is None:
        return Answer(exchange, relay=relay)
    exchange.usage = message.usage
    return Answer(exchange, openai_common.encode(translate_response(message, shape, id=id, created=created)))


def finish(answer: Answer, services: Services, *, client_gone: bool) -> None:
    """Settle an answered exchange; ``client_gone`` when the client left before its end."""
    exchange, error = answer.exchange, None
    if answer.relay is not None:
        exchange.usage = answer.relay.stream.usage
        exchange.unknown = answer.relay.stream.unknown
        error = answer.relay.failure
    settle(exchange, services, error=error, client_gone=client_gone)


def fail(exchange: Exchange, services: Services, error: GatewayError) -> None:
    """Settle an exchange that ended before it had anything to show."""
    settle(exchange, services, error=error)
