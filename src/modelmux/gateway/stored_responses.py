"""What an exchange asks of the store of responses: the history that a request refers to, and the response itself."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from msgspec.structs import replace

from modelmux.dialects.base import Decoded, ReplyEncoder
from modelmux.errors import StoreUnavailable
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.large_requests import FEW_ITEMS
from modelmux.store.base import StoreFailed
from modelmux.wire.anthropic import Message


async def load_history(exchange: Exchange, decoded: Decoded) -> Decoded:
    """The request together with the stored items that it refers to.

    :raises InvalidRequest: it refers to something that is not stored for its owner.
    :raises StoreUnavailable: the store cannot be read.
    """
    unresolved = decoded.unresolved
    if unresolved is None:
        return decoded
    try:
        history = await exchange.services.responses.history(exchange.inbound.caller.owner, unresolved.query)
    except StoreFailed as error:
        raise unavailable(error) from None
    if decoded.is_costly or len(history.items or ()) + len(history.by_id) > FEW_ITEMS:
        completed = await exchange.services.large_requests.run(unresolved.complete, history)
        return replace(completed, is_costly=True, **_measured(decoded))
    completed = unresolved.complete(history)
    return replace(completed, **_measured(decoded)) if decoded.prompt_bytes or decoded.body_bytes else completed


def _measured(decoded: Decoded) -> dict[str, Any]:
    """What the gateway has set, and a client does not say."""
    return {"prompt_bytes": decoded.prompt_bytes, "body_bytes": decoded.body_bytes, "waited": decoded.waited}


async def store_response(exchange: Exchange, encoder: ReplyEncoder, message: Message | None = None) -> None:
    """Store a complete reply before its end is sent: the client's next request may refer to it at once, on any worker.

    A reply that cannot be stored in half the time that is left is complete nevertheless; its end says that it is not
    stored.

    :param message: the reply, for a client that did not ask for a stream.
    """
    services, owner = exchange.services, exchange.inbound.caller.owner
    encoder.ended_at = int(services.runtime.now())
    response = encoder.stored_response(message)
    if response is None:
        return
    seconds = exchange.time_left / 2
    try:
        async with asyncio.timeout(seconds if math.isfinite(seconds) else None):
            await services.responses.put(owner, response)
    except (StoreFailed, TimeoutError) as failure:
        error = StoreFailed("no time was left to wait for it") if isinstance(failure, TimeoutError) else failure
        encoder.not_stored()
        for observer in services.observers:
            observer.store_failed(exchange.inbound.request_id, error)


def unavailable(error: StoreFailed) -> StoreUnavailable:
    """The client's error for a store that cannot be read."""
    return StoreUnavailable(
        "Stored responses cannot be read at the moment.",
        hint="Send the whole conversation as input, or try again.",
        detail=str(error),
    )
