"""The ASGI application: the paths of the registry, one place for authentication, one place for errors.

Order for every request: host and origin (without keys), method and path, key, body. A path that is not served gets an
error that suggests another.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from starlette.routing import compile_path

from modelmux.accounts.api_names import API_OF_DIALECT
from modelmux.dialects.base import Caller, ErrorResponse, ListingDialect
from modelmux.dialects.registry import Surface, dialect_of_path
from modelmux.errors import INTERNAL_MESSAGE, EndpointNotFound, GatewayError, MethodNotAllowed, NotPermitted
from modelmux.server.account_keys import AccountKeys, UnknownSecret
from modelmux.server.auth import ApiKeys
from modelmux.server.host_and_origin import HostAndOriginCheck
from modelmux.server.http.request import REJECTION
from modelmux.server.models import is_anthropic_client
from modelmux.server.refused import Refusal, RefusedRequests
from modelmux.server.responses import Message, Receive, Scope, Send, send_error
from modelmux.server.suggested_path import doubled_path, suggestion
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, error_location
from modelmux.telemetry.records import is_refusal
from modelmux.wire.redaction import redacted

#: Answers a request: scope, receive, send, request id, caller, parameters of the path.
Handler = Callable[[Scope, Receive, Send, str, Caller, Mapping[str, str]], Awaitable[None]]

#: Methods of paths that end with an id that anybody may choose.
_READING: Final = ("GET", "HEAD")
_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_NO_PARAMS: Final[dict[str, str]] = {}


class Served(NamedTuple):
    """A surface and its handler."""

    surface: Surface
    handler: Handler


class ServerOptions(NamedTuple):
    """What an application needs in addition to its surfaces.

    :param keyless_vertex_paths: serve the paths of Vertex AI to callers without a key.
    :param on_error: receives every error that is sent as a response, also to callers without a key.
    :param on_startup, on_shutdown: run by the server's lifespan, if it has one.
    :param host_and_origin: the check of requests that need no key; None for none.
    :param jitter: a random number from 0 to 1; by default 0.
    :param refused: logs the requests that are refused; None for nothing.
    :param redact: removes secrets: a request id that holds one is not used.
    :param account_keys: in place of ``keys`` in a gateway with accounts.
    """

    keys: ApiKeys
    keyless_vertex_paths: bool
    log: Log
    new_request_id: Callable[[], str]
    on_error: Callable[[GatewayError, int], None]
    on_startup: Callable[[], Awaitable[None]]
    on_shutdown: Callable[[], Awaitable[None]]
    host_and_origin: HostAndOriginCheck | None = None
    jitter: Callable[[], float] = float
    refused: RefusedRequests | None = None
    redact: Callable[[str], str] = redacted
    account_keys: AccountKeys | None = None


class Application:
    """Dispatches requests and turns errors into responses."""

    def __init__(self, served: Sequence[Served], options: ServerOptions) -> None:
        self._options = options
        self._keys = options.keys
        self._account_keys = options.account_keys
        self._any_keys = options.keys if options.account_keys is None else options.account_keys
        self._host_and_origin = options.host_and_origin
        self._log = options.log
        self._exact: dict[tuple[str, str], Served] = {}
        self._templates: list[tuple[re.Pattern[str], dict[str, Served]]] = []
        self._methods: dict[str, list[str]] = {}
        self._open_paths: set[str] = set()  # that need no key
        for entry in served:
            self._add(entry)

    def _add(self, entry: Served) -> None:
        path = entry.surface.path
        methods = [entry.surface.method, *(["HEAD"] if entry.surface.method == "GET" else [])]
        if "{" in path:
            self._templates.append((compile_path(path)[0], dict.fromkeys(methods, entry)))
            return
        self._exact.update(dict.fromkeys(((method, path) for method in methods), entry))
        self._methods.setdefault(path, []).extend(methods)
        if not entry.surface.authenticated:
            self._open_paths.add(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._non_http(scope, receive, send)
            return
        request_id, path = self._request_id(scope), _path(scope)
        surface: Surface | None = None
        params: Mapping[str, str] = _NO_PARAMS
        caller = _ANONYMOUS
        try:
            if self._account_keys is not None and self._account_keys.are_stale and path not in self._open_paths:
                await self._account_keys.freshen()
            served = self._exact.get((scope["method"], path))
            if self._host_and_origin is not None and not self._any_keys:
                surface = served.surface if served is not None else None
                self._host_and_origin.check(scope, path)
            if served is None:
                served, params = self._match(scope, path)
            surface = served.surface
            try:
                caller = self._authenticate(surface, scope) if surface.authenticated else _ANONYMOUS
            except UnknownSecret as unknown:
                caller = await self._authenticate_again(unknown, surface, scope)
            await served.handler(scope, receive, send, request_id, caller, params)
        except GatewayError as error:
            if _is_rejected(scope):  # the server has sent, counted and logged its own error
                return
            response = _dialect_of(surface, scope, path).error(error, request_id)
            if self._options.refused is not None and is_refusal(error):
                if caller.is_account:
                    error.key = caller.owner
                self._log_refused(error, response.status, scope, path, params, request_id)
            await self._fail(send, error, response, request_id)
            error.__traceback__ = None  # break the reference cycle with its frames
        except Exception as error:  # noqa: BLE001 - last resort: no request may stop the server
            self._log.error(names.EVENT_INTERNAL_ERROR, request_id=request_id, traceback=error_location(error))
            hint = f"Its log has the details under the request id {request_id}."
            failure = GatewayError(INTERNAL_MESSAGE, hint=hint)
            response = _dialect_of(surface, scope, path).error(failure, request_id)
            await self._fail(send, failure, response, request_id)

    def _authenticate(self, surface: Surface | None, scope: Scope) -> Caller:
        if surface is not None and surface.may_be_keyless and self._options.keyless_vertex_paths:
            if self._account_keys is not None:
                caller = self._account_caller(self._account_keys, surface, scope, optional=True)
            else:
                caller = self._keys.authenticate_if_offered(scope["headers"])
            if self._host_and_origin is not None and caller == _ANONYMOUS:  # as every page is
                self._host_and_origin.check(scope, _path(scope))
            return caller
        if self._account_keys is not None:
            return self._account_caller(self._account_keys, surface, scope)
        return self._keys.authenticate(scope["headers"])

    def _account_caller(
        self, keys: AccountKeys, surface: Surface | None, scope: Scope, *, optional: bool = False
    ) -> Caller:
        api = API_OF_DIALECT.get(surface.dialect.name) if surface is not None and surface.is_api else None
        caller = keys.authenticate(scope["headers"], keys.address_of(scope), api, optional=optional)
        if caller.is_account and surface is not None and surface.operation == "page":
            error = NotPermitted(
                "This page is for the operator of the gateway.",
                code="page_not_allowed", hint="Use a key of server.api_keys.",
            )  # fmt: skip
            error.key = caller.owner
            raise error
        return caller

    async def _authenticate_again(self, unknown: UnknownSecret, surface: Surface, scope: Scope) -> Caller:
        """:raises Unauthorized: there is no such key. :raises StoreUnavailable: it is not known."""
        assert self._account_keys is not None
        await self._account_keys.look_again(unknown)
        return self._authenticate(surface, scope)

    async def _fail(self, send: Send, error: GatewayError, response: ErrorResponse, request_id: str) -> None:
        self._options.on_error(error, response.status)
        jitter = self._options.jitter()
        await send_error(send, error, response, [(b"x-request-id", request_id.encode())], jitter)

    def _log_refused(
        self, error: GatewayError, status: int, scope: Scope, path: str, params: Mapping[str, str], request_id: str
    ) -> None:
        assert self._options.refused is not None
        model = error.model or params.get("model") or params.get("name")
        refusal = Refusal.of(error, status, {**scope, "path": path}, model=model, request_id=request_id)
        self._options.refused.note(refusal, self.known_path)

    def known_path(self, path: str) -> str | None:
        """A served path as the registry has it: of ``/v1/responses/resp_1``, ``/v1/responses/{id}``."""
        if path in self._methods:
            return path
        for pattern, by_method in self._templates:
            if pattern.fullmatch(path):
                return next(iter(by_method.values())).surface.path.replace(":path}", "}")
        return None

    def _match(self, scope: Scope, path: str) -> tuple[Served, Mapping[str, str]]:
        """The surface whose template matches.

        :raises Unauthorized: so that callers without a key learn nothing about paths. :raises MethodNotAllowed: :raises
            EndpointNotFound:
        """
        method, by_template = scope["method"], set[str]()
        surface: Surface | None = None
        for pattern, by_method in self._templates:
            match = pattern.fullmatch(path)  # a template ends with $, which ignores a line break
            if match is not None:
                # No response has the id of /v1/responses/models.
                if method in by_method and not (method in _READING and self._is_doubled(method, path)):
                    return by_method[method], match.groupdict()
                by_template.update(by_method)
                surface = next(iter(by_method.values())).surface
        allowed = by_template.union(self._methods.get(path, ()))
        if path not in self._open_paths:
            self._authenticate(surface, scope)
        if allowed and not self._is_doubled(method, path):  # a 405 for /v1/responses/responses would lead nowhere
            raise _method_not_allowed(path, method, allowed)
        raise EndpointNotFound(
            f"There is no endpoint {method[:20]} {path[:200]}.", hint=suggestion(path, self._methods)
        )

    def _is_doubled(self, method: str, path: str) -> bool:
        """Whether a path that may match a template is meant for another one."""
        doubled = doubled_path(path, self._methods)
        return doubled is not None and (method, doubled[0]) in self._exact

    def _request_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                request_id = str(value, "ascii")
                if self._options.redact(request_id) == request_id:  # it is in every line of the log
                    return request_id
        return self._options.new_request_id()

    async def _non_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            served = self._exact.get(("GET", _path(scope)))
            is_known = served is not None and served.surface.operation == "websocket"
            if is_known and "websocket.http.response" in (scope.get("extensions") or {}):
                await self({**scope, "type": "http", "method": "GET"}, receive, _as_denial(send))
            else:
                await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._options.on_startup()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._options.on_shutdown()
        await send({"type": "lifespan.shutdown.complete"})


_ANONYMOUS: Final = Caller()


def _as_denial(send: Send) -> Send:
    """Sends an HTTP response to a WebSocket handshake (the ASGI extension ``websocket.http.response``)."""

    async def deny(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return deny


def _dialect_of(surface: Surface | None, scope: Scope, path: str) -> ListingDialect:
    """The dialect of errors.

    :param surface: None for a path that is not served.
    """
    if surface is None:
        return dialect_of_path(path, anthropic_client=is_anthropic_client(dict(scope["headers"])))
    if surface.anthropic_dialect is not None and is_anthropic_client(dict(scope["headers"])):
        return surface.anthropic_dialect
    return surface.dialect


def _is_rejected(scope: Scope) -> bool:
    """Whether the request got an error of the HTTP parser's, because of its body."""
    rejection = (scope.get("extensions") or {}).get(REJECTION)
    return rejection is not None and rejection() is not None


def _method_not_allowed(path: str, method: str, allowed: Iterable[str]) -> MethodNotAllowed:
    allow = ", ".join(sorted(allowed))
    return MethodNotAllowed(f"{path} does not accept {method[:20]}.", allow=allow, hint=f"Use {allow}.")


def _path(scope: Scope) -> str:
    """The path inside this application: without the prefix it is mounted under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] or "/" if root and path.startswith(root) else path
