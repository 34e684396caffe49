"""The operations behind their one table: which one a request is for, whether its role may, and the call.

The routes of the API come here, and so do the pages of the dashboard: what a page shows or does is decided by the same
roles, read by the same structs and done by the same handlers.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError
from modelmux.accounts.roles import Permission, Principal, may
from modelmux.admin.backend import Backend
from modelmux.admin.decode import decode_body, decode_query
from modelmux.admin.errors import AccountsUnavailable, accounts_off, of_field, query_timeout
from modelmux.admin.operation import BASE, Call, Operation, Reply
from modelmux.admin.rate_limit import Turns
from modelmux.config import ConfigError
from modelmux.errors import INTERNAL_MESSAGE, EndpointNotFound, GatewayError, MethodNotAllowed, NotPermitted
from modelmux.store.base import QueryTooLong, StoreFailed
from modelmux.store.directory.base import Author
from modelmux.telemetry import names
from modelmux.telemetry.log import Log, error_location

#: What reads many rows or sums of the store.
_IN_TURN: Final[frozenset[Permission]] = frozenset({"usage.read", "requests.read", "audit.read"})
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class ApiRequest:
    """What is asked of the API, before anything of it was checked.

    :param path: with ``/admin/v1``.
    :param body: reads it; called only where the operation has one.
    :param if_match, idempotency_key: headers, None where they are not sent.
    """

    method: str
    path: str
    query: bytes
    body: Callable[[], Awaitable[bytes]]
    address: str
    if_match: str | None = None
    idempotency_key: str | None = None


class Dispatcher:
    """See the module."""

    def __init__(self, backend: Backend, operations: Sequence[Operation], log: Log) -> None:
        self.backend = backend
        self.log = log
        self._known = Directory()
        self._turns = Turns()
        self._routes: dict[str, tuple[re.Pattern[str], dict[str, Operation]]] = {}
        for one in operations:
            pattern = re.compile(_PARAMETER.sub(r"(?P<\1>[^/]{1,128})", BASE + one.path))
            self._routes.setdefault(one.path, (pattern, {}))[1][one.method] = one

    def find(self, method: str, path: str, principal: Principal) -> tuple[Operation, Mapping[str, str]]:
        """The operation of a path, with the parts of it that its template names.

        :raises EndpointNotFound: :raises MethodNotAllowed: :raises NotPermitted: the role may not do this.
        :raises AccountsOff: it is about accounts, and there are none.
        """
        operation, parts = self._route(method, path)
        if not may(principal, operation.permission):
            raise NotPermitted(
                f"The role {principal.role} may not {operation.method} {BASE}{operation.path}.",
                code="role_not_allowed", hint="Ask an owner of this gateway for a token of another role.",
            )  # fmt: skip
        if not (operation.without_accounts or self.backend.has_accounts):
            raise accounts_off(f"{operation.method} {BASE}{operation.path}")
        return operation, parts

    async def run(
        self, operation: Operation, parts: Mapping[str, str], principal: Principal, request: ApiRequest, *,
        read: Callable[[], Awaitable[Directory]] | None = None, has_turn: bool = False,
    ) -> Reply:  # fmt: skip
        """
        :param read: the directory of now, if it is not to be read anew.
        :param has_turn: the caller holds that of the principal.
        :raises GatewayError, FieldError, StoreFailed:
        """
        params = decode_query(request.query, operation.params)
        raw = body = None
        if operation.body is not None:
            raw = await request.body()
            body = decode_body(raw, operation.body)
        call = Call(
            backend=self.backend,
            principal=principal,
            author=Author(principal.name, request.address),
            now=self.backend.now(),
            path=parts,
            params=params,
            body=body,
            read=read or self.read,
            if_match=request.if_match,
            idempotency_key=request.idempotency_key if operation.method == "POST" else None,
            fingerprint=_fingerprint(request.method, request.path, request.query, raw or b""),
        )
        try:
            takes_turn = operation.method == "GET" and operation.permission in _IN_TURN and not has_turn
            async with self.turn(principal) if takes_turn else contextlib.nullcontext():
                return await operation.handler(call)
        except QueryTooLong as error:
            self.log.warning(names.EVENT_ACCOUNTS, message=f"{operation.method} {BASE}{operation.path}: {error}")
            raise query_timeout(error) from None

    def turn(self, principal: Principal) -> contextlib.AbstractAsyncContextManager[None]:
        """In which a principal asks for rows or sums; see ``Turns``."""
        return self._turns.of(principal.name)

    async def read(self) -> Directory:
        """The directory of now."""
        self._known = await self.backend.directory.read(self._known)
        return self._known

    def known_path(self, path: str) -> str | None:
        """A path as the table has it, with ``{id}``; None if it is not served."""
        known = (template for template, (pattern, _) in self._routes.items() if pattern.fullmatch(path))
        return next((BASE + template for template in known), None)

    def failure(self, error: Exception, request_id: str) -> GatewayError:
        """What a client is told of an error; what it is not told goes to the log."""
        if isinstance(error, GatewayError):
            return error
        if isinstance(error, FieldError):
            return of_field(error)
        if isinstance(error, StoreFailed | ConfigError):
            what = "the accounts" if self.backend.has_accounts else "what is stored of requests and sessions"
            self.log.error(names.EVENT_ACCOUNTS, message=f"{what} cannot be used: {error}", request_id=request_id)
            return AccountsUnavailable(f"{what.capitalize()} cannot be read or written.", hint="Try again shortly.")
        self.log.error(names.EVENT_INTERNAL_ERROR, request_id=request_id, traceback=error_location(error))
        return GatewayError(INTERNAL_MESSAGE, hint=f"Its log has the details under the request id {request_id}.")

    def _route(self, method: str, path: str) -> tuple[Operation, Mapping[str, str]]:
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


def _fingerprint(method: str, path: str, query: bytes, body: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (method.encode(), path.encode(), query, body):
        digest.update(b"%d:" % len(part) + part)
    return digest.digest()
