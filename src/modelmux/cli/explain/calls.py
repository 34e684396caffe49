"""Prints the calls for each model of a route."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from modelmux.gateway.explained.calls import Calls
from modelmux.routing.model import Deployment

T = TypeVar("T")


def show_calls(calls: Calls[T], show: Callable[[T, list[Deployment]], None]) -> None:
    """In the order of the route. A model that cannot answer the request is named at the end.

    :param show: prints one request and the deployments that get it.
    """
    for index, (prepared, deployments) in enumerate(calls.groups):
        if index:
            click.echo()
        show(prepared, deployments)
    for card, refusal in calls.refusals:
        click.echo(f"\n{card.id} is skipped, because it cannot answer this request: {refusal.message}")
