"""Sending a reply to its client: a committed stream read by read, or a message in the client's form.

All events that arrive in one read are encoded and sent together, so no byte is delayed and one write serves several
events. A broken upstream never looks like success: the regular end follows only ``message_stop``. Any failure is
raised, and the exchange ends the stream with an error that the official SDKs raise as an exception.
"""

from __future__ import annotations

from msgspec.structs import replace

from modelmux.claude.fold import to_events
from modelmux.gateway.attempts import Attempts, CompleteReply
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.stored_responses import store_response


async def relay_stream(exchange: Exchange, attempts: Attempts) -> None:
    """Send a stream from its first content to its end.

    :raises GatewayError: it failed, before or after the head was sent.
    """
    client = exchange.client
    stream = exchange.committed = await attempts.first_content()
    exchange.note_first_content()
    await client.start(exchange.headers)
    while True:
        data = await stream.read()
        if stream.is_over and not stream.state.paused:
            break
        if data:
            await client.write(data)
        elif stream.state.paused:
            stream = exchange.committed = await attempts.resume(stream)
    if stream.encoder.stores_response and data:  # the client does not wait for the store
        await client.write(data)
        data = b""
    await store_response(exchange, stream.encoder)
    stream.ended = True
    await client.end(data + stream.encoder.finish())


async def send_message(exchange: Exchange, reply: CompleteReply) -> None:
    """Send a complete reply: as one JSON body, or as the shortest event stream (mode ``single``)."""
    client, encoder = exchange.client, exchange.encoder
    assert encoder is not None
    exchange.note_first_content()
    if not exchange.sends_events:
        await store_response(exchange, encoder, reply.message)
        await client.send(encoder.message(reply.message, reply.body), exchange.headers)
        return
    encoder = encoder.restart(replace(encoder.plan, max_continuations=0))
    events = b"".join(map(encoder.feed, to_events(reply.message)))
    await store_response(exchange, encoder)
    await client.start(exchange.headers)
    await client.end(events + encoder.finish())
