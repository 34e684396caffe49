"""Sessions of the dashboard: who a cookie stands for, and links that begin a session.

Tokens have 256 random bits; the file has their SHA-256. The CSRF token of a session follows from its token, which no
page can read. What is decided is in ``accounts/sign_ins.py``; here are the file, the cookie and the random bits.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from modelmux.accounts import sign_ins
from modelmux.accounts.directory import Directory
from modelmux.accounts.roles import Principal
from modelmux.accounts.sign_ins import Roles, Session, SignIns, Subject
from modelmux.config.admin_check import OWNER
from modelmux.server.host_and_origin import is_local_host
from modelmux.store.sign_in_file import SignInFile

#: The cookie on loopback, which is served without TLS, and everywhere else.
COOKIE: Final = "modelmux_session"
SECURE_COOKIE: Final = "__Host-modelmux_session"
#: The header of writes that a session authenticates.
CSRF_HEADER: Final = b"x-csrf-token"
_BYTES: Final = 32
#: Characters of the longest text that can be a token.
_MAX_TOKEN: Final = 64
_Headers = Iterable[tuple[bytes, bytes]]


class Sessions:
    """
    :param owner_token: ``admin.token``: another one ends the sessions of the owner.
    :param roles: see ``subject_of``: another one ends the sessions of its person.
    :param now: microseconds in UTC. :param random: returns N random bytes.
    """

    def __init__(
        self,
        file: SignInFile,
        owner_token: str | None,
        now: Callable[[], int],
        random: Callable[[int], bytes] = os.urandom,
        roles: Roles = sign_ins.NO_ROLES,
    ) -> None:
        self._file = file
        self._owner_token = (owner_token or "").encode()
        self._now = now
        self._random = random
        self._roles = roles

    def new_link(self, subject: Subject) -> str:
        """The token of a link, which is stored nowhere. :raises StoreFailed:"""
        token, now = self._token(), self._now()
        self._file.change(lambda state: (sign_ins.with_link(state, digest_of(token), subject, now), None))
        return token

    async def subject_of_link(self, token: str, directory: Directory) -> Subject | None:
        """Who a link is for; it stays good. None if it is not good. :raises StoreFailed:"""
        state = await asyncio.to_thread(self._file.read)
        link = sign_ins.find_link(state, digest_of(token), self._now())
        return None if link is None or not self._is_current(directory, link.subject) else link.subject

    async def sign_in(self, token: str, directory: Directory) -> str | None:
        """Use up a link. :returns: the token of its session; None if the link is not good. :raises StoreFailed:"""
        new, now = self._token(), self._now()

        def decide(state: SignIns) -> tuple[SignIns, str | None]:
            link = sign_ins.find_link(state, digest_of(token), now)
            if link is None or not self._is_current(directory, link.subject):
                return state, None
            return sign_ins.redeemed(state, link, digest_of(new), self._binding(new, link.subject), now), new

        return await asyncio.to_thread(self._file.change, decide)

    async def subject(self, token: str, read: Callable[[], Awaitable[Directory]]) -> Subject | None:
        """Who a session is of; None if it is over. One that ended before its time is forgotten.

        :param read: the directory of now; asked for sessions alone.
        :raises StoreFailed:
        """
        state = await asyncio.to_thread(self._file.read)
        session = sign_ins.find_session(state, digest_of(token), self._now())
        if session is None:
            return None
        if self._is_bound(session, token) and self._is_current(await read(), session.subject):
            return session.subject
        await self.sign_out(token)
        return None

    async def sign_out(self, token: str) -> None:
        """End a session. Idempotent. :raises StoreFailed:"""
        now = self._now()
        await asyncio.to_thread(self._file.change, lambda state: (sign_ins.without(state, digest_of(token), now), None))

    def _is_current(self, directory: Directory, subject: Subject) -> bool:
        return sign_ins.is_current(directory, subject, self._roles)

    def _token(self) -> str:
        return base64.urlsafe_b64encode(self._random(_BYTES)).decode().rstrip("=")

    def _binding(self, token: str, subject: Subject) -> str:
        return "" if subject.person is not None else hmac.digest(token.encode(), self._owner_token, "sha256").hex()

    def _is_bound(self, session: Session, token: str) -> bool:
        return hmac.compare_digest(session.binding, self._binding(token, session.subject))


def principal_of(subject: Subject) -> Principal:
    """:returns: one whose name is the id of the person: others see names of principals, and not addresses."""
    name = OWNER if subject.person is None else subject.person
    return Principal(name=name, role=subject.role, teams=subject.teams, person=subject.person)


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def csrf_of(token: str) -> str:
    """The CSRF token of a session."""
    digest = hmac.digest(token.encode(), b"modelmux csrf", "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def is_same_token(token: str, text: str) -> bool:
    """Whether a text is a CSRF token; in constant time."""
    return hmac.compare_digest(token.encode(), text.encode("utf-8", "surrogateescape"))


def session_token(headers: _Headers) -> str | None:
    """That of the cookie. Elsewhere than on loopback only that cookie counts which TLS protects."""
    cookies = cookies_of(headers)
    token = cookies.get(SECURE_COOKIE)
    if token is None and is_loopback_host(headers):
        token = cookies.get(COOKIE)
    return token if token and len(token) <= _MAX_TOKEN else None


def cookies_of(headers: _Headers) -> dict[str, str]:
    """The first of each name: a browser sends the one of the longest path first."""
    cookies: dict[str, str] = {}
    for name, value in headers:
        if name == b"cookie":
            for part in value.decode("latin-1").split(";"):
                key, _, text = part.strip().partition("=")
                cookies.setdefault(key, text)
    return cookies


def is_loopback_host(headers: _Headers) -> bool:
    """Whether the client calls a name of this machine."""
    hosts = [value for name, value in headers if name == b"host"]
    return len(hosts) == 1 and is_local_host(hosts[0], frozenset())


def set_cookie(token: str, *, is_secure: bool) -> bytes:
    """The header that begins a session; an empty token ends it. :param is_secure: the page came over TLS."""
    name = SECURE_COOKIE if is_secure else COOKIE
    age = sign_ins.SESSION_LIFETIME // 1_000_000 if token else 0
    secure = "; Secure" if is_secure else ""
    return f"{name}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}".encode()
