"""The ASGI application: one exact-path table for the data plane, Starlette for the pages, one place for errors.

Order for every request: method and path, key, body. A path that is not served gets an OpenAI envelope that names the
endpoint probably meant.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from modelmux.errors import EndpointNotFound, GatewayError, MethodNotAllowed
from modelmux.server.auth import ApiKeys
from modelmux.server.responses import HeaderList, Receive, Scope, Send, send_error
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, error_location

Endpoint = Callable[[Scope, Receive, Send, str], Awaitable[None]]

_REQUEST_ID: Final = re.compile(rb"^[\x21-\x7e]{1,128}$")


class Application:
    """Dispatches requests and turns what goes wrong into responses.

    :param data_plane: (method, path) -> endpoint.
    :param open_paths: paths that need no key.
    :param on_error: told of every error that is answered with, those of strangers without a key too.
    :param on_startup, on_shutdown: run by the server's lifespan, if it has one.
    """

    def __init__(
        self,
        *,
        data_plane: dict[tuple[str, str], Endpoint],
        pages: Iterable[Route],
        keys: ApiKeys,
        open_paths: frozenset[str],
        log: Log,
        new_request_id: Callable[[], str],
        on_error: Callable[[GatewayError], None] = lambda _: None,
        on_startup: Callable[[], Awaitable[None]],
        on_shutdown: Callable[[], Awaitable[None]],
    ) -> None:
        self._data_plane = data_plane
        self._pages = list(pages)
        self._keys = keys
        self._open_paths = open_paths
        self._log = log
        self._new_request_id = new_request_id
        self._on_error = on_error
        self._on_startup = on_startup
        self._on_shutdown = on_shutdown
        self._methods: dict[str, list[str]] = {}
        for method, path in data_plane:
            self._methods.setdefault(path, []).append(method)
        self._known_paths = [*self._methods, *(page.path for page in self._pages if "{" not in page.path)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._no_request(scope["type"], receive, send)
            return
        request_id, path = self._request_id(scope), _path(scope)
        try:
            endpoint = self._data_plane.get((scope["method"], path))
            if endpoint is not None:
                self._keys.check(scope["headers"])
                await endpoint(scope, receive, send, request_id)
            else:
                await self._show_page(path, scope, receive, send, request_id)
        except GatewayError as error:
            await self._fail(send, error, request_id)
            error.__traceback__ = None  # frames that refer to the error: nobody asks for them any more
        except Exception as error:  # noqa: BLE001 - the last resort: no request may take the server down
            self._log.error(names.EVENT_INTERNAL_ERROR, request_id=request_id, traceback=error_location(error))
            hint = f"Its log has the details under the request id {request_id}."
            await self._fail(send, GatewayError("The gateway failed.", hint=hint), request_id)

    async def _fail(self, send: Send, error: GatewayError, request_id: str) -> None:
        self._on_error(error)
        await send_error(send, error, _id_header(request_id))

    async def _no_request(self, kind: str, receive: Receive, send: Send) -> None:
        if kind == "lifespan":
            await self._lifespan(receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _show_page(self, path: str, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        page, params = self._page(scope, path)
        if path not in self._open_paths:
            self._keys.check(scope["headers"])
        if page is None:
            raise self._not_served(scope["method"], path)
        response: Response = await page.endpoint(Request({**scope, "path_params": params}, receive))
        response.headers["x-request-id"] = request_id
        await response(scope, receive, send)

    def _page(self, scope: Scope, path: str) -> tuple[Route | None, dict[str, str]]:
        for page in self._pages:
            match, child = page.matches({"type": "http", "method": scope["method"], "path": path, "root_path": ""})
            if match is Match.FULL:
                return page, child["path_params"]
            if match is Match.PARTIAL:
                self._check_partial(page, scope["method"], path)
        return None, {}

    def _check_partial(self, page: BaseRoute, method: str, path: str) -> None:
        allow = ", ".join(sorted(page.methods or ())) if isinstance(page, Route) else ""
        raise MethodNotAllowed(f"{path} does not take {method[:20]}.", allow=allow, hint=f"Use {allow}.")

    def _not_served(self, method: str, path: str) -> GatewayError:
        allow = ", ".join(sorted(self._methods.get(path, ())))
        if allow:
            return MethodNotAllowed(f"{path} does not take {method[:20]}.", allow=allow, hint=f"Use {allow}.")
        return EndpointNotFound(f"There is no endpoint {method[:20]} {path[:200]}.", hint=self._meant(path))

    def _meant(self, path: str) -> str:
        """A sentence that names the endpoint probably meant: a doubled or missing /v1, a slash, a typing error."""
        wanted = re.sub(r"/{2,}", "/", path).rstrip("/").lower()
        wanted = "/v1/" + re.sub(r"^(/(v\d+|api|openai))+(?=/|$)", "", wanted).lstrip("/")
        near = difflib.get_close_matches(wanted, self._known_paths, n=1)
        if near:
            return f"Did you mean {near[0]}? The base URL of this gateway ends in /v1."
        return "The base URL of this gateway ends in /v1; it serves /v1/chat/completions and /v1/models."

    def _request_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.match(value):
                return str(value, "ascii")
        return self._new_request_id()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._on_startup()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._on_shutdown()
        await send({"type": "lifespan.shutdown.complete"})


def _path(scope: Scope) -> str:
    """The path inside this application: without the prefix it is mounted under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] or "/" if root and path.startswith(root) else path


def _id_header(request_id: str) -> HeaderList:
    return [(b"x-request-id", request_id.encode())]
