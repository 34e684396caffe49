"""Who sends a request to the listener of the admin API: the holder of a token, or of a session of the dashboard, or
whom a proxy has signed in. In this order: a wrong token is refused, whatever the proxy says.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.roles import Principal
from modelmux.accounts.secret_format import KEY_PREFIX
from modelmux.admin.errors import PersonUnknown, TooManyCalls
from modelmux.admin.proxy_sign_in import ProxySignIn
from modelmux.admin.rate_limit import CallLimits
from modelmux.admin.same_origin import foreign_read, origin_problem
from modelmux.admin.sessions import CSRF_HEADER, Sessions, csrf_of, is_same_token, principal_of, session_token
from modelmux.errors import GatewayError, NotPermitted, Unauthorized
from modelmux.server.responses import Scope

_READS = ("GET", "HEAD")
#: Characters of an address that are remembered of who sends wrong tokens.
_LONGEST_EMAIL: Final = 320
#: Seconds for which the holder of a token waits for the keys by which a proxy signs.
_LONGEST_WAIT: Final = 1.0


@dataclass(frozen=True)
class Caller:
    """
    :param session: its token; None without one.
    :param csrf_tokens: of which writes of a browser have to send one; None for the holder of a token of the API, which
        no browser sends by itself. Of whom a proxy signs in, empty for reads that show none.
    """

    principal: Principal
    session: str | None = None
    csrf_tokens: tuple[str, ...] | None = None

    @property
    def csrf(self) -> str | None:
        """What pages send; None if they need not, or it was not asked for."""
        return self.csrf_tokens[0] if self.csrf_tokens else None


class Callers:
    """
    :param authenticate: the principal of a bearer token; None if it is not one.
    :param sessions: None: no cookie counts.
    :param read: the directory of now.
    :param ticks: microseconds of a clock that never jumps: limits by one that was set back would refuse all for as
        long.
    :param proxy: None: the word of no proxy counts.
    """

    def __init__(
        self,
        authenticate: Callable[[str], Principal | None],
        sessions: Sessions | None,
        read: Callable[[], Awaitable[Directory]],
        ticks: Callable[[], int],
        proxy: ProxySignIn | None = None,
    ) -> None:
        self.sessions = sessions
        self.limits = CallLimits()
        self._authenticate = authenticate
        self._read = read
        self._ticks = ticks
        self._proxy = proxy

    async def caller(self, scope: Scope, *, is_page: bool = False, shows_csrf: bool = False) -> Caller:
        """
        :param is_page: see ``foreign_read``. :param shows_csrf: the answer to a read has the CSRF token.
        :raises Unauthorized: :raises TooManyCalls: after many wrong tokens from an address.
        :raises NotPermitted: whom the proxy has signed in may not use this.
        :raises OriginNotAllowed: a page of another site asks for whom the proxy has signed in.
        :raises StoreFailed: sessions cannot be read. :raises SigningKeysUnavailable:
        """
        if any(name == b"authorization" for name, _ in scope["headers"]):
            return Caller(await self.token_holder(scope))
        cookie = None if self.sessions is None else session_token(scope["headers"])
        if cookie is not None:
            await self._check_cookie(scope)
            caller = await self._of_session(cookie)
            if caller is not None:
                return caller
        caller = await self._of_proxy(scope, is_page=is_page, shows_csrf=shows_csrf)
        if caller is not None:
            return caller
        if cookie is None:
            return Caller(await self.token_holder(scope))
        raise Unauthorized(
            "The session is over.", code="session_over", hint="`modelmux dashboard` prints another sign-in link."
        )

    async def token_holder(self, scope: Scope) -> Principal:
        """Who has the token of a request, whatever cookie it has. :raises Unauthorized, TooManyCalls:"""
        source, now = await self._source(scope), self._ticks()
        self.limits.check_address(source, now)
        value = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return self._of_token(value.decode("latin-1"), source, now)

    def check_write(self, caller: Caller, scope: Scope, csrf: str | None = None) -> None:
        """Whether a write that a session or a proxy authenticates was meant by who has it: browsers send the cookies of
        both for every page. The holder of a token means it.

        :param csrf: the CSRF token of a form; None for that of the header.
        :raises NotPermitted, OriginNotAllowed:
        """
        if caller.csrf_tokens is None:
            return
        problem = origin_problem(scope["headers"])
        if problem is not None:
            raise problem
        if csrf is None:
            header = next((value for name, value in scope["headers"] if name == CSRF_HEADER), b"")
            csrf = header.decode("latin-1")
        if not any(is_same_token(token, csrf) for token in caller.csrf_tokens):
            raise NotPermitted(
                "The CSRF token of the session is missing or wrong.", code="csrf_token",
                hint="Load the page again. Programs send that of GET /dashboard/session.json as x-csrf-token.",
            )  # fmt: skip

    def count(self, principal: Principal) -> None:
        """Count a call. :raises TooManyCalls:"""
        self.limits.check_principal(principal.name, self._ticks())

    async def failed(self, scope: Scope) -> None:
        """Count a wrong token of who has sent it."""
        self.limits.failed(await self._source(scope), self._ticks())

    async def check_address(self, scope: Scope) -> None:
        """:raises TooManyCalls: too many wrong tokens came from there."""
        self.limits.check_address(await self._source(scope), self._ticks())

    async def _source(self, scope: Scope) -> str:
        """Whose wrong tokens are counted together: those of an address, or of one whom the proxy at it names. Else one
        person could lock out all who come through the proxy.
        """
        return _source_of(scope, await self._named(scope))

    async def _named(self, scope: Scope) -> str | None:
        """Whom the proxy names, known here or not; None also where what it says cannot be believed, or not soon."""
        with contextlib.suppress(GatewayError, TimeoutError):
            async with asyncio.timeout(_LONGEST_WAIT):
                return None if self._proxy is None else await self._proxy.email(scope)
        return None

    async def _check_cookie(self, scope: Scope) -> None:
        """:raises TooManyCalls: many wrong tokens came from there, and not from a proxy that names who this is."""
        try:
            self.limits.check_address(address_of(scope), self._ticks())
        except TooManyCalls:
            if await self._named(scope) is None:
                raise

    async def _of_session(self, token: str) -> Caller | None:
        """None if it is over."""
        assert self.sessions is not None
        # Not counted as a wrong token: an open page of a session that is over would lock its address out.
        subject = await self.sessions.subject(token, self._read)
        return None if subject is None else Caller(principal_of(subject), token, (csrf_of(token),))

    async def _of_proxy(self, scope: Scope, *, is_page: bool, shows_csrf: bool) -> Caller | None:
        """None where no proxy says anything. Whom it names and who is unknown here counts as a wrong token
        of that name.
        """
        email = None if self._proxy is None else await self._proxy.email(scope)
        if self._proxy is None or email is None:
            return None
        problem = foreign_read(scope["headers"], is_page=is_page)
        if problem is not None:
            raise problem
        source, now = _source_of(scope, email), self._ticks()
        try:
            subject = self._proxy.subject(await self._read(), email)
        except PersonUnknown:
            self.limits.check_address(source, now)
            self.limits.failed(source, now)
            raise
        tokens = () if is_read(scope["method"]) and not shows_csrf else await self._proxy.csrf_tokens(subject)
        return Caller(principal_of(subject), csrf_tokens=tokens)

    def _of_token(self, value: str, source: str, now: int) -> Principal:
        scheme, _, token = value.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized(
                "No token was sent.", hint="Send 'Authorization: Bearer …' with a token of the admin API."
            )
        if token.startswith(KEY_PREFIX):
            self.limits.failed(source, now)
            raise Unauthorized(
                "This is a virtual key, which the admin API does not take.",
                hint="Send a token of the admin API, one of [admin], or use GET /v1/key.",
            )
        principal = self._authenticate(token)
        if principal is None:
            self.limits.failed(source, now)
            raise Unauthorized("The token is not valid here.", hint="Use one that is configured under [admin].")
        return principal


def _source_of(scope: Scope, email: str | None) -> str:
    return address_of(scope) if email is None else f"{address_of(scope)} {email.strip().lower()[:_LONGEST_EMAIL]}"


def is_read(method: str) -> bool:
    return method in _READS


def address_of(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client and client[0] else "local"
