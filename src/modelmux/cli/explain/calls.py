"""Prints the calls for each model of a route; those of models that get the same request together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from modelmux.catalog import ModelCard
from modelmux.errors import GatewayError
from modelmux.routing.model import Deployment, Route

T = TypeVar("T")


def show_calls(
    route: Route,
    first: T,
    prepare: Callable[[ModelCard], T],
    show: Callable[[T, list[Deployment]], None],
    *,
    key: Callable[[T], object],
) -> None:
    """In the order of the route. A model that cannot answer the request is named at the end.

    :param first: the request for the route's own model.
    :param show: prints one request and the deployments that get it.
    :param key: what makes two requests the same.
    """
    calls: list[tuple[T, list[Deployment]]] = [(first, [])]
    refusals: list[tuple[ModelCard, GatewayError]] = []
    for card in route.models:
        try:
            prepared = prepare(card)
        except GatewayError as error:
            refusals.append((card, error))
            continue
        deployments = [deployment for deployment in route.deployments if deployment.card.id == card.id]
        same = next((group for other, group in calls if key(other) == key(prepared)), None)
        if same is None:
            calls.append((prepared, deployments))
        else:
            same += deployments
    for index, (prepared, deployments) in enumerate(calls):
        if index:
            click.echo()
        show(prepared, deployments)
    for card, refusal in refusals:
        click.echo(f"\n{card.id} is skipped, because it cannot answer this request: {refusal.message}")
