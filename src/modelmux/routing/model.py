"""What requests are routed to: deployments, and the routes that group them under a model name."""

from __future__ import annotations

from msgspec import Struct

from modelmux.catalog import ModelCard, locations
from modelmux.claude.context import Options
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


class Route(Struct, frozen=True):
    """A public model name, the deployments that serve it, and the operator's options for it.

    :param geographies: no call on behalf of this route may leave any of them.
    """

    name: str
    deployments: tuple[Deployment, ...]
    options: Options = Options()
    geographies: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()

    def allows(self, location: str) -> bool:
        """Whether a call on behalf of this route may go to a location."""
        return all(contains(geography, location, locations()) for geography in self.geographies)
