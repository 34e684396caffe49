"""Handlers of paths without an upstream: the pages of ``health.py`` and the model list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from modelmux.dialects.base import Caller
from modelmux.dialects.registry import Surface
from modelmux.server.asgi import Handler
from modelmux.server.models import ModelList, is_anthropic_client
from modelmux.server.responses import Receive, Scope, Send, send_json


def page_handler(page: Callable[[Request], Awaitable[Response]]) -> Handler:
    """A Starlette endpoint as a handler."""

    async def handle(
        scope: Scope, receive: Receive, send: Send, request_id: str, caller: Caller, path_params: Mapping[str, str]
    ) -> None:
        del caller, path_params
        response = await page(Request(scope, receive))
        response.headers["x-request-id"] = request_id
        await response(scope, receive, send)

    return handle


def model_list_handler(surface: Surface, models: ModelList) -> Handler:
    """The model list in the client's dialect."""

    async def handle(
        scope: Scope, receive: Receive, send: Send, request_id: str, caller: Caller, path_params: Mapping[str, str]
    ) -> None:
        del receive
        dialect, headers = surface.dialect, [(b"x-request-id", request_id.encode())]
        if surface.anthropic_dialect is not None and is_anthropic_client(dict(scope["headers"])):
            dialect = surface.anthropic_dialect
            headers.append((b"request-id", request_id.encode()))  # by which Anthropic's clients know a response
        body = models.body(dialect, path_params, scope.get("query_string", b""), caller)
        await send_json(send, 200, body, headers)

    return handle
