"""The calls for each model of a route; those of models that get the same request together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from modelmux.catalog import ModelCard
from modelmux.errors import GatewayError
from modelmux.routing.model import Deployment, Route

T = TypeVar("T")


@dataclass(frozen=True)
class Calls(Generic[T]):
    """
    :param groups: requests, each with the deployments that get it, in the order of the route.
    :param refusals: models that cannot answer the request, and why.
    """

    groups: list[tuple[T, list[Deployment]]]
    refusals: list[tuple[ModelCard, GatewayError]]


def calls_of(route: Route, first: T, prepare: Callable[[ModelCard], T], *, key: Callable[[T], object]) -> Calls[T]:
    """
    :param first: the request for the route's own model.
    :param key: what makes two requests the same.
    """
    groups: list[tuple[T, list[Deployment]]] = [(first, [])]
    refusals: list[tuple[ModelCard, GatewayError]] = []
    for card in route.models:
        try:
            prepared = prepare(card)
        except GatewayError as error:
            refusals.append((card, error))
            continue
        deployments = [deployment for deployment in route.deployments if deployment.card.id == card.id]
        same = next((group for other, group in groups if key(other) == key(prepared)), None)
        if same is None:
            groups.append((prepared, deployments))
        else:
            same += deployments
    return Calls(groups, refusals)
