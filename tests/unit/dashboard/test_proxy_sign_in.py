"""Risk: the dashboard asks for a link although a proxy has signed in, a form of it does not work, or one of another
site does.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelmux.admin.proxy_sign_in import ProxySignIn, TrustedHeader
from modelmux.config.admin_schema import AdminRoleConfig
from modelmux.dashboard.pages import WITH_ACCOUNTS
from modelmux.dashboard.sign_in import SIGN_OUT, THEME
from modelmux.store.directory.issuer import Issuer
from support.admin import PEPPER, organisation
from support.dashboard import Browser, text_of

OWN = {"x_forwarded_email": "own@example.com"}
#: Requests of ``Browser`` come from here.
PEER = "127.0.0.1/32"


@pytest.fixture
async def visitor(tmp_path: Path) -> AsyncIterator[Browser]:
    """Behind a proxy, which has signed in an owner."""
    source = TrustedHeader("x-forwarded-email", (PEER,))
    roles: Any = {"own@example.com": "owner"}
    browser = Browser(tmp_path, proxy=ProxySignIn(source, lambda: Issuer([PEPPER], lambda: 0.0), roles))
    await organisation(browser.admin)
    yield browser
    await browser.admin.aclose()


async def csrf_token(visitor: Browser) -> str:
    page = await visitor.get("/dashboard/session.json", **OWN)
    token: str = page.json()["csrf_token"]
    return token


async def test_pages_need_no_link(visitor: Browser) -> None:
    assert (await visitor.get("/dashboard")).status == 401
    response = await visitor.get("/dashboard", **OWN)
    assert response.status == 200
    assert "set-cookie" not in response.headers, "whom the proxy signs out has no session here"
    you = await visitor.get("/dashboard/session", **OWN)
    assert "own@example.com" in text_of(you.body.decode())
    assert "Sign out" not in text_of(you.body.decode()), "the proxy would sign in again"


async def test_a_form_of_its_pages_writes(visitor: Browser) -> None:
    page = (await visitor.get("/dashboard/keys", **OWN)).body.decode()
    (token,) = set(re.findall(r'name="csrf" value="([^"]+)"', page))
    assert token == await csrf_token(visitor)
    response = await visitor.post("/dashboard/keys", {"name": "made by a form"}, csrf=token, **OWN)
    assert response.status == 200, response.body
    row = (await visitor.admin.ok("GET", "/audit"))["data"][0]
    assert row["author"] == "usr_own"
    key = await visitor.admin.ok("GET", f"/keys/{row['subject']}")
    assert (key["name"], key["created_by"]) == ("made by a form", "usr_own")


@pytest.mark.parametrize(
    ("headers", "csrf", "code"),
    [
        ({"sec_fetch_site": "cross-site"}, "", 403), ({"sec_fetch_site": "same-site"}, "", 403),
        ({"origin": "https://evil.example"}, "", 403), ({"sec_fetch_site": ""}, "", 403),
        ({}, None, 403), ({}, "wrong", 403), ({"sec_fetch_site": "", "origin": "https://127.0.0.1:3001"}, "", 200),
    ],
)  # fmt: skip
async def test_a_form_of_another_site_does_not(visitor: Browser, headers: Any, csrf: str | None, code: int) -> None:
    token = await csrf_token(visitor) if csrf == "" else csrf
    response = await visitor.post("/dashboard/keys", {"name": "new"}, csrf=token, **OWN, **headers)
    assert response.status == code or (response.status, code) == (415, 403), "the listener refuses forms before"
    assert ("new" in {key.name for key in (await visitor.admin.directory()).keys.values()}) == (code == 200)


async def test_a_person_without_an_account_is_told_what_to_do(visitor: Browser) -> None:
    response = await visitor.get("/dashboard", x_forwarded_email="new@example.com")
    assert response.status == 403
    assert "modelmux people create" in text_of(response.body.decode())


async def test_people_are_shown_with_the_role_of_the_configuration(visitor: Browser) -> None:
    role = AdminRoleConfig(email="Own@example.com", role="auditor")
    visitor.admin.backend.config.admin.roles = [role]
    response = await visitor.get("/dashboard/settings/people.json", **OWN)
    assert response.status == 200, response.body
    people = response.json()["data"]
    assert {one["email"]: one["role"] for one in people} == {
        "own@example.com": "auditor", "other@example.com": "member"
    }  # fmt: skip


def paths(*tables: Any) -> list[str]:
    """Of pages, actions and downloads, each with an id in place of a parameter."""
    return [re.sub(r"{\w+}", "key_own", one.path) for table in tables for one in table]


async def test_no_page_believes_anyone_else_than_the_proxy(tmp_path: Path) -> None:
    source = TrustedHeader("x-forwarded-email", ("10.0.3.7/32",))
    roles: Any = {"own@example.com": "owner"}
    proxy = ProxySignIn(source, lambda: Issuer([PEPPER], lambda: 0.0), roles)
    browser = Browser(tmp_path, proxy=proxy)
    await organisation(browser.admin)
    directory = await browser.admin.directory()
    token = (await proxy.csrf_tokens(proxy.subject(directory, "own@example.com")))[0]
    for path in paths(WITH_ACCOUNTS.pages, WITH_ACCOUNTS.downloads):
        assert (await browser.get(path, **OWN)).status == 401, path
    for path in [*paths(WITH_ACCOUNTS.actions), SIGN_OUT, THEME]:
        assert (await browser.post(path, {"name": "new"}, csrf=token, **OWN)).status == 401, path
    assert (await browser.admin.directory()).version == directory.version
    await browser.admin.aclose()


async def test_every_form_needs_the_csrf_token_of_its_person(visitor: Browser) -> None:
    before = (await visitor.admin.directory()).version
    forms = [*paths(WITH_ACCOUNTS.actions), SIGN_OUT, THEME]
    assert len(forms) > 8
    for path in forms:
        for token in (None, "wrong"):
            response = await visitor.post(path, {"name": "new"}, csrf=token, **OWN)
            assert response.status == 403, path
    assert (await visitor.admin.directory()).version == before
