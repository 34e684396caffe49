"""Signing in with a link, signing out, and the choice of colours: the pages that set cookies.

A link is used up by a click on its page, which posts: programs that look at links in messages do not use it up.
"""

from __future__ import annotations

import re
from typing import Any, Final

from modelmux.accounts.sign_ins import Subject
from modelmux.admin.callers import Callers, address_of
from modelmux.admin.dispatch import Dispatcher
from modelmux.admin.same_origin import foreign_read, origin_problem
from modelmux.admin.sessions import Sessions, is_loopback_host, session_token, set_cookie
from modelmux.dashboard.page import ROOT
from modelmux.dashboard.response import Response, redirect
from modelmux.errors import NotPermitted, Unauthorized
from modelmux.server.responses import HeaderList, Scope
from modelmux.telemetry import names

SIGN_IN: Final = f"{ROOT}/sign-in"
SIGN_OUT: Final = f"{ROOT}/sign-out"
THEME: Final = f"{ROOT}/theme"
THEME_COOKIE: Final = "modelmux_theme"
THEMES: Final = ("auto", "light", "dark")
_YEAR: Final = 365 * 24 * 3600
#: Where a choice of colours leads back to: a page of the dashboard, with its query.
_PAGE: Final = re.compile(rf"{ROOT}(?:[/?][A-Za-z0-9_.~/%?&=:,+@*-]*)?")
_USED: Final = "It was used, or is older than ten minutes, or the role of its person has changed."


class SignIn:
    """See the module."""

    def __init__(self, dispatcher: Dispatcher, callers: Callers, sessions: Sessions) -> None:
        self._dispatcher = dispatcher
        self._callers = callers
        self._sessions = sessions

    async def shown(self, scope: Scope, token: str) -> dict[str, Any]:
        """What the page of a link says; the link stays good. :raises Unauthorized: it is not good.

        :raises OriginNotAllowed: no person has followed it: images of another site would lock their visitor out.
        """
        problem = foreign_read(scope["headers"], is_page=True)
        if problem is not None:
            raise problem
        await self._callers.check_address(scope)
        directory = await self._dispatcher.read()
        subject = await self._sessions.subject_of_link(token, directory)
        if subject is None:
            raise await self._not_good(scope)
        person = directory.people.get(subject.person or "")
        return {"token": token, "who": _who(subject, None if person is None else person.email)}

    async def sign_in(self, scope: Scope, token: str) -> Response:
        """Begin a session, and end the one that the browser had.

        :raises Unauthorized: the link is not good. :raises NotPermitted: the cookie would not be protected.
        :raises OriginNotAllowed:
        """
        await self._callers.check_address(scope)
        problem = origin_problem(scope["headers"])
        if problem is not None:
            raise problem
        is_secure = _is_secure(scope)
        directory = await self._dispatcher.read()
        subject = await self._sessions.subject_of_link(token, directory)
        session = await self._sessions.sign_in(token, directory)
        if session is None or subject is None:
            raise await self._not_good(scope)
        who = "the owner" if subject.person is None else f"{subject.person} ({subject.role})"
        message = f"{who} signed in to the dashboard"
        self._dispatcher.log.info(names.EVENT_SIGN_IN, message=message, client=address_of(scope))
        before = session_token(scope["headers"])
        if before is not None:
            await self._sessions.sign_out(before)
        return redirect(ROOT, [(b"set-cookie", set_cookie(session, is_secure=is_secure))])

    async def sign_out(self, session: str | None) -> HeaderList:
        """End a session. :returns: the headers that take the cookies away."""
        if session is not None:
            await self._sessions.sign_out(session)
        return [(b"set-cookie", set_cookie("", is_secure=is_secure)) for is_secure in (False, True)]

    async def _not_good(self, scope: Scope) -> Unauthorized:
        await self._callers.failed(scope)
        return Unauthorized(
            f"This sign-in link is not good any more. {_USED}", code="link_not_good",
            hint="`modelmux dashboard` prints another one; of a person, `modelmux people link`.",
        )  # fmt: skip


def choose_theme(form: dict[str, str]) -> Response:
    """A cookie, and back to the page."""
    theme = form.get("theme", "")
    theme = theme if theme in THEMES else THEMES[0]
    back = form.get("back", "")
    cookie = f"{THEME_COOKIE}={theme}; Path={ROOT}; Max-Age={_YEAR}; HttpOnly; SameSite=Strict"
    return redirect(back if _PAGE.fullmatch(back) else ROOT, [(b"set-cookie", cookie.encode())])


def _who(subject: Subject, email: str | None) -> str:
    return "the owner" if email is None else f"{email}, {subject.role.replace('_', ' ')}"


def _is_secure(scope: Scope) -> bool:
    """Whether the page came over TLS: elsewhere than on loopback it must. A browser says so by ``Origin``, or where it
    writes ``null``, by ``Sec-Fetch-Site``, which it sends over TLS and to loopback only.

    :raises NotPermitted:
    """
    origin = next((value for name, value in scope["headers"] if name == b"origin"), b"null").strip().lower()
    if is_loopback_host(scope["headers"]):
        return origin.startswith(b"https://")
    if origin.startswith(b"http://"):
        raise NotPermitted(
            "Signing in needs TLS, except on the same machine: others could read the cookie.", code="no_tls",
            hint="Put a proxy with a certificate in front of it, or reach it by `ssh -L 3001:127.0.0.1:3001`.",
        )  # fmt: skip
    return True
