"""Prepares a translated request for the model of each deployment that is tried; prepared and encoded once per model.

Thinking blocks that an upstream rejected before are left out: clients keep sending them, and each would cost an
attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from modelmux.claude.client_terms import in_client_terms
from modelmux.claude.draft import SignedThinking
from modelmux.claude.limits import LONG_REPLY_TOKENS
from modelmux.claude.notices import Notice, reject_notices
from modelmux.claude.prepare import PreparedRequest
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest
from modelmux.claude.thinking_blocks import all_thinking, call_ids, has_thinking, without_thinking
from modelmux.errors import GatewayError, UpstreamRefused
from modelmux.gateway.conversation import Conversation
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.preparation import Prepared
from modelmux.routing.model import Deployment, Route
from modelmux.wire.anthropic import InputMessage, MessagesRequest, encode_large_request, encode_request


class _ForModel(Struct):
    """What one model gets, decoded and encoded."""

    request: PreparedRequest
    body: MessagesRequest
    prepared: Prepared


class TranslatedPreparation:
    """See ``gateway.preparation.Preparation``."""

    def __init__(self, exchange: Exchange, request: ClaudeRequest, route: Route, conversation: Conversation) -> None:
        self._exchange = exchange
        self._services = exchange.services
        self._request = request
        self._route = route
        self._conversation = conversation
        self._models: dict[str, _ForModel] = {}
        self._lacks_thinking: dict[str, bool] = {}

    def prepare(self, deployment: Deployment) -> Prepared:
        model = self._models.get(deployment.card.id)
        if model is None:
            model = self._models[deployment.card.id] = self._allowed(self._prepare(deployment))
        return model.prepared

    def unknown_calls(self, deployment: Deployment) -> Sequence[str]:
        lacks_thinking = self._lacks_thinking.get(deployment.card.id, False)
        self._lacks_thinking[deployment.card.id] = False
        return call_ids(self._request) if lacks_thinking else ()

    def forget(self, deployment: Deployment) -> None:
        self._models.pop(deployment.card.id, None)

    def add_turn(self, turn: InputMessage) -> None:
        self._models = {id: self._encoded(model.request, model.body, turn) for id, model in self._models.items()}

    def can_repair(self, error: GatewayError, deployment: Deployment) -> bool:
        model = self._models.get(deployment.card.id)
        return error.kind.name == "thinking_refused" and model is not None and has_thinking(model.body)

    def explain(self, error: GatewayError, deployment: Deployment) -> None:
        """See ``gateway.preparation.Preparation``. What was sent is another request than the client's."""
        model = self._models.get(deployment.card.id)
        if model is None:
            return
        explain(error, self._request, model.body, model.request.plan)

    def repair(self, error: GatewayError, deployment: Deployment) -> None:
        """The upstream rejected a thinking block: leave all of them out, now and in later requests.

        :raises InvalidRequest: the client sent one of them, and strict mode forbids to leave it out.
        """
        del error
        model = self._models[deployment.card.id]
        rejected = all_thinking(model.body)
        self._services.thinking.mark_rejected(self._exchange.inbound.caller.owner, rejected)
        request = self._reported(model.request, rejected)
        self._models[deployment.card.id] = self._encoded(request, without_thinking(model.body))

    def _prepare(self, deployment: Deployment) -> PreparedRequest:
        decoded, other_model = self._exchange.decoded, self._conversation.has_foreign_thinking(deployment.card.id)
        assert decoded is not None
        return prepare_for(
            self._exchange,
            self._request,
            self._route,
            decoded.plan,
            deployment,
            other_model=other_model,
            on_unknown=lambda: self._lacks_thinking.setdefault(deployment.card.id, True),
        )

    def _allowed(self, request: PreparedRequest) -> _ForModel:
        """A request without the thinking that was rejected before."""
        owner, is_rejected = self._exchange.inbound.caller.owner, self._services.thinking.is_rejected
        rejected = [block for block in all_thinking(request.body) if is_rejected(owner, block)]
        if not rejected:
            return self._encoded(request, request.body)
        body = without_thinking(request.body, lambda block: is_rejected(owner, block))
        return self._encoded(self._reported(request, rejected), body)

    def _reported(self, request: PreparedRequest, rejected: list[SignedThinking]) -> PreparedRequest:
        """A request with a notice of the client's own thinking that is left out. What the gateway remembered for the
        client is no part of what it asked for."""
        sent = all_thinking(self._request.body)
        if not any(block in sent for block in rejected):
            return request
        notice = Notice("dropped", self._request.fields.messages, "Thinking that Vertex AI rejected is not sent.")
        _check_strict(self._exchange, [notice])
        return msgspec.structs.replace(request, notices=[*request.notices, notice])

    def _encoded(self, request: PreparedRequest, body: MessagesRequest, *turns: InputMessage) -> _ForModel:
        stream = self._exchange.relays_events or body.max_tokens > LONG_REPLY_TOKENS
        body = msgspec.structs.replace(body, messages=[*body.messages, *turns], stream=True if stream else None)
        encode = encode_large_request if self._exchange.is_costly else encode_request
        prepared = Prepared(encode(body), stream, request.plan, request.notices, request.betas, request.keeps_thinking)
        return _ForModel(request, body, prepared)


def explain(error: GatewayError, request: ClaudeRequest, body: MessagesRequest, plan: ReplyPlan) -> None:
    """Put what the upstream says about a request in the terms of the client's.

    :param body: what was sent.
    """
    if isinstance(error, UpstreamRefused) and error.kind.quotes_request:
        message, param = in_client_terms(error.message, request, body, plan)
        error.message, error.param = message, param or error.param


def prepare_for(
    exchange: Exchange,
    request: ClaudeRequest,
    route: Route,
    plan: ReplyPlan,
    deployment: Deployment,
    *,
    other_model: bool = False,
    on_unknown: Callable[[], object] = lambda: None,
) -> PreparedRequest:
    """The request as the deployment's model accepts it.

    :param other_model: thinking in the history may be that of another model.
    :param on_unknown: called where this node remembers nothing of a call.
    :raises InvalidRequest: the model does not support it, or strict mode forbids the changes it needs.
    """
    services, owner, model = exchange.services, exchange.inbound.caller.owner, deployment.card.id

    def recall(call_id: str) -> tuple[SignedThinking, ...] | None:
        thinking = services.thinking.get(owner, call_id, model)
        if thinking is None:
            on_unknown()
        return thinking

    prepared = services.provider.prepare(request, plan, deployment, route, recall, other_model=other_model)
    _check_strict(exchange, prepared.notices)
    return prepared


def _check_strict(exchange: Exchange, notices: Sequence[Notice]) -> None:
    """:raises InvalidRequest: there are changes, and strict mode forbids them."""
    if exchange.services.strict or exchange.inbound.strict:
        reject_notices(notices)
