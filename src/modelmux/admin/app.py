"""The ASGI application of the admin API: one table of operations, one place for roles, one for errors.

Order for every request: token, path and method, role, query, body, and only then the handler.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError
from modelmux.accounts.roles import Principal, may
from modelmux.accounts.secret_format import KEY_PREFIX
from modelmux.admin.backend import Backend
from modelmux.admin.decode import decode_body, decode_query
from modelmux.admin.errors import AccountsUnavailable, of_field
from modelmux.admin.operation import BASE, Call, Operation, Reply
from modelmux.admin.operations import OPERATIONS
from modelmux.admin.rate_limit import CallLimits
from modelmux.config import ConfigError
from modelmux.errors import (
    INTERNAL_MESSAGE,
    EndpointNotFound,
    GatewayError,
    MethodNotAllowed,
    NotPermitted,
    PayloadTooLarge,
    Unauthorized,
)
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.server.body import check_headers
from modelmux.server.refused import Refusal, RefusedRequests
from modelmux.server.responses import HeaderList, Receive, Scope, Send, error_headers, send_json
from modelmux.store.base import StoreFailed
from modelmux.store.directory.base import Author
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, error_location, null_logger
from modelmux.wire.openai import common
from modelmux.wire.redaction import redacted

_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")
#: Statuses of calls that are logged: who may not call at all, or not so often.
_LOGGED: Final = (401, 403, 429)
_NO_STORE: Final[HeaderList] = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_encode: Final = msgspec.json.Encoder().encode


class AdminApp:
    """See the module.

    :param authenticate: the principal of a bearer token; None if it is not one.
    :param refused: logs calls without a valid token, without the right role, and those that are too many.
    """

    def __init__(
        self,
        backend: Backend,
        authenticate: Callable[[str], Principal | None],
        *,
        operations: Sequence[Operation] = OPERATIONS,
        log: Log | None = None,
        refused: RefusedRequests | None = None,
    ) -> None:
        self._backend = backend
        self._authenticate = authenticate
        self._log = log or null_logger()
        self._refused = refused
        self._known = Directory()
        self._limits = CallLimits()
        self._routes: dict[str, tuple[re.Pattern[str], dict[str, Operation]]] = {}
        for one in operations:
            pattern = re.compile(_PARAMETER.sub(r"(?P<\1>[^/]{1,128})", BASE + one.path))
            self._routes.setdefault(one.path, (pattern, {}))[1][one.method] = one

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        request_id = self._request_id(scope)
        headers: HeaderList = [(b"x-request-id", request_id.encode()), *_NO_STORE]
        try:
            operation, reply = await self._answer(scope, receive)
            body = _encode(_with_pending(reply))
            tag = [] if reply.etag is None else [(b"etag", reply.etag.encode())]
            await _send(scope, send, operation.status, body, [*headers, *tag, *reply.headers])
        except ClientDisconnected:
            return
        except Exception as error:  # noqa: BLE001 - last resort: no request may stop the server
            failure = self._failure(error, request_id)
            if self._refused is not None and failure.status in _LOGGED:
                refusal = Refusal.of(failure, failure.status, scope, request_id=request_id)
                self._refused.note(refusal, self.known_path)
            body = _encode(common.envelope(failure))
            challenge = [(b"www-authenticate", b"Bearer")] if failure.status == 401 else []
            await _send(scope, send, failure.status, body, [*headers, *challenge, *error_headers(failure)])

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[Operation, Reply]:
        """:raises GatewayError, FieldError, StoreFailed:"""
        principal = self._principal(scope)
        text = scope["path"].encode("utf-8", "replace").decode()
        operation, path = self._route(scope["method"], text)
        if not may(principal, operation.permission):
            raise NotPermitted(
                f"The role {principal.role} may not {operation.method} {BASE}{operation.path}.",
                code="role_not_allowed", hint="Ask an owner of this gateway for a token of another role.",
            )  # fmt: skip
        self._limits.check_principal(principal.name, self._ticks())
        query = scope.get("query_string", b"")
        params = decode_query(query, operation.params)
        raw = body = None
        headers = dict(scope["headers"])
        if operation.body is not None:
            check_headers(headers)
            raw = await _read(receive, operation.max_body)
            body = decode_body(raw, operation.body)
        call = Call(
            backend=self._backend,
            principal=principal,
            author=Author(principal.name, _address(scope)),
            now=self._backend.now(),
            path=path,
            params=params,
            body=body,
            read=self._read,
            if_match=_text(headers.get(b"if-match")),
            idempotency_key=_text(headers.get(b"idempotency-key")) if operation.method == "POST" else None,
            fingerprint=_fingerprint(scope["method"], text, query, raw or b""),
        )
        return operation, await operation.handler(call)

    def _principal(self, scope: Scope) -> Principal:
        """:raises Unauthorized: :raises TooManyCalls: after many wrong tokens from an address."""
        address, now = _address(scope), self._ticks()
        self._limits.check_address(address, now)
        value = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = value.decode("latin-1").strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized(
                "No token was sent.", hint="Send 'Authorization: Bearer …' with a token of the admin API."
            )
        if token.startswith(KEY_PREFIX):
            self._limits.failed(address, now)
            raise Unauthorized(
                "This is a virtual key, which the admin API does not take.",
                hint="Send a token of the admin API, one of [admin], or use GET /v1/key.",
            )
        principal = self._authenticate(token)
        if principal is None:
            self._limits.failed(address, now)
            raise Unauthorized("The token is not valid here.", hint="Use one that is configured under [admin].")
        return principal

    def _route(self, method: str, path: str) -> tuple[Operation, Mapping[str, str]]:
        """:raises EndpointNotFound: :raises MethodNotAllowed:"""
        for pattern, by_method in self._routes.values():
            match = pattern.fullmatch(path)
            if match is None:
                continue
            operation = by_method.get("GET" if method == "HEAD" else method)
            if operation is not None:
                return operation, match.groupdict()
            allowed = ", ".join(sorted([*by_method, *(["HEAD"] if "GET" in by_method else [])]))
            raise MethodNotAllowed(
                f"{path[:200]} does not accept {method[:20]}.", allow=allowed, hint=f"Use {allowed}."
            )
        raise EndpointNotFound(
            f"There is no endpoint {method[:20]} {path[:200]}.", hint=f"{BASE}/openapi.json lists those that there are."
        )

    def known_path(self, path: str) -> str | None:
        """A path as the table has it, with ``{id}``; None if it is not served."""
        known = (template for template, (pattern, _) in self._routes.items() if pattern.fullmatch(path))
        return next((BASE + template for template in known), None)

    async def _read(self) -> Directory:
        self._known = await self._backend.directory.read(self._known)
        return self._known

    def _failure(self, error: Exception, request_id: str) -> GatewayError:
        """What a client is told of an error; what it is not told goes to the log."""
        if isinstance(error, GatewayError):
            return error
        if isinstance(error, FieldError):
            return of_field(error)
        if isinstance(error, StoreFailed | ConfigError):
            self._log.error(
                names.EVENT_ACCOUNTS, message=f"the accounts cannot be used: {error}", request_id=request_id
            )
            return AccountsUnavailable("The accounts cannot be read or written.", hint="Try again shortly.")
        self._log.error(names.EVENT_INTERNAL_ERROR, request_id=request_id, traceback=error_location(error))
        return GatewayError(INTERNAL_MESSAGE, hint=f"Its log has the details under the request id {request_id}.")

    def _ticks(self) -> int:
        """Microseconds of a clock that never jumps: limits by one that was set back would refuse all for as long."""
        return int(self._backend.clock() * 1_000_000)

    def _request_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                text = str(value, "ascii")
                if redacted(text) == text:
                    return text
        return self._backend.ids.id("req_")


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _send(scope: Scope, send: Send, status: int, body: bytes, headers: HeaderList) -> None:
    """A response; of HEAD without its body."""
    if scope["method"] != "HEAD":
        await send_json(send, status, body, headers)
        return
    length = (b"content-length", b"%d" % len(body))
    start = [(b"content-type", b"application/json"), length, *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": b""})


async def _read(receive: Receive, most: int) -> bytes:
    """:param most: bytes. :raises PayloadTooLarge: :raises ClientDisconnected:"""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise message.get("error") or ClientDisconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise PayloadTooLarge(f"The request body is larger than {most // 1024} KiB.", hint="Send less at once.")
        if not message.get("more_body", False):
            return b"".join(parts)


def _with_pending(reply: Reply) -> Any:
    if not reply.pending:
        return reply.body
    return {**msgspec.to_builtins(reply.body), "pending_workers": reply.pending}


def _fingerprint(method: str, path: str, query: bytes, body: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (method.encode(), path.encode(), query, body):
        digest.update(b"%d:" % len(part) + part)
    return digest.digest()


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1").strip()


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client and client[0] else "local"
