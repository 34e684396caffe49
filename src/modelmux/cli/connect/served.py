"""The names that a gateway with this configuration serves, each with its model."""

from __future__ import annotations

from modelmux.catalog import ModelCard, lifecycle
from modelmux.cli.output import exit_with_config_error, warn
from modelmux.cli.running_gateway import running_version
from modelmux.config import Config, ConfigError, build_routes
from modelmux.errors import ModelNotFound
from modelmux.routing.routes import Routes
from modelmux.runtime import Runtime


def served_names(config: Config, *, is_here: bool, elsewhere: str) -> tuple[dict[str, ModelCard], Routes | None]:
    """Names with their models, and the routes that serve them; if nothing is configured, those of the catalog that are
    not retired, with a warning unless a gateway is running nevertheless, such as the demo. Exits if the configuration
    is wrong.

    :param is_here: the gateway runs with this configuration, rather than on another machine.
    :param elsewhere: what to do where it runs on another machine nevertheless.
    """
    catalog, today = config.build_catalog(), Runtime().today()
    try:
        routes = build_routes(config, catalog, today)
    except ConfigError as error:
        if config.vertex.models or config.vertex.model or config.vertex.url:
            exit_with_config_error(error)
        if is_here and not _is_running(config):
            remedy = f"`modelmux config init` changes that, and for a gateway on another machine, {elsewhere}"
            warn([f"no model is served yet: the names are those of the catalog; {remedy}"])
        return {card.base: card for card in catalog.cards if lifecycle(card, today) != "retired"}, None
    return _visible(routes), routes


def _is_running(config: Config) -> bool:
    server = config.server
    return server.port != 0 and running_version(server.host.strip("[]"), server.port) is not None


def _visible(routes: Routes) -> dict[str, ModelCard]:
    """The names that ``/v1/models`` lists, each with its model; names of models that have another name are added, so
    that a Claude name exists for every model."""
    names = {name: route.card for name, route in routes.visible_names.items()}
    for card in list(names.values()):
        try:
            routes.find(card.base)
        except ModelNotFound:
            continue
        names.setdefault(card.base, card)
    return names
