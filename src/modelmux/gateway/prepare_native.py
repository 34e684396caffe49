"""Prepares a native request: the client's bytes, with what the deployment requires changed.

What an upstream has refused is left out once, before any byte of the reply was sent: betas that its location does not
know, and thinking of another model on routes with fallbacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from modelmux.claude.client_terms import with_client_keys
from modelmux.claude.draft import SignedThinking
from modelmux.claude.native import NativeRequest, thinking_of
from modelmux.claude.notices import Notice, reject_notices
from modelmux.errors import GatewayError, InvalidRequest, UpstreamRefused
from modelmux.gateway.conversation import Conversation
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.preparation import Prepared
from modelmux.routing.model import Deployment, Route
from modelmux.wire.anthropic import InputMessage


class NativePreparation:
    """See ``gateway.preparation.Preparation``."""

    def __init__(self, exchange: Exchange, request: NativeRequest, route: Route, conversation: Conversation) -> None:
        self._exchange = exchange
        self._services = exchange.services
        self._request = request
        self._route = route
        self._conversation = conversation
        self._prepared: dict[str, Prepared] = {}
        self._repaired_locations: set[str] = set()
        self._without_thinking: set[str] = set()

    def prepare(self, deployment: Deployment) -> Prepared:
        prepared = self._prepared.get(deployment.id)
        if prepared is None:
            prepared = self._prepared[deployment.id] = self._prepare(deployment)
        return prepared

    def unknown_calls(self, deployment: Deployment) -> Sequence[str]:
        """None: the client sends its thinking itself."""
        del deployment
        return ()

    def forget(self, deployment: Deployment) -> None:
        self._prepared.pop(deployment.id, None)

    def add_turn(self, turn: InputMessage) -> None:
        """A native reply that pauses is the client's to continue."""
        raise NotImplementedError

    def explain(self, error: GatewayError, deployment: Deployment) -> None:
        """See ``gateway.preparation.Preparation``. The request has the client's own places; keys may be renamed."""
        prepared = self._prepared.get(deployment.id)
        if prepared is None or not isinstance(error, UpstreamRefused) or not error.kind.quotes_request:
            return
        message = with_client_keys(error.message, prepared.plan.property_names)
        if message != error.message:  # otherwise the client gets the reply as it came
            error.message, error.reply = message, replace(error.reply, body=b"")

    def can_repair(self, error: GatewayError, deployment: Deployment) -> bool:
        if error.kind.name == "thinking_refused":
            is_new = deployment.card.id not in self._without_thinking
            return self._route.has_several_models and is_new and bool(thinking_of(self._request))
        return bool(self._refused(error, deployment)) and location_of(deployment) not in self._repaired_locations

    def repair(self, error: GatewayError, deployment: Deployment) -> None:
        if error.kind.name == "thinking_refused":
            self._without_thinking.add(deployment.card.id)
            owner = self._exchange.inbound.caller.owner
            self._services.thinking.mark_rejected(owner, thinking_of(self._request))
        else:
            location = location_of(deployment)
            self._repaired_locations.add(location)
            self._services.refusals.add(location, self._refused(error, deployment))
        self._prepared.clear()

    def _refused(self, error: GatewayError, deployment: Deployment) -> frozenset[str]:
        """The betas of this request that the upstream does not know."""
        prepared = self._prepared.get(deployment.id)
        names = self._services.provider.refused_betas(error)
        return names.intersection(prepared.betas) if prepared is not None else frozenset()

    def _prepare(self, deployment: Deployment) -> Prepared:
        exchange, services, model = self._exchange, self._services, deployment.card.id
        decoded = exchange.decoded
        assert decoded is not None
        native = services.provider.prepare_native(
            self._request,
            deployment,
            self._route,
            refused=services.refusals.of(location_of(deployment)),
            drops=self._dropped_thinking(model),
        )
        notices = [*location_notices(self._request, self._route), *native.notices]
        if services.strict or exchange.inbound.strict:
            reject_notices(notices)
        renames = self._route.options.reply_model == "requested"
        plan = replace(decoded.plan, rename_model=renames, property_names=native.property_names)
        return Prepared(native.body, decoded.stream, plan, notices, native.betas)

    def _dropped_thinking(self, model: str) -> Callable[[SignedThinking], bool] | None:
        """What this model cannot read of the history, on a route with several: clients keep sending it, and each block
        that was refused would cost an attempt."""
        if not self._route.has_several_models:
            return None
        if model in self._without_thinking or self._conversation.is_first_with(model):
            return bool  # all: a block is never false
        owner, is_rejected = self._exchange.inbound.caller.owner, self._services.thinking.is_rejected
        return lambda block: is_rejected(owner, block)


def location_notices(request: NativeRequest, route: Route) -> list[Notice]:
    """The client's URL may name a location outside the route's geography; calls stay inside.

    :raises InvalidRequest: where the configuration is strict about it.
    """
    location = request.location
    if location is None or route.allows(location):
        return []
    if route.options.strict_location:
        raise InvalidRequest(
            f"location: '{location[:40]}' is outside the geography of this model.",
            param="location",
            hint=f"Use a location in {', '.join(route.geographies)}.",
        )
    return [Notice("ignored", "location", "It is outside the geography of this model; the call stays inside.")]


def location_of(deployment: Deployment) -> str:
    """What refusals are remembered by."""
    return deployment.location or deployment.id
