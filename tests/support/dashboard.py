"""The dashboard over a real store, called in-process as a browser would call it."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from modelmux.accounts.roles import Role
from modelmux.accounts.sign_ins import OWNER, Subject, subject_of
from modelmux.admin.listener import AdminListener
from modelmux.admin.sessions import csrf_of
from modelmux.config import Config, build_routes
from modelmux.dashboard.app import Dashboard
from modelmux.dashboard.page import Site
from modelmux.dashboard.playground.gateway import PlaygroundGateway
from modelmux.gateway.explained.translated import dialect_options
from modelmux.wire.http import Origin
from support import asgi
from support.admin import Admin
from support.clock import TODAY

HOST = "127.0.0.1:3001"
ORIGIN = f"http://{HOST}"
#: Where nothing listens: what is sent from there is not answered.
NOBODY = Origin("http", "127.0.0.1", 9)
SAME = {"sec-fetch-site": "same-origin", "origin": "null"}  # as a browser sends them from a page without a referrer
FORM = "application/x-www-form-urlencoded"


class Browser:
    """A visitor. :ivar session: the token of the session; None before signing in."""

    def __init__(
        self,
        folder: Path,
        accounts: dict[str, Any] | None = None,
        models_at: Origin = NOBODY,
        looks: int = 1,
        **options: Any,
    ) -> None:
        self.admin = Admin(folder, accounts, **options)
        config = self.admin.backend.config
        playground = PlaygroundGateway(
            origin=models_at, url="http://127.0.0.1:3000",
            routes=build_routes(config, config.build_catalog(), TODAY), options=dialect_options(config),
            looks=(0.01,) * looks,
        )  # fmt: skip
        site = Site(gateway_url=playground.url, model="claude-sonnet-5-5", playground=playground)
        self.dashboard = Dashboard(self.admin.app, self.admin.sessions, site)
        self.listener = AdminListener("127.0.0.1", _nothing, _nothing)
        self.listener.serve(Config.from_dict({"admin": {"token": "owner-token"}}), self.admin.app, self.dashboard)
        self.session: str | None = None
        self.host = HOST

    async def sign_in(self, subject: Subject | None = OWNER) -> None:
        self.session = None if subject is None else await self.admin.session(subject)

    async def sign_in_person(self, person: str, role: Role) -> None:
        subject = subject_of(await self.admin.directory(), person)
        assert subject is not None
        assert subject.role == role
        await self.sign_in(subject)

    async def get(self, path: str, method: str = "GET", **headers: str) -> asgi.Response:
        path, _, query = path.partition("?")
        return await asgi.request(self.listener, method, path, b"", self._headers(headers), query=query)

    async def post(
        self,
        path: str,
        form: dict[str, str] | None = None,
        *,
        csrf: str | None = "",
        disconnect: asyncio.Event | None = None,
        **headers: str,
    ) -> asgi.Response:
        """:param csrf: empty for that of the session, None to leave it out."""
        fields = dict(form or {})
        if csrf is not None:
            fields["csrf"] = csrf or ("" if self.session is None else csrf_of(self.session))
        sent = self._headers({"content_type": FORM} | {k.replace("-", "_"): v for k, v in SAME.items()} | headers)
        body = urlencode(fields).encode()
        return await asgi.request(self.listener, "POST", path, body, sent, disconnect=disconnect)

    async def page(self, path: str) -> str:
        response = await self.get(path)
        assert response.status == 200, (response.status, response.body)
        return response.body.decode()

    async def data(self, path: str) -> Any:
        path, _, query = path.partition("?")
        response = await self.get(f"{path}.json" + (f"?{query}" if query else ""))
        assert response.status == 200, (response.status, response.body)
        return response.json()

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        sent = {"host": self.host, "accept": "text/html"}
        if self.session is not None:
            sent["cookie"] = f"modelmux_session={self.session}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return {name: value for name, value in (sent | named).items() if value}


async def _nothing() -> None:
    pass


def text_of(html: str) -> str:
    """What a person reads of a page."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))
