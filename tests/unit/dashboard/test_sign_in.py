"""Risk: a link is used up by a program that looks at it, is used twice, or signs a browser in to another's session."""

from __future__ import annotations

import pytest

from modelmux.accounts.edits import set_member
from modelmux.accounts.sign_ins import OWNER, Subject
from modelmux.admin.rate_limit import FAILURES
from modelmux.config import Config
from support.admin import organisation
from support.asgi import Response
from support.dashboard import Browser, text_of
from support.log_lines import Lines


def cookie_of(response: Response) -> str:
    return response.headers["set-cookie"].partition(";")[0].partition("=")[2]


async def test_looking_at_a_link_does_not_use_it_up(browser: Browser) -> None:
    link = browser.admin.sessions.new_link(OWNER)
    for method in ("GET", "HEAD", "GET"):
        response = await browser.get(f"/dashboard/sign-in?token={link}", method)
        assert response.status == 200
        assert "set-cookie" not in response.headers
    assert "as the owner" in text_of(response.body.decode())
    response = await browser.post("/dashboard/sign-in", {"token": link}, csrf=None)
    assert (response.status, response.headers["location"]) == (303, "/dashboard")
    browser.session = cookie_of(response)
    assert "Overview" in await browser.page("/dashboard")


async def test_a_link_of_a_person_names_the_person_and_the_role(browser: Browser) -> None:
    await organisation(browser.admin)
    await browser.admin.edit(lambda d: set_member(d, "usr_own", "team_own", "team_admin"))
    link = browser.admin.sessions.new_link(Subject(person="usr_own", role="team_admin", teams=("team_own",)))
    assert "own@example.com, team admin" in await browser.page(f"/dashboard/sign-in?token={link}")


@pytest.mark.parametrize("what", ["used", "old", "changed", "empty", "long"])
async def test_a_link_that_is_not_good(browser: Browser, what: str) -> None:
    link = browser.admin.sessions.new_link(OWNER)
    if what == "used":
        assert (await browser.post("/dashboard/sign-in", {"token": link}, csrf=None)).status == 303
    if what == "old":
        browser.admin.time += 600_000_000
    link = {"changed": link[:-1] + ("a" if link[-1] != "a" else "b"), "empty": "", "long": "x" * 5000}.get(what, link)
    for response in (
        await browser.get(f"/dashboard/sign-in?token={link}"),
        await browser.post("/dashboard/sign-in", {"token": link}, csrf=None),
    ):
        assert response.status == 401
        assert "set-cookie" not in response.headers
        assert "modelmux dashboard" in text_of(response.body.decode())
        assert not link or link not in response.body.decode()


async def test_many_wrong_links_are_limited(browser: Browser) -> None:
    for _ in range(FAILURES):
        assert (await browser.get("/dashboard/sign-in?token=wrong")).status == 401
    assert (await browser.get("/dashboard/sign-in?token=wrong")).status == 429


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://127.0.0.1:8000", "sec_fetch_site": "same-site"}, {"origin": "", "sec_fetch_site": ""},
        {"origin": "null", "sec_fetch_site": ""}, {"origin": "", "sec_fetch_site": "none"},
    ],
)  # fmt: skip
async def test_another_page_signs_nobody_in(browser: Browser, headers: dict[str, str]) -> None:
    link = browser.admin.sessions.new_link(OWNER)
    response = await browser.post("/dashboard/sign-in", {"token": link}, csrf=None, **headers)
    assert response.status in (403, 415), "some are refused by the listener"
    assert (await browser.get(f"/dashboard/sign-in?token={link}")).status == 200, "it is still good"


async def test_signing_in_again_ends_the_session_before(browser: Browser) -> None:
    await browser.sign_in()
    before = browser.session
    link = browser.admin.sessions.new_link(OWNER)
    response = await browser.post("/dashboard/sign-in", {"token": link}, csrf=None)
    assert response.status == 303
    assert browser.session == before
    assert (await browser.get("/dashboard")).status == 401


async def test_over_tls_the_cookie_is_bound_to_the_host(browser: Browser) -> None:
    link = browser.admin.sessions.new_link(OWNER)
    browser.listener._check = None  # as on a public address
    browser.host = "admin.example.com"
    for origin, site in (("http://admin.example.com", ""),):
        response = await browser.post(
            "/dashboard/sign-in", {"token": link}, csrf=None, origin=origin, sec_fetch_site=site
        )
        assert response.status == 403
        assert "TLS" in response.body.decode()
    response = await browser.post("/dashboard/sign-in", {"token": link}, csrf=None, origin="https://admin.example.com")
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("__Host-modelmux_session=")
    assert cookie.endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure")


async def test_on_this_machine_the_cookie_is_plain(browser: Browser) -> None:
    link = browser.admin.sessions.new_link(OWNER)
    response = await browser.post("/dashboard/sign-in", {"token": link}, csrf=None)
    assert response.headers["set-cookie"].startswith("modelmux_session=")
    assert "Secure" not in response.headers["set-cookie"]


async def test_signing_out(browser: Browser) -> None:
    await browser.sign_in()
    assert (await browser.post("/dashboard/sign-out", csrf=None)).status == 403
    assert (await browser.get("/dashboard")).status == 200
    response = await browser.post("/dashboard/sign-out")
    assert response.status == 200
    assert "Max-Age=0" in response.headers["set-cookie"]
    response = await browser.get("/dashboard")
    assert response.status == 401
    assert "The session is over" in response.body.decode()


async def test_s7_without_a_session_a_page_says_how_to_sign_in(browser: Browser) -> None:
    for path in ("/dashboard", "/dashboard/keys", "/dashboard/nothing"):
        response = await browser.get(path)
        assert response.status == 401
        assert "modelmux dashboard" in response.body.decode()
    response = await browser.get("/dashboard/keys.json")
    assert (response.status, response.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_the_address_of_the_listener_leads_to_the_dashboard(browser: Browser) -> None:
    response = await browser.get("/")
    assert (response.status, response.headers["location"]) == (303, "/dashboard")
    assert (await browser.get("/", accept="*/*")).json()["name"] == "modelmux", "programs recognize a gateway by it"


@pytest.mark.parametrize(
    ("back", "to"),
    [
        ("/dashboard/requests?key=a&after=b", "/dashboard/requests?key=a&after=b"), ("/dashboard", "/dashboard"),
        ("https://evil.example", "/dashboard"), ("//evil.example", "/dashboard"), ("", "/dashboard"),
        ("/dashboard\\evil", "/dashboard"), ("/dashboard/\r\nset-cookie: a=b", "/dashboard"),
        ("/dashboardevil", "/dashboard"), ("/dashboard.evil.example", "/dashboard"), ("javascript:x", "/dashboard"),
    ],
)  # fmt: skip
async def test_a_choice_of_colours_leads_back_to_a_page_of_the_dashboard(browser: Browser, back: str, to: str) -> None:
    await browser.sign_in()
    response = await browser.post("/dashboard/theme", {"theme": "dark", "back": back})
    assert (response.status, response.headers["location"]) == (303, to)
    assert response.headers["set-cookie"].startswith("modelmux_theme=dark; Path=/dashboard;")
    page = (await browser.get("/dashboard", cookie=f"modelmux_session={browser.session}; modelmux_theme=dark")).body
    assert b'data-theme="dark"' in page
    evil = f'modelmux_session={browser.session}; modelmux_theme="><script>'
    assert b"<script>" not in (await browser.get("/dashboard", cookie=evil)).body


async def test_without_a_token_of_the_api_people_sign_in_and_programs_do_not(browser: Browser) -> None:
    browser.listener.serve(Config(), browser.admin.app, browser.dashboard)
    await browser.sign_in()
    assert (await browser.get("/dashboard")).status == 200
    assert (await browser.get("/admin/v1/keys")).status == 200
    await browser.sign_in(None)
    response = await browser.get("/admin/v1/keys", authorization="Bearer owner-token")
    assert response.status == 401
    assert "has no token yet" in response.json()["error"]["message"]


async def test_a_sign_in_leaves_a_line_without_addresses_and_tokens(browser: Browser) -> None:
    await organisation(browser.admin)
    log = browser.admin.app.dispatcher.log = Lines()  # type: ignore[assignment]
    for subject in (OWNER, Subject(person="usr_own", role="member")):
        link = browser.admin.sessions.new_link(subject)
        await browser.get(f"/dashboard/sign-in?token={link}")
        assert (await browser.post("/dashboard/sign-in", {"token": link}, csrf=None)).status == 303
        assert (await browser.post("/dashboard/sign-in", {"token": link}, csrf=None)).status == 401
    assert log.lines == [
        ("sign_in", {"message": "the owner signed in to the dashboard", "client": "127.0.0.1"}),
        ("sign_in", {"message": "usr_own (member) signed in to the dashboard", "client": "127.0.0.1"}),
    ]
