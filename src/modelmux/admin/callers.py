"""Who sends a request to the listener of the admin API: the holder of a token, or of a session of the dashboard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from modelmux.accounts.directory import Directory
from modelmux.accounts.roles import Principal
from modelmux.accounts.secret_format import KEY_PREFIX
from modelmux.admin.rate_limit import CallLimits
from modelmux.admin.same_origin import origin_problem
from modelmux.admin.sessions import CSRF_HEADER, Sessions, is_csrf_of, principal_of, session_token
from modelmux.errors import NotPermitted, Unauthorized
from modelmux.server.responses import Scope

_READS = ("GET", "HEAD")


@dataclass(frozen=True)
class Caller:
    """:param session: its token; None for the holder of a token of the API."""

    principal: Principal
    session: str | None = None


class Callers:
    """
    :param authenticate: the principal of a bearer token; None if it is not one.
    :param sessions: None: no cookie counts.
    :param read: the directory of now.
    :param ticks: microseconds of a clock that never jumps: limits by one that was set back would refuse all for as
        long.
    """

    def __init__(
        self,
        authenticate: Callable[[str], Principal | None],
        sessions: Sessions | None,
        read: Callable[[], Awaitable[Directory]],
        ticks: Callable[[], int],
    ) -> None:
        self.sessions = sessions
        self.limits = CallLimits()
        self._authenticate = authenticate
        self._read = read
        self._ticks = ticks

    async def caller(self, scope: Scope) -> Caller:
        """
        :raises Unauthorized: :raises TooManyCalls: after many wrong tokens from an address.
        :raises StoreFailed: sessions cannot be read.
        """
        address, now = address_of(scope), self._ticks()
        self.limits.check_address(address, now)
        value = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        cookie = None if value is not None or self.sessions is None else session_token(scope["headers"])
        if cookie is not None:
            return await self._of_session(cookie)
        return Caller(self._of_token((value or b"").decode("latin-1"), address, now))

    def check_write(self, caller: Caller, scope: Scope, csrf: str | None = None) -> None:
        """Whether a write that a session authenticates was meant by who has it. The holder of a token means it.

        :param csrf: the CSRF token of a form; None for that of the header.
        :raises NotPermitted, OriginNotAllowed:
        """
        if caller.session is None:
            return
        problem = origin_problem(scope["headers"])
        if problem is not None:
            raise problem
        if csrf is None:
            header = next((value for name, value in scope["headers"] if name == CSRF_HEADER), b"")
            csrf = header.decode("latin-1")
        if not is_csrf_of(caller.session, csrf):
            raise NotPermitted(
                "The CSRF token of the session is missing or wrong.", code="csrf_token",
                hint="Load the page again. Programs send that of GET /dashboard/session.json as x-csrf-token.",
            )  # fmt: skip

    def count(self, principal: Principal) -> None:
        """Count a call. :raises TooManyCalls:"""
        self.limits.check_principal(principal.name, self._ticks())

    def failed(self, scope: Scope) -> None:
        """Count a wrong token of an address."""
        self.limits.failed(address_of(scope), self._ticks())

    def check_address(self, scope: Scope) -> None:
        """:raises TooManyCalls: too many wrong tokens came from there."""
        self.limits.check_address(address_of(scope), self._ticks())

    async def _of_session(self, token: str) -> Caller:
        assert self.sessions is not None
        # Not counted as a wrong token: an open page of a session that is over would lock its address out.
        subject = await self.sessions.subject(token, self._read)
        if subject is None:
            raise Unauthorized(
                "The session is over.", code="session_over", hint="`modelmux dashboard` prints another sign-in link."
            )
        return Caller(principal_of(subject), token)

    def _of_token(self, value: str, address: str, now: int) -> Principal:
        scheme, _, token = value.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized(
                "No token was sent.", hint="Send 'Authorization: Bearer …' with a token of the admin API."
            )
        if token.startswith(KEY_PREFIX):
            self.limits.failed(address, now)
            raise Unauthorized(
                "This is a virtual key, which the admin API does not take.",
                hint="Send a token of the admin API, one of [admin], or use GET /v1/key.",
            )
        principal = self._authenticate(token)
        if principal is None:
            self.limits.failed(address, now)
            raise Unauthorized("The token is not valid here.", hint="Use one that is configured under [admin].")
        return principal


def is_read(method: str) -> bool:
    return method in _READS


def address_of(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client and client[0] else "local"
