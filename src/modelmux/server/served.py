"""What answers the requests of each surface."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import Route

from modelmux.dialects.registry import SURFACES, Surface
from modelmux.gateway.services import Services
from modelmux.server.asgi import Handler, Served
from modelmux.server.body_memory import BodyMemory
from modelmux.server.endpoints import Endpoint
from modelmux.server.health import Readiness
from modelmux.server.models import ModelList
from modelmux.server.own_key import own_key_handler
from modelmux.server.pages import model_list_handler, page_handler
from modelmux.server.stored_responses import StoredResponses, stored_response_handler, websocket_handler


def served_surfaces(
    services: Services,
    routes: Sequence[Route],
    readiness: Readiness,
    max_body_bytes: int,
    body_memory: BodyMemory,
) -> list[Served]:
    """All surfaces, each with its handler.

    :param routes: of the pages about the gateway itself.
    """
    pages = {page.path: page.endpoint for page in routes}
    responses = StoredResponses(services.responses)
    models = ModelList(services.routes)

    def handler(surface: Surface) -> Handler:
        if surface.operation == "page":
            return page_handler(pages[surface.path])
        if surface.operation == "list_models":
            return model_list_handler(surface, models)
        if surface.operation in ("read_key", "read_key_usage"):
            return own_key_handler(surface, services.own_keys)
        if surface.operation == "websocket":
            return websocket_handler(surface)
        if surface.calls_upstream is None:
            return stored_response_handler(surface, responses)
        return Endpoint(surface, services, readiness, max_body_bytes, body_memory)

    return [Served(surface, handler(surface)) for surface in SURFACES]
