"""Which conversation a request belongs to, and which of a route's models it is with."""

from __future__ import annotations

from msgspec import Struct

from modelmux.claude import native
from modelmux.claude.native import NativeRequest
from modelmux.claude.request import ClaudeRequest
from modelmux.gateway.deployments import DeploymentPool, PinKey
from modelmux.gateway.exchange import Exchange
from modelmux.routing.affinity import affinity_key, stable_prefix
from modelmux.routing.model import Route
from modelmux.routing.selection import select


class Conversation(Struct, frozen=True):
    """One conversation on one route.

    :param primary_model: the model the conversation is with unless that fails; all others are fallbacks to it.
    :param affinity_key: see ``routing.affinity``; None if the route has one deployment.
    :param pin_key: under which the pool remembers the model; None if the route has one model.
    :param pinned_model: the fallback model that the conversation stays with, if any.
    """

    primary_model: str
    affinity_key: bytes | None = None
    pin_key: PinKey | None = None
    pinned_model: str | None = None

    def has_foreign_thinking(self, model: str) -> bool:
        """Whether thinking in the history may be that of a model other than this one."""
        return model != self.primary_model or self.pinned_model is not None

    def is_first_with(self, model: str) -> bool:
        """Whether a fallback model gets this conversation for the first time: all thinking in it is another model's."""
        return model not in (self.primary_model, self.pinned_model)

    def record_answer(self, model: str, pool: DeploymentPool) -> None:
        """The conversation stays with the model that answered, for its prompt cache and its thinking."""
        if self.pin_key is not None:
            pool.pin_model(self.pin_key, model, default=self.primary_model)


async def conversation_of(exchange: Exchange, request: ClaudeRequest | NativeRequest, route: Route) -> Conversation:
    """The conversation of a request."""
    if len(route.deployments) == 1:
        return Conversation(route.card.id)
    key, is_continued = await exchange.run(_key_and_progress, exchange, request, route)
    if not route.has_several_models:
        return Conversation(route.card.id, key)
    pin_key = route.name, exchange.inbound.caller.owner, key
    return Conversation(
        select(route, (), affinity_key=key).card.id,
        key,
        pin_key,
        exchange.services.deployments.pinned_model(pin_key) if is_continued else None,
    )


def _key_and_progress(exchange: Exchange, request: ClaudeRequest | NativeRequest, route: Route) -> tuple[bytes, bool]:
    """The affinity key, and, for a route with several models, whether the conversation goes on: a request without a
    reply in its history begins one, even if another one has begun alike."""
    assert exchange.decoded is not None
    prefix = (
        native.stable_prefix(request.content) if isinstance(request, NativeRequest) else stable_prefix(request.body)
    )
    key = affinity_key(prefix, exchange.decoded.conversation_id, exchange.inbound.headers)
    return key, route.has_several_models and _has_reply(request)


def _has_reply(request: ClaudeRequest | NativeRequest) -> bool:
    if isinstance(request, NativeRequest):
        return native.has_reply(request.content)
    return any(message.role == "assistant" for message in request.body.messages)
