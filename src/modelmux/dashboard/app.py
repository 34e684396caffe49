"""The ASGI application of the dashboard: static files, signing in, pages and actions of the tables.

Order for every page: who calls, path, role, the call; for every action also the origin and the CSRF token, before
anything of the form is used.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from modelmux.accounts.fields import FieldError
from modelmux.accounts.roles import may
from modelmux.admin.app import LOGGED, AdminApp
from modelmux.admin.callers import Caller, address_of, is_read
from modelmux.admin.errors import accounts_off, of_field
from modelmux.admin.operation import MAX_BODY
from modelmux.admin.sessions import Sessions, cookies_of
from modelmux.dashboard.assets import PREFIX, assets
from modelmux.dashboard.forms import read_form, read_query
from modelmux.dashboard.page import ROOT, Action, Data, Download, Moved, Page, ReadOnce, Site, Streamed, Visit, part
from modelmux.dashboard.pages import WITH_ACCOUNTS, WITHOUT_ACCOUNTS
from modelmux.dashboard.rendering import Renderer
from modelmux.dashboard.response import (
    LONGEST,
    EventResponse,
    FileResponse,
    Response,
    json_response,
    redirect,
    send_events,
    send_file,
    send_response,
)
from modelmux.dashboard.sign_in import SIGN_IN, SIGN_OUT, THEME, THEME_COOKIE, THEMES, SignIn, choose_theme
from modelmux.errors import EndpointNotFound, GatewayError, MethodNotAllowed, NotPermitted
from modelmux.gateway.client_stream import ClientDisconnected
from modelmux.server.disconnect import DisconnectGuard
from modelmux.server.refused import Refusal
from modelmux.server.responses import HeaderList, Receive, Scope, Send, error_headers
from modelmux.version import __version__
from modelmux.wire.openai import common

_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")
_JSON: Final = ".json"


class Dashboard:
    """See the module. :param api: whose operations the pages call, and whose callers they have."""

    def __init__(self, api: AdminApp, sessions: Sessions, site: Site) -> None:
        self._api = api
        self._callers = api.callers
        self._site = site
        self._sign_in = SignIn(api.dispatcher, api.callers, sessions)
        self._renderer = Renderer()
        has_accounts = api.dispatcher.backend.has_accounts
        tables = WITH_ACCOUNTS if has_accounts else WITHOUT_ACCOUNTS
        self._pages = [(_pattern(one.path), one) for one in tables.pages]
        self._actions = [(_pattern(one.path), one) for one in tables.actions]
        self._downloads = {one.path: one for one in tables.downloads}
        self._of_accounts = [] if has_accounts else _paths_of_accounts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = self._api.request_id(scope)
        response: Response | EventResponse | FileResponse
        try:
            response = await self._answer(scope, receive)
        except ClientDisconnected:
            return
        except Exception as error:  # noqa: BLE001 - last resort: no request may stop the server
            failure = self._api.dispatcher.failure(error, request_id)
            if self._api.refused is not None and failure.status in LOGGED:
                refusal = Refusal.of(failure, failure.status, scope, request_id=request_id)
                self._api.refused.note(refusal, self.known_path)
            response = self._error(scope, failure)
        if isinstance(response, Response):
            await send_response(scope, send, response, request_id)
            return
        with contextlib.suppress(ClientDisconnected):
            if isinstance(response, FileResponse):
                await self._send_file(scope, receive, send, response, request_id)
                return
            await send_events(
                scope, receive, send, response, request_id,
                lambda error: self._api.dispatcher.failure(error, request_id),
            )  # fmt: skip

    async def _send_file(
        self, scope: Scope, receive: Receive, send: Send, response: FileResponse, request_id: str
    ) -> None:
        """:raises ClientDisconnected:"""
        try:
            await send_file(scope, receive, send, response, request_id)
        except ClientDisconnected:
            raise
        except Exception as error:  # noqa: BLE001 - as above; the server ends a connection whose response has no end
            self._api.dispatcher.failure(error, request_id)

    def known_path(self, path: str) -> str | None:
        """A path as the tables have it, with ``{id}``; None if it is not served."""
        if path in ("/", SIGN_IN, SIGN_OUT, THEME) or path in self._downloads:
            return path
        templates = [(pattern, page.path) for pattern, page in self._pages]
        templates += [(pattern, action.path) for pattern, action in self._actions]
        return next((one for pattern, one in templates if pattern.fullmatch(_without_json(path))), None)

    async def _answer(self, scope: Scope, receive: Receive) -> Response | EventResponse | FileResponse:
        """:raises GatewayError, FieldError, StoreFailed:"""
        path, reads = scope["path"], is_read(scope["method"])
        if path == "/":
            return redirect(ROOT)
        if path.startswith(PREFIX):
            return _static(scope, path)
        if path == SIGN_IN and reads:
            data = await self._sign_in.shown(scope, read_query(scope).get("token", ""))
            return self._html(scope, "sign_in.html", "Sign in", data)
        if path == SIGN_IN and scope["method"] == "POST":
            form = await read_form(scope, receive)
            return await self._sign_in.sign_in(scope, form.get("token", ""))
        caller = await self._callers.caller(scope, is_page=reads and self._is_page(path), shows_csrf=True)
        if reads and path in self._downloads:
            return await self._download(scope, caller, self._downloads[path])
        if any(pattern.fullmatch(_without_json(path)) for pattern in self._of_accounts):
            return self._needs_accounts(scope, caller)
        if reads:
            return await self._read(scope, caller, _without_json(path))
        return await self._write(scope, receive, caller, path)

    def _is_page(self, path: str) -> bool:
        """Whether a path is that of a page for people, on which nothing happens."""
        page = next((page for pattern, page in self._pages if pattern.fullmatch(path)), None)
        return page is not None and not page.is_logged and not path.endswith(_JSON)

    async def _read(self, scope: Scope, caller: Caller, path: str) -> Response:
        page, parts = self._page(scope["method"], path)
        _check_role(caller, page)
        self._callers.count(caller.principal)
        visit = self._visit(scope, caller, parts, read_query(scope), {})
        data = await page.build(replace(visit, directory=ReadOnce(visit.directory)))
        if _wants_json(scope):
            return json_response(200, data)
        return self._html(scope, page.template, page.title, data, caller, page=page)

    def _needs_accounts(self, scope: Scope, caller: Caller) -> Response:
        """A page of a gateway with accounts, where there are none. :raises AccountsOff: to a program."""
        error = accounts_off("This page")
        if _wants_json(scope):
            raise error
        data: Data = {"error": error}
        return self._html(scope, "accounts_off.html", "Accounts are off", data, caller, status=error.status)

    async def _download(self, scope: Scope, caller: Caller, file: Download) -> FileResponse:
        _check_role(caller, file)
        self._callers.count(caller.principal)
        chunks = file.build(self._visit(scope, caller, {}, read_query(scope), {}))
        first = await anext(chunks)
        name = b'attachment; filename="%s"' % file.file.encode("ascii")
        headers = [(b"content-disposition", name)]
        return FileResponse(first=first, rest=chunks, media_type=file.media_type, headers=headers)

    async def _write(self, scope: Scope, receive: Receive, caller: Caller, path: str) -> Response | EventResponse:
        """Nothing of the form is used before its CSRF token is found to be that of the session."""
        action, parts = (None, {}) if path in (SIGN_OUT, THEME) else self._action(scope["method"], path)
        if action is None and scope["method"] != "POST":
            raise MethodNotAllowed(f"{path} does not accept {scope['method'][:20]}.", allow="POST")
        form = await read_form(scope, receive, MAX_BODY if action is None else action.max_body)
        self._callers.check_write(caller, scope, form.pop("csrf", ""))
        self._callers.count(caller.principal)
        if path == SIGN_OUT:
            headers = await self._sign_in.sign_out(caller.session)
            return self._html(scope, "signed_out.html", "Signed out", {}, headers=headers)
        if action is None:
            return choose_theme(form)
        _check_role(caller, action)
        guard = DisconnectGuard(receive, scope, LONGEST) if action.waits else contextlib.nullcontext()
        async with guard:
            return await self._act(scope, caller, action, self._visit(scope, caller, parts, {}, form))

    async def _act(self, scope: Scope, caller: Caller, action: Action, visit: Visit) -> Response | EventResponse:
        """Where it is refused, its page is shown again, with what was entered."""
        try:
            done = await action.run(visit)
        except (GatewayError, FieldError) as error:
            failure = of_field(error) if isinstance(error, FieldError) else error
            if failure.status >= 500 or failure.status == 404 or _wants_json(scope):
                raise
            page, data = action.page, await action.page.build(visit)
            if "form" in data:
                data["form"] = dict(visit.form)
            return self._html(
                scope, page.template, page.title, data, caller, page=page, status=failure.status, problem=failure,
                here=_filled(page.path, visit.path),
            )  # fmt: skip
        if isinstance(done, Moved):
            return redirect(done.path)
        if isinstance(done, Streamed):
            return EventResponse(self._rendered(done))
        here = _filled(action.page.path, visit.path)
        return self._html(scope, done.template, done.title, done.data, caller, page=action.page, here=here)

    async def _rendered(self, streamed: Streamed) -> AsyncGenerator[tuple[str, Data], None]:
        async with contextlib.aclosing(streamed.events) as events:
            async for name, data in events:
                template = streamed.templates.get(name)
                yield name, data if template is None else {"html": self._renderer.html(template, **data).decode()}

    def _page(self, method: str, path: str) -> tuple[Page, Mapping[str, str]]:
        for pattern, page in self._pages:
            match = pattern.fullmatch(path)
            if match is not None:
                return page, match.groupdict()
        if any(pattern.fullmatch(path) for pattern, _ in self._actions) or path in (SIGN_OUT, THEME):
            raise MethodNotAllowed(f"{path[:200]} does not accept {method[:20]}.", allow="POST")
        raise EndpointNotFound(f"There is no page {path[:200]}.", hint="The dashboard begins at /dashboard.")

    def _action(self, method: str, path: str) -> tuple[Action, Mapping[str, str]]:
        for pattern, action in self._actions if method == "POST" else ():
            match = pattern.fullmatch(path)
            if match is not None:
                return action, match.groupdict()
        if path not in self._downloads:
            self._page("GET", path)  # raises if there is no such page
        raise MethodNotAllowed(f"{path[:200]} does not accept {method[:20]}.", allow="GET, HEAD")

    def _visit(
        self, scope: Scope, caller: Caller, path: Mapping[str, str], query: Mapping[str, str], form: Mapping[str, str]
    ) -> Visit:
        return Visit(
            dispatcher=self._api.dispatcher, directory=self._api.dispatcher.read, caller=caller,
            address=address_of(scope), site=self._site, path=path, query=query, form=form,
        )  # fmt: skip

    def _html(
        self, scope: Scope, template: str, title: str, data: Data, caller: Caller | None = None, *,
        page: Page | None = None, status: int = 200, problem: GatewayError | None = None,
        headers: HeaderList | None = None, here: str | None = None,
    ) -> Response:  # fmt: skip
        """:param here: where the page can be read again, if that is not the address of the request."""
        theme = cookies_of(scope["headers"]).get(THEME_COOKIE)
        body = self._renderer.html(
            template,
            title=title,
            theme=theme if theme in THEMES else THEMES[0],
            themes=THEMES,
            version=__version__,
            here=here or _address(scope),
            is_answer=here is not None,
            nav=[] if caller is None else self._nav(caller),
            current=None if page is None else page.path.split("/{")[0],
            principal=None if caller is None else caller.principal,
            once=self._api.dispatcher.backend.ids.id("form_"),
            csrf="" if caller is None or caller.csrf is None else caller.csrf,
            has_session=caller is not None and caller.session is not None,
            problem=problem,
            **data,
        )
        return Response(status=status, body=body, headers=headers or [])

    def _nav(self, caller: Caller) -> list[Page]:
        return [one for _, one in self._pages if one.nav and may(caller.principal, one.permission)]

    def _error(self, scope: Scope, error: GatewayError) -> Response:
        headers = error_headers(error)
        if _wants_json(scope):
            return json_response(error.status, common.envelope(error), headers)
        data: dict[str, Any] = {"error": error}
        template, title = ("unknown.html", "Sign in") if error.status == 401 else ("error.html", "Error")
        return self._html(scope, template, title, data, status=error.status, headers=headers)


def _static(scope: Scope, path: str) -> Response:
    asset = assets().get(path.removeprefix(PREFIX))
    if asset is None:
        raise EndpointNotFound(f"There is no file {path[:200]}.")
    if not is_read(scope["method"]):
        raise MethodNotAllowed(f"{path} does not accept {scope['method'][:20]}.", allow="GET, HEAD")
    return Response(body=asset.content, media_type=asset.media_type, keeps=True)


def _check_role(caller: Caller, what: Page | Action | Download) -> None:
    """:raises NotPermitted:"""
    role = caller.principal.role
    if not may(caller.principal, what.permission):
        raise NotPermitted(
            f"Your role, {role}, may not do this.", code="role_not_allowed", hint="Ask an owner of this gateway for it."
        )


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(_PARAMETER.sub(r"(?P<\1>[^/]{1,128})", path))


def _filled(path: str, parts: Mapping[str, str]) -> str:
    """The address of a page: its path with the parts of a request."""
    return _PARAMETER.sub(lambda name: part(parts[name[1]]), path)


def _paths_of_accounts() -> list[re.Pattern[str]]:
    """Of what is served with accounts alone."""
    there = {one.path for one in WITHOUT_ACCOUNTS.pages} | {one.path for one in WITHOUT_ACCOUNTS.actions}
    tables = WITH_ACCOUNTS
    paths = [one.path for group in (tables.pages, tables.actions, tables.downloads) for one in group]
    return [_pattern(path) for path in paths if path not in there]


def _without_json(path: str) -> str:
    return path.removesuffix(_JSON)


def _wants_json(scope: Scope) -> bool:
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return scope["path"].endswith(_JSON) or (b"application/json" in accept and b"text/html" not in accept)


def _address(scope: Scope) -> str:
    """Path and query of a page, to come back to."""
    query = scope.get("query_string", b"").decode("ascii", "replace") if is_read(scope["method"]) else ""
    return quote(scope["path"], safe="/") + (f"?{query}" if query else "")
