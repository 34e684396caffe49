"""The ASGI application of the admin API: one table of operations, one place for roles, one for errors.

Order for every request: who calls, path and method, role, CSRF token of a session, query, body, and only then the
handler.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from modelmux.accounts.roles import Principal
from modelmux.admin.backend import Backend
from modelmux.admin.callers import Callers, address_of, is_read
from modelmux.admin.dispatch import ApiRequest, Dispatcher
from modelmux.admin.operation import MAX_BODY, Operation, Reply
from modelmux.admin.operations import OPERATIONS
from modelmux.admin.proxy_sign_in import ProxySignIn
from modelmux.admin.sessions import Sessions
from modelmux.errors import PayloadTooLarge
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.server.body import check_headers
from modelmux.server.refused import Refusal, RefusedRequests
from modelmux.server.responses import HeaderList, Receive, Scope, Send, error_headers, send_json
from modelmux.telemetry.log import Log, null_logger
from modelmux.wire.openai import common
from modelmux.wire.redaction import redacted

_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")
#: Statuses of calls that are logged: who may not call at all, or not so often.
LOGGED: Final = (401, 403, 429)
NO_STORE: Final[HeaderList] = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_encode: Final = msgspec.json.Encoder().encode


class AdminApp:
    """See the module.

    :param authenticate: the principal of a bearer token; None if it is not one.
    :param sessions: of the dashboard; None: no cookie counts.
    :param proxy: whose sign-in counts, too.
    :param refused: logs calls without a valid token, without the right role, and those that are too many.
    """

    def __init__(
        self,
        backend: Backend,
        authenticate: Callable[[str], Principal | None],
        *,
        sessions: Sessions | None = None,
        proxy: ProxySignIn | None = None,
        operations: Sequence[Operation] = OPERATIONS,
        log: Log | None = None,
        refused: RefusedRequests | None = None,
    ) -> None:
        self.dispatcher = Dispatcher(backend, operations, log or null_logger())
        ticks = lambda: int(backend.clock() * 1_000_000)  # noqa: E731
        self.callers = Callers(authenticate, sessions, self.dispatcher.read, ticks, proxy)
        self.refused = refused
        self._ids = backend.ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        request_id = self.request_id(scope)
        headers: HeaderList = [(b"x-request-id", request_id.encode()), *NO_STORE]
        try:
            operation, reply = await self._answer(scope, receive)
            body = _encode(_with_pending(reply))
            tag = [] if reply.etag is None else [(b"etag", reply.etag.encode())]
            await _send(scope, send, operation.status, body, [*headers, *tag, *reply.headers])
        except ClientDisconnected:
            return
        except Exception as error:  # noqa: BLE001 - last resort: no request may stop the server
            failure = self.dispatcher.failure(error, request_id)
            if self.refused is not None and failure.status in LOGGED:
                refusal = Refusal.of(failure, failure.status, scope, request_id=request_id)
                self.refused.note(refusal, self.dispatcher.known_path)
            body = _encode(common.envelope(failure))
            challenge = [(b"www-authenticate", b"Bearer")] if failure.status == 401 else []
            await _send(scope, send, failure.status, body, [*headers, *challenge, *error_headers(failure)])

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[Operation, Reply]:
        """:raises GatewayError, FieldError, StoreFailed:"""
        caller = await self.callers.caller(scope)
        text = scope["path"].encode("utf-8", "replace").decode()
        operation, parts = self.dispatcher.find(scope["method"], text, caller.principal)
        if not is_read(scope["method"]):
            self.callers.check_write(caller, scope)
        self.callers.count(caller.principal)
        headers = dict(scope["headers"])

        async def body() -> bytes:
            check_headers(headers)
            return await read_body(receive, operation.max_body)

        request = ApiRequest(
            method=scope["method"],
            path=text,
            query=scope.get("query_string", b""),
            body=body,
            address=address_of(scope),
            if_match=_text(headers.get(b"if-match")),
            idempotency_key=_text(headers.get(b"idempotency-key")),
        )
        return operation, await self.dispatcher.run(operation, parts, caller.principal, request)

    def request_id(self, scope: Scope) -> str:
        """That of the client, if it is one; else a new one."""
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                text = str(value, "ascii")
                if redacted(text) == text:
                    return text
        return self._ids.id("req_")


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


async def read_body(receive: Receive, most: int = MAX_BODY) -> bytes:
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


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1").strip()
