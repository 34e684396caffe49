"""Prepares a request for the model of each deployment that is tried; prepared and encoded once per model.

Thinking blocks that an upstream rejected before are left out: clients keep sending them, and each would cost an
attempt.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from modelmux.claude.limits import LONG_REPLY_TOKENS
from modelmux.claude.notices import reject_notices
from modelmux.claude.prepare import PreparedRequest
from modelmux.claude.request import ClaudeRequest
from modelmux.claude.thinking_blocks import all_thinking, has_thinking, without_thinking
from modelmux.gateway.conversation import Conversation
from modelmux.gateway.exchange import Exchange
from modelmux.routing.model import Deployment, Route
from modelmux.wire.anthropic import InputMessage, MessagesRequest, encode_request


class Prepared(Struct):
    """The request for the deployments of one model.

    :param stream: whether the upstream is asked for a stream.
    """

    request: PreparedRequest
    stream: bool
    body: MessagesRequest
    encoded: bytes


class Preparation:
    """Prepares the request of one exchange, for whichever model is tried."""

    def __init__(self, exchange: Exchange, request: ClaudeRequest, route: Route, conversation: Conversation) -> None:
        self._exchange = exchange
        self._services = exchange.services
        self._request = request
        self._route = route
        self._conversation = conversation
        self._prepared: dict[str, Prepared] = {}
        self._continuation: list[InputMessage] = []

    def prepare(self, deployment: Deployment) -> Prepared:
        """The request for a deployment's model.

        :raises InvalidRequest: the model does not support it, or strict mode forbids the changes it needs.
        """
        prepared = self._prepared.get(deployment.card.id)
        if prepared is None:
            request = self._prepare(deployment)
            prepared = self._prepared[deployment.card.id] = self._encoded(request, self._allowed_thinking(request.body))
        return prepared

    def add_turn(self, turn: InputMessage) -> None:
        """Continue a paused reply: add a turn to the end of the conversation."""
        self._continuation.append(turn)
        self._prepared = {model: self._encoded(p.request, p.body, turn) for model, p in self._prepared.items()}

    def has_thinking(self, deployment: Deployment) -> bool:
        """Whether the body for a deployment's model holds thinking blocks."""
        prepared = self._prepared.get(deployment.card.id)
        return prepared is not None and has_thinking(prepared.body)

    def drop_thinking(self, deployment: Deployment) -> None:
        """The upstream rejected a thinking block: leave all of them out, now and in later requests."""
        prepared = self._prepared[deployment.card.id]
        self._services.thinking.mark_rejected(self._exchange.inbound.caller.owner, all_thinking(prepared.body))
        self._prepared[deployment.card.id] = self._encoded(prepared.request, without_thinking(prepared.body))

    def _prepare(self, deployment: Deployment) -> PreparedRequest:
        exchange, services = self._exchange, self._services
        decoded, owner, model = exchange.decoded, exchange.inbound.caller.owner, deployment.card.id
        assert decoded is not None
        prepared = services.provider.prepare(
            self._request,
            decoded.plan,
            deployment,
            self._route,
            lambda call_id: services.thinking.get(owner, call_id, model),
            other_model=self._conversation.has_foreign_thinking(model),
        )
        if services.strict or exchange.inbound.strict:
            reject_notices(prepared.notices)
        return prepared

    def _allowed_thinking(self, body: MessagesRequest) -> MessagesRequest:
        thinking = all_thinking(body)
        if not thinking:
            return body
        owner, is_rejected = self._exchange.inbound.caller.owner, self._services.thinking.is_rejected
        if any(is_rejected(owner, block) for block in thinking):
            return without_thinking(body, lambda block: is_rejected(owner, block))
        return body

    def _encoded(self, request: PreparedRequest, body: MessagesRequest, *turns: InputMessage) -> Prepared:
        stream = self._exchange.relays_events or body.max_tokens > LONG_REPLY_TOKENS
        body = msgspec.structs.replace(body, messages=[*body.messages, *turns], stream=True if stream else None)
        return Prepared(request, stream, body, encode_request(body))
