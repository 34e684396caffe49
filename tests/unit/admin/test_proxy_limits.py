"""Risk: one person behind a proxy, or a page that this person has open, locks out all others behind it; or none
is locked out at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.edits import save_person
from modelmux.accounts.records import Person
from modelmux.admin.proxy_sign_in import FindsKeys, IapAssertion, ProxySignIn, TrustedHeader
from modelmux.admin.rate_limit import FAILURES
from modelmux.store.directory.issuer import Issuer
from support import iap
from support.admin import PEPPER, organisation
from support.asgi import Response
from support.dashboard import Browser
from support.directories import NOW
from support.proxies import HOST, PROXY, send

OWN, OTHER = (("x-forwarded-email", f"{name}@example.com") for name in ("own", "other"))
API = "/admin/v1/keys"


def issuer() -> Issuer:
    return Issuer([PEPPER], lambda: NOW / 1e6)


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """Behind a proxy."""
    one = Browser(tmp_path, proxy=ProxySignIn(TrustedHeader("x-forwarded-email", (f"{PROXY}/32",)), issuer))
    await organisation(one.admin)
    yield one
    await one.admin.aclose()


async def get(browser: Browser, *sent: tuple[str, str], path: str = API, **headers: str) -> Response:
    return await send(browser.listener, "GET", path, *sent, **headers)


async def lock(browser: Browser, *sent: tuple[str, str]) -> None:
    for _ in range(FAILURES):
        assert (await get(browser, *sent, authorization="Bearer wrong")).status == 401
    assert (await get(browser, *sent, authorization="Bearer wrong")).status == 429


@pytest.mark.parametrize("locked", [(OTHER,), ()])
async def test_wrong_tokens_lock_out_who_sends_them_alone(browser: Browser, locked: Any) -> None:
    await lock(browser, *locked)
    for cookie in ("", "modelmux_session=stale", f"modelmux_session={await browser.admin.session()}"):
        assert (await get(browser, OWN, cookie=cookie)).status == 200, cookie
    assert (await get(browser, OWN, authorization="Bearer token-owner")).status == 200
    assert (await get(browser, *locked, authorization="Bearer token-owner")).status == 429
    assert (await get(browser, ("x-forwarded-email", "OTHER@example.com "), cookie="")).status == 200, "by the proxy"


async def test_who_is_named_in_another_spelling_is_the_same_person(browser: Browser) -> None:
    await lock(browser, OTHER)
    spelled = ("x-forwarded-email", " Other@Example.com")
    assert (await get(browser, spelled, authorization="Bearer token-owner")).status == 429


async def test_without_a_name_wrong_tokens_lock_out_cookies_too(browser: Browser) -> None:
    await lock(browser)
    cookie = f"modelmux_session={await browser.admin.session()}"
    assert (await get(browser, cookie=cookie)).status == 429
    assert (await send(browser.listener, "GET", API, OWN, client=(PROXY, 1), cookie=cookie)).status == 200


async def test_wrong_links_of_one_person_leave_those_of_others(browser: Browser) -> None:
    link = await asyncio.to_thread(browser.admin.sessions.new_link, await own(browser))
    for _ in range(FAILURES + 1):
        last = await get_link(browser, "wrong", OTHER)
    assert last.status == 429
    assert (await get_link(browser, link, OTHER)).status == 429
    assert (await get_link(browser, link, OWN)).status == 200
    headers = {
        "origin": f"http://{HOST}", "sec_fetch_site": "same-origin",
        "content_type": "application/x-www-form-urlencoded",
    }  # fmt: skip
    for who, status in ((OTHER, 429), (OWN, 303)):
        body = f"token={link}".encode()
        response = await send(browser.listener, "POST", "/dashboard/sign-in", who, body=body, **headers)
        assert response.status == status


async def own(browser: Browser) -> Any:
    proxy = browser.admin.app.callers._proxy
    assert proxy is not None
    return proxy.subject(await browser.admin.directory(), OWN[1])


async def get_link(browser: Browser, token: str, *sent: tuple[str, str]) -> Response:
    async def with_token(scope: Any, receive: Any, reply: Any) -> None:
        await browser.listener(scope | {"query_string": f"token={token}".encode()}, receive, reply)

    return await send(with_token, "GET", "/dashboard/sign-in", *sent)


async def test_who_is_unknown_is_limited_and_others_are_not(browser: Browser) -> None:
    new = ("x-forwarded-email", "new@example.com")
    statuses = [(await get(browser, new)).status for _ in range(FAILURES + 1)]
    assert statuses == [403] * FAILURES + [429]
    assert (await get(browser, ("x-forwarded-email", "newer@example.com"))).status == 403
    assert (await get(browser, OWN)).status == 200
    await browser.admin.edit(lambda d: save_person(d, Person(id="usr_new", email=new[1])))
    assert (await get(browser, new)).status == 200, "who is known by now"


class HangingKeys(FindsKeys):
    async def find(self, kid: str) -> str | None:
        await asyncio.Event().wait()
        return None


async def test_tokens_do_not_wait_for_the_keys_of_google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelmux.admin.callers._LONGEST_WAIT", 0.0)
    source = IapAssertion(iap.AUDIENCE, HangingKeys(), lambda: NOW / 1e6)
    one = Browser(tmp_path, proxy=ProxySignIn(source, issuer))
    signed = (iap.HEADER, iap.assertion(iap.claims(NOW / 1e6)))
    assert (await get(one, signed, authorization="Bearer token-owner")).status == 200
    assert (await get(one, signed, authorization="Bearer wrong")).status == 401
    await one.admin.aclose()
