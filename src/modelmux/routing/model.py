"""What requests are routed to: deployments, and the routes that group them under a model name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import msgspec
from msgspec import Struct

from modelmux.catalog import ModelCard, location_in_path, location_of_host, locations
from modelmux.claude.options import Options
from modelmux.routing.geography import contains
from modelmux.wire.http import Timeouts


class Deployment(Struct, frozen=True):
    """One model in one location of one project.

    :param id: names the deployment in logs and metrics; does not contain the project.
    :param url: the model's resource URL without the verb (``:rawPredict``).
    :param location: "" if the configuration has only a URL that does not reveal it.
    :param weight: share of the requests among the deployments of the same order.
    :param order: lower orders are used first; higher ones after those have failed.
    :param max_in_flight: limit of concurrent attempts, streams included; None for no limit.
    """

    id: str
    url: str
    project: str
    location: str
    card: ModelCard
    weight: int = 1
    order: int = 0
    max_in_flight: int | None = None

    def __repr__(self) -> str:  # keeps the project id out of logs
        return f"Deployment({self.id!r})"

    @property
    def all_locations(self) -> tuple[str, ...]:
        """Every location that a call involves: the one in the path of the URL and, for Google's hosts, the host's."""
        host = location_of_host(self.url)
        return tuple(dict.fromkeys((location_in_path(self.url) or self.location, *([host] if host else ()))))


class Route(Struct, frozen=True):
    """A public model name, the deployments that serve it, and the operator's options for it.

    :param deployments: the route's own, possibly of several models, then those of its fallbacks with higher orders.
    :param geographies: no call on behalf of this route may leave any of them.
    :param fallbacks: names of the routes whose deployments are tried after all of this one's. ``Routes`` resolves them.
    """

    name: str
    deployments: tuple[Deployment, ...]
    options: Options = Options()
    geographies: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    fallbacks: tuple[str, ...] = ()

    @property
    def card(self) -> ModelCard:
        """The model that the name stands for: the first deployment's."""
        return self.deployments[0].card

    @property
    def models(self) -> tuple[ModelCard, ...]:
        """Every model that may answer, each once, in the order of the deployments."""
        return tuple({deployment.card.id: deployment.card for deployment in self.deployments}.values())

    @property
    def has_several_models(self) -> bool:
        deployments = self.deployments
        return len(deployments) > 1 and any(deployment.card.id != self.card.id for deployment in deployments)

    def limited_to(self, deployments: Iterable[Deployment]) -> Self:
        """The same route with some of its deployments."""
        return msgspec.structs.replace(self, deployments=tuple(deployments))

    def of_model(self, model: str) -> Self:
        """The same route with the deployments of one model; itself if there are no others."""
        if not self.has_several_models:
            return self
        return self.limited_to(deployment for deployment in self.deployments if deployment.card.id == model)

    def with_fallbacks(self, routes: Iterable[Self]) -> Self:
        """The same route with the deployments of others after its own, as far as its geographies allow; itself if that
        adds none.

        A deployment that occurs twice is tried where it occurs first.
        """
        deployments = list(self.deployments)
        known = {deployment.url for deployment in deployments}
        for route in routes:
            next_order = 1 + max(deployment.order for deployment in deployments)
            for deployment in route.deployments:
                if deployment.url not in known and self.allows_deployment(deployment):
                    known.add(deployment.url)
                    deployments.append(msgspec.structs.replace(deployment, order=next_order + deployment.order))
        return self.limited_to(deployments) if len(deployments) > len(self.deployments) else self

    def allows(self, location: str) -> bool:
        """Whether a call on behalf of this route may go to a location."""
        return all(contains(geography, location, locations()) for geography in self.geographies)

    def allows_deployment(self, deployment: Deployment) -> bool:
        """Whether a call on behalf of this route may go to a deployment."""
        return not self.geographies or all(map(self.allows, deployment.all_locations))
