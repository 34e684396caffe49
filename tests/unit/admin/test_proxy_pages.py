"""Risk: a page in the browser of somebody whom the proxy signs in acts as that person."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelmux.admin.listener import AdminListener
from modelmux.admin.open_proxy_sign_in import proxy_sign_in
from modelmux.admin.operations import OPERATIONS
from modelmux.admin.rate_limit import FAILURES
from modelmux.config import Config
from modelmux.dashboard.pages import WITH_ACCOUNTS, WITHOUT_ACCOUNTS
from modelmux.store.pepper import load_pepper
from modelmux.telemetry.log import null_logger
from support.admin import organisation
from support.dashboard import Browser
from support.proxies import PROXY, SAME, send

OWN = ("x-forwarded-email", "own@example.com")
LOOPBACK = ("127.0.0.1", 1)


async def nothing() -> None:
    pass


def served(browser: Browser, listens_on: str = "0.0.0.0:3001", accounts: Any = None, **settings: Any) -> AdminListener:
    """A listener by a configuration, in which ``own`` is an owner."""
    admin = {
        "listen": listens_on, "token": "owner-token", "trusted_header": OWN[0],
        "trusted_peers": [f"{PROXY}/32", "127.0.0.1/32", "::1/128"],
        "roles": [{"email": OWN[1], "role": "owner"}],
    }  # fmt: skip
    config = Config.from_dict({"accounts": {"enabled": True} | (accounts or {}), "admin": admin | settings})
    browser.admin.app.callers._proxy = proxy_sign_in(config, browser.admin.backend, null_logger())
    one = AdminListener(listens_on.rpartition(":")[0], nothing, nothing)
    one.serve(config, browser.admin.app, browser.dashboard)
    return one


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    one = Browser(tmp_path)
    await organisation(one.admin)
    yield one
    await one.admin.aclose()


PATHS = ("/dashboard/session.json", "/dashboard", "/admin/v1/people")


@pytest.mark.parametrize("listens_on", ["0.0.0.0:3001", "[::]:3001", "10.0.0.9:3001", "127.0.0.1:3001"])
@pytest.mark.parametrize("server", [("127.0.0.1", 3001), ("::1", 3001), ("::ffff:127.0.0.1", 3001), None])
async def test_a_page_that_rebinds_its_name_is_nobody(browser: Browser, listens_on: str, server: Any) -> None:
    one = served(browser, listens_on)
    for path in PATHS:
        response = await send(one, "GET", path, OWN, client=LOOPBACK, server=server, host="evil.example:3001")
        assert response.status == 421, path
        assert "admin.allowed_hosts" in response.body.decode()
        assert (await send(one, "GET", path, OWN, client=LOOPBACK, server=server)).status == 200


async def test_a_proxy_on_this_machine_has_its_name_in_the_configuration(browser: Browser) -> None:
    for listens_on in ("0.0.0.0:3001", "127.0.0.1:3001"):
        one = served(browser, listens_on, allowed_hosts=["admin.example"])
        for host, status in (("admin.example", 200), ("ADMIN.example:443", 200), ("x.admin.example", 421)):
            assert (await send(one, "GET", PATHS[0], OWN, client=LOOPBACK, host=host)).status == status


async def test_elsewhere_than_on_loopback_any_name_is_that_of_the_proxy(browser: Browser) -> None:
    one = served(browser)
    response = await send(one, "GET", PATHS[0], OWN, server=("10.0.0.9", 3001), host="admin.example")
    assert response.json()["role"] == "owner"


async def test_a_token_is_good_under_any_name_of_a_public_listener(browser: Browser) -> None:
    headers = {"authorization": "Bearer token-owner", "host": "admin.example"}
    for sent in ((), (OWN,)):
        response = await send(served(browser), "GET", PATHS[2], *sent, client=LOOPBACK, **headers)
        assert response.status == 200, "no page knows it"


#: What a browser sends where a page of another site leads to an address, and where it asks by itself.
FOLLOWED = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document", "accept": "text/html"}
ASKED = (
    {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"},
    {"sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"},
    {"sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}, {"sec_fetch_dest": "document"}, {},
)  # fmt: skip
READS = [f"/admin/v1{re.sub(r'{.*?}', 'usr_own', one.path)}" for one in OPERATIONS if one.method == "GET"]
LOGGED = ["/dashboard/requests/req_x/bodies"]
FILES = [one.path for one in WITH_ACCOUNTS.downloads]
PAGES = sorted({re.sub(r"{.*?}", "usr_own", one.path) for one in WITH_ACCOUNTS.pages} - {
    "/dashboard/requests/usr_own/bodies"
})  # fmt: skip


def test_bodies_are_read_by_the_pages_that_say_so() -> None:
    for tables in (WITH_ACCOUNTS, WITHOUT_ACCOUNTS):
        assert [one.path for one in tables.pages if one.is_logged] == ["/dashboard/requests/{id}/bodies"]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "odd"])
async def test_a_page_of_another_site_reads_nothing(browser: Browser, site: str) -> None:
    one = served(browser)
    for path in [*READS, *LOGGED, *FILES, *PAGES, "/dashboard.json", "/dashboard/requests/req_x.json"]:
        for sent in (*ASKED, *([] if path in PAGES else [FOLLOWED])):
            response = await send(one, "GET", path, OWN, sec_fetch_site=site, **sent)
            assert response.status == 403, (path, sent)
            assert "A page of another site asks" in response.body.decode()
    assert (await browser.admin.ok("GET", "/audit"))["data"][0]["author"] == "test", "no row of who was made to read"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_link_of_another_site_leads_to_a_page(browser: Browser, site: str) -> None:
    one = served(browser)
    for path in PAGES:
        assert (await send(one, "GET", path, OWN, sec_fetch_site=site, **FOLLOWED)).status in (200, 404), path
    for second in ("sec-fetch-mode", "sec-fetch-dest"):
        response = await send(one, "GET", PAGES[0], OWN, (second, "x"), sec_fetch_site=site, **FOLLOWED)
        assert response.status == 403


@pytest.mark.parametrize("site", ["same-origin", "none", None])
async def test_pages_of_the_dashboard_and_programs_read(browser: Browser, site: str | None) -> None:
    named = {} if site is None else {"sec_fetch_site": site}
    for path in ("/admin/v1/people", "/dashboard/costs.csv", "/dashboard"):
        assert (await send(served(browser), "GET", path, OWN, **named)).status == 200, path


async def test_tokens_and_sessions_read_whatever_the_browser_says(browser: Browser) -> None:
    for headers in (
        {"authorization": "Bearer token-owner"},
        {"cookie": f"modelmux_session={await browser.admin.session()}"},  # which browsers send to its own pages alone
    ):
        response = await send(served(browser), "GET", "/admin/v1/people", OWN, sec_fetch_site="cross-site", **headers)
        assert response.status == 200


async def test_images_of_another_site_are_no_wrong_links_of_their_visitor(browser: Browser) -> None:
    one = served(browser)
    for _ in range(FAILURES + 1):
        response = await send(one, "GET", "/dashboard/sign-in", OWN, sec_fetch_site="cross-site", **ASKED[0])
        assert response.status == 403
    response = await send(one, "GET", "/dashboard/sign-in", OWN, sec_fetch_site="cross-site", **FOLLOWED)
    assert response.status == 401, "a link of a message"


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_who_looks_at_pages_makes_no_pepper(browser: Browser, tmp_path: Path) -> None:
    one = served(browser, accounts={"store": f"sqlite:{tmp_path}/accounts.db"})
    there = names_in(tmp_path)
    for path in (*PATHS, "/dashboard/keys"):
        assert (await send(one, "GET", path, OWN)).status == 200
    token = (await send(one, "GET", "/dashboard/session.json", OWN)).json()["csrf_token"]
    assert names_in(tmp_path) - there <= {"accounts.db-journal", "accounts.db-wal", "accounts.db-shm"}
    sent = [OWN, *SAME.items(), ("x-csrf-token", token)]
    load_pepper(tmp_path / "accounts.db")
    response = await send(one, "POST", "/admin/v1/teams", *sent, body={"name": "new"})
    assert response.status == 201, "the page of before there was one"
    assert (await send(one, "GET", "/dashboard/session.json", OWN)).json()["csrf_token"] != token
