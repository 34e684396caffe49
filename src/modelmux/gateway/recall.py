"""Prepares a request once more where another node remembers thinking of its history that this one does not."""

from __future__ import annotations

from modelmux.gateway.exchange import Exchange
from modelmux.gateway.preparation import Preparation, Prepared
from modelmux.routing.model import Deployment


async def with_thinking_of_others(
    exchange: Exchange, preparation: Preparation, deployment: Deployment, prepared: Prepared
) -> Prepared:
    """The request for a deployment, with the thinking that any node remembers. Other nodes are asked only about calls
    that were looked for here in vain, once.

    :param prepared: with what this node remembers.
    :raises InvalidRequest: see ``Preparation.prepare``.
    """
    calls = preparation.unknown_calls(deployment)
    if not calls or not await exchange.services.thinking.fetch(exchange.inbound.caller.owner, calls):
        return prepared
    preparation.forget(deployment)
    return await exchange.run(preparation.prepare, deployment)
