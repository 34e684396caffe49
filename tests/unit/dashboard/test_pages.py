"""Risk: a page shows or does what the API would refuse, a form is sent by another page, or text of others runs."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from html import unescape
from typing import Any

import pytest

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.budget_edits import adjust
from modelmux.accounts.edits import save_key, save_person, save_team, set_member
from modelmux.accounts.records import Key, Person, Team
from modelmux.accounts.roles import PERMISSIONS
from modelmux.accounts.uuid7 import format_id
from modelmux.admin.sessions import csrf_of
from modelmux.dashboard.assets import assets
from modelmux.dashboard.pages import ACTIONS, DOWNLOADS, PAGES
from modelmux.dashboard.response import POLICY
from modelmux.store.base import StoreFailed
from support.admin import Admin, live_request, organisation
from support.captures import keep_with_record
from support.dashboard import FORM, Browser, text_of
from support.directories import NOW
from support.entries import entry
from support.foreign_text import NASTY, assert_harmless
from support.log_lines import Lines

POSTS = [*(one.path for one in ACTIONS), "/dashboard/sign-out", "/dashboard/theme"]
POLICY_OF_THE_SPECIFICATION = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
QUESTION = {"api": "chat", "model": "claude-sonnet-5-5", "message": "Hi"}


def at(path: str, id: str = "key_own") -> str:
    return path.replace("{id}", id)


async def some_budget(admin: Admin) -> str:
    made = await admin.ok("POST", "/budgets", {"limit": "5", "name": "own", "applies_to": {"team": "team_own"}})
    id: str = made["id"]
    return id


async def paths_of_everything(browser: Browser) -> list[str]:
    """Each page, with records that there are."""
    await organisation(browser.admin)
    one = entry(NOW - 1, key="key_own", team="team_top/team_own", person="usr_own")
    await browser.admin.ledger.append([one])  # type: ignore[attr-defined]
    request = (await browser.admin.ok("GET", "/requests"))["data"][0]["id"]
    browser.admin.live = {1: [live_request("live_1_a_1")]}
    ids = {"requests": request, "live": "live_1_a_1", "keys": "key_own", "budgets": await some_budget(browser.admin)}
    return [at(page.path, ids.get(page.path.split("/")[2], "") if "{id}" in page.path else "") for page in PAGES]


async def test_every_response_has_the_headers(browser: Browser) -> None:
    assert POLICY.decode() == POLICY_OF_THE_SPECIFICATION
    paths = await paths_of_everything(browser)
    statics = [f"/dashboard/static/{name}" for name in assets()]
    others = ["/dashboard/nothing", "/dashboard/keys/key_x", "/dashboard/static/x", "/", "/dashboard/sign-in?token=x"]
    for session in (None, "owner"):
        if session is not None:
            await browser.sign_in()
        for path in [*paths, *[f"{path}.json" for path in paths], *statics, *others]:
            response = await browser.get(path)
            headers = response.headers
            assert headers["content-security-policy"] == POLICY_OF_THE_SPECIFICATION, path
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert (headers["cache-control"] == "no-store") == (path not in statics or response.status != 200)
            assert headers["content-length"] == str(len(response.body))
            assert session is None or response.status == (404 if path in others[:3] else headers_status(path)), path
    for file in DOWNLOADS:
        headers = (await browser.get(file.path)).headers
        assert headers["content-security-policy"] == POLICY_OF_THE_SPECIFICATION
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert headers["content-disposition"].startswith("attachment;")
    for path in POSTS:
        assert "content-security-policy" in (await browser.post(at(path), csrf=None)).headers


def headers_status(path: str) -> int:
    return {"/": 303, "/dashboard/sign-in?token=x": 401}.get(path, 200)


async def test_nothing_is_inline_and_nothing_is_of_another_origin(browser: Browser) -> None:
    paths = await paths_of_everything(browser)
    await browser.sign_in()
    for path in paths:
        html = await browser.page(path)
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html), path
        assert all(re.search(r'src="/dashboard/static/', tag) for tag in re.findall(r"<script[^>]*>", html))
        for target in re.findall(r'(?:href|src|action)="([^"]*)"', html):
            assert target.startswith(("/dashboard", "#")), (path, target)
        for name in re.findall(r"/dashboard/static/([^?\"]*)", html):
            assert (await browser.get(f"/dashboard/static/{name}")).status == 200
    script = assets()["app.js"].content.decode()
    assert not re.search(r"eval|Function\(|innerHTML|insertAdjacentHTML|document\.write", script)


async def test_every_page_is_json_too(browser: Browser) -> None:
    paths = await paths_of_everything(browser)
    await browser.sign_in()
    for path in paths:
        data = (await browser.get(f"{path}.json")).json()
        assert isinstance(data, dict)
        response = await browser.get(path, accept="application/json")
        assert response.headers["content-type"] == "application/json"
        assert response.json().keys() == data.keys()
        head = await browser.get(path, "HEAD")
        assert (head.status, head.body) == (200, b"")


async def test_a_token_of_the_api_reads_pages_and_sends_forms(browser: Browser) -> None:
    await organisation(browser.admin)
    response = await browser.get("/dashboard/keys.json", authorization="Bearer token-team_admin")
    assert {one["name"] for one in response.json()["data"]} == {"own", "service", "low"}
    assert (await browser.get("/dashboard/keys.json", authorization="Bearer token-viewer")).status == 403


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("csrf", "headers"),
    [
        (None, {}), ("wrong", {}), ("of another", {}),
        ("", {"origin": "http://127.0.0.1:8000", "sec_fetch_site": "same-site"}),
        ("", {"origin": "", "sec_fetch_site": ""}), ("", {"origin": "null", "sec_fetch_site": ""}),
        ("", {"origin": "http://127.0.0.1:3001", "sec_fetch_site": "cross-site"}),
    ],
)  # fmt: skip
async def test_a_form_of_another_page_does_nothing(
    browser: Browser, path: str, csrf: str | None, headers: dict[str, str]
) -> None:
    await organisation(browser.admin)
    path = at(path, await some_budget(browser.admin) if "budgets" in path else "key_own")
    await browser.sign_in()
    before = (await browser.admin.directory()).version
    form = {"name": "new", "amount": "5", "sure": "yes", "theme": "dark", **QUESTION}
    wrong = csrf_of(await browser.admin.session()) if csrf == "of another" else csrf
    response = await browser.post(path, form, csrf=wrong, **headers)
    assert response.status in (403, 415), "some are refused by the listener"
    assert (await browser.admin.directory()).version == before
    assert (await browser.get("/dashboard")).status == 200, "the session goes on"
    assert "set-cookie" not in response.headers
    assert (await browser.post(path, form)).status in (200, 303), "the same form of our own page is taken"


@pytest.mark.parametrize("path", POSTS)
async def test_a_form_without_a_session_does_nothing(browser: Browser, path: str) -> None:
    await organisation(browser.admin)
    before = (await browser.admin.directory()).version
    assert (await browser.post(at(path), {"name": "new"})).status == 401
    assert (await browser.admin.directory()).version == before


async def test_pages_do_not_change_anything(browser: Browser) -> None:
    paths = await paths_of_everything(browser)
    await browser.sign_in()
    before = (await browser.admin.directory()).version
    for path in [*paths, *map(at, POSTS)]:
        await browser.get(path + "?name=new&sure=yes")
    assert (await browser.admin.directory()).version == before
    for path in {*POSTS} - {page.path for page in PAGES}:
        assert (await browser.get(at(path))).status in (404, 405)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
async def test_only_forms_are_read(browser: Browser, kind: str) -> None:
    await browser.sign_in()
    assert (await browser.post("/dashboard/keys", {"name": "n"}, content_type=kind)).status == 415


@pytest.mark.parametrize("role", list(PERMISSIONS))
async def test_a_role_sees_its_pages_and_no_others(browser: Browser, role: Any) -> None:
    await paths_of_everything(browser)
    for page in PAGES:
        path = at(page.path)
        response = await browser.get(f"{path}.json", authorization=f"Bearer token-{role}")
        if page.permission in PERMISSIONS[role]:
            assert response.status in (200, 404), (path, response.body)
        else:
            assert (response.status, response.json()["error"]["code"]) == (403, "role_not_allowed")
    for file in DOWNLOADS:
        response = await browser.get(file.path, authorization=f"Bearer token-{role}")
        assert response.status == (200 if file.permission in PERMISSIONS[role] else 403)
    assert (await browser.get(DOWNLOADS[0].path)).status == 401, "without a token"
    for action in ACTIONS:
        response = await browser.post(
            at(action.path), {"name": "n", "amount": "1"}, authorization=f"Bearer token-{role}"
        )
        assert (response.status == 403) == (action.permission not in PERMISSIONS[role]), action.path
    html = (await browser.get("/dashboard", authorization=f"Bearer token-{role}")).body.decode()
    shown = {page.path for page in PAGES if page.nav and f'<a href="{page.path}"' in html}
    assert shown >= {page.path for page in PAGES if page.nav and page.permission in PERMISSIONS[role]} - {"/dashboard"}
    assert role != "viewer" or "/dashboard/keys" not in html


async def test_a_member_sees_its_own_only(browser: Browser) -> None:
    await organisation(browser.admin)
    await browser.admin.ledger.append([  # type: ignore[attr-defined]
        entry(NOW - 1, key="key_own", team="team_top/team_own", person="usr_own"),
        entry(NOW - 1, key="key_other", team="team_top/team_other", person="usr_other"),
    ])  # fmt: skip
    await browser.sign_in_person("usr_own", "member")
    assert [one["name"] for one in (await browser.data("/dashboard/keys"))["data"]] == ["own"]
    assert [one["key"] for one in (await browser.data("/dashboard/requests"))["data"]] == ["key_own"]
    assert (await browser.data("/dashboard"))["total"]["requests"] == 1
    for path in (
        "/dashboard",
        "/dashboard/keys",
        "/dashboard/keys/key_own",
        "/dashboard/requests",
        "/dashboard/budgets",
        "/dashboard/costs",
    ):
        html = await browser.page(path)
        assert "other" not in text_of(html).replace("others", "").replace("each other", ""), path
        assert "Create a key" not in html
    assert (await browser.get("/dashboard/keys/key_other")).status == 404
    assert (await browser.post("/dashboard/keys", {"name": "n"})).status == 403
    assert (await browser.post("/dashboard/keys/key_other/revoke", {"sure": "yes"})).status == 404
    assert (await browser.post("/dashboard/keys/key_own/rotate", {"grace": "0"})).status == 200


@pytest.mark.parametrize("text", NASTY)
async def test_s13_text_of_others_is_shown_and_does_not_run(browser: Browser, text: str) -> None:
    """Names, tags, models and errors: whatever a client or another admin wrote."""
    admin = browser.admin
    name = text.replace("\u2028", "")
    await admin.edit(lambda d: save_team(d, Team(id="team_x", name=name, contact=name)))
    await admin.edit(lambda d: save_person(d, Person(id="usr_x", email="x@example.com", name=name)))
    await admin.edit(lambda d: save_key(
        d, Key(id="key_x", name=name, team="team_x", person="usr_x", created=NOW, expires=NOW + 10**9)
    ))  # fmt: skip
    budget = await admin.ok("POST", "/budgets", {"name": name, "limit": "1", "applies_to": {"team": "team_x"}})
    await admin.edit(lambda d: adjust(d, Adjustment(
        id="adj_x", budget=budget["id"], kind="top_up", amount=1, reason=name, author="x", created=NOW
    )))  # fmt: skip
    one = entry(
        NOW - 1, key="key_x", team="team_x", person="usr_x", model=text, requested=text, tags=(("app", text),),
        end_user=text, code=text, agent=text, app=text, client_request_id=text, upstream_id=text, trace_id=text,
        deployment=text, outcome="upstream_error",
    )  # fmt: skip
    await admin.ledger.append([one])  # type: ignore[attr-defined]
    request = (await admin.ok("GET", "/requests"))["data"][0]["id"]
    keep_with_record(admin.path.parent, NOW - 1, request, text.encode())
    await browser.sign_in()
    for path in (
        "/dashboard", "/dashboard/requests", f"/dashboard/requests/{request}", "/dashboard/keys",
        f"/dashboard/requests/{request}/bodies",
        "/dashboard/keys/key_x", "/dashboard/budgets", f"/dashboard/budgets/{budget['id']}",
        *(f"/dashboard/costs?by={by}" for by in ("team", "key", "person", "model", "tag:app")),
    ):  # fmt: skip
        html = await browser.page(path)
        assert_harmless(html, text)
        assert name in unescape(html).replace("\u2028", "") or path.endswith("by=person"), path
    await browser.sign_in_person("usr_x", "member")
    assert_harmless(await browser.page("/dashboard/session"), text)


@pytest.mark.parametrize("text", NASTY)
async def test_what_was_sent_is_shown_again_and_does_not_run(browser: Browser, text: str) -> None:
    from urllib.parse import urlencode

    await browser.sign_in()
    for name in ("key", "model", "outcome", "tag", "start", "min_cost", "after", text):
        response = await browser.get(f"/dashboard/requests?{urlencode({name: text})}")
        assert_harmless(response.body.decode(), text)
    for name in ("by", "bucket", "zone", "start", "key", "tag", text):
        assert_harmless((await browser.get(f"/dashboard/costs?{urlencode({name: text})}")).body.decode(), text)
    form = {"name": "", "team": text, "models": text, "rpm": text, "expires": text, "limit": text, "window": text}
    response = await browser.post("/dashboard/keys", form)
    assert response.status == 400
    assert_harmless(response.body.decode(), text)
    assert "Not done." in response.body.decode()
    for path in (f"/dashboard/{urlencode({'': text})[1:]}", f"/dashboard/keys/{urlencode({'': text})[1:]}"):
        assert_harmless((await browser.get(path)).body.decode(), text)


async def test_a_new_key_is_shown_once(browser: Browser) -> None:
    await organisation(browser.admin)
    await browser.sign_in()
    form = {"name": "new", "team": "team_own", "models": "claude-sonnet-*, x", "rpm": "60", "expires": "2027-01-01",
            "limit": "5", "window": "day"}  # fmt: skip
    response = await browser.post("/dashboard/keys", form)
    assert response.status == 200, response.body
    assert response.headers["cache-control"] == "no-store"
    (secret,) = set(re.findall(r"sk-mmx-[A-Za-z0-9]{49}", response.body.decode()))
    key = next(one for one in (await browser.data("/dashboard/keys"))["data"] if one["name"] == "new")
    assert (key["models"], key["limits"], key["team_name"]) == (["claude-sonnet-*", "x"], {"rpm": 60}, "own")
    assert key["tightest_budget"]["limit"] == "5"
    for path in ("/dashboard/keys", f"/dashboard/keys/{key['id']}"):
        assert secret not in await browser.page(path)
    assert secret not in "".join(str(one) for one in (await browser.admin.ok("GET", "/audit"))["data"])


async def test_a_key_whose_budget_is_refused_is_shown_nevertheless(browser: Browser) -> None:
    await browser.sign_in()
    response = await browser.post("/dashboard/keys", {"name": "new", "limit": "much"})
    assert response.status == 200
    assert re.search(r"sk-mmx-[A-Za-z0-9]{49}", response.body.decode())
    assert "no budget of its own" in response.body.decode()


async def test_what_cannot_be_done_is_said_with_what_was_entered(browser: Browser) -> None:
    await organisation(browser.admin)
    await browser.sign_in()
    response = await browser.post("/dashboard/keys", {"name": "own", "models": "canary"})
    assert response.status == 409
    html = response.body.decode()
    assert 'role="alert"' in html
    assert 'value="canary"' in html
    response = await browser.post("/dashboard/keys/key_own/rotate", {"grace": "soon"})
    assert response.status == 400
    assert "grace" in text_of(response.body.decode())


async def test_what_leads_on_from_the_answer_to_a_form_is_a_page(browser: Browser) -> None:
    await organisation(browser.admin)
    budget = await some_budget(browser.admin)
    await browser.sign_in()
    forms = {
        "/dashboard/keys/key_own/rotate": ({"grace": "soon"}, {"grace": "0"}),
        "/dashboard/keys": ({}, {"name": "n"}),
    }
    forms |= {f"/dashboard/budgets/{budget}/top-up": ({"amount": "x"},)}
    for path, sent in forms.items():
        for form in sent:
            html = (await browser.post(path, form)).body.decode()
            (back,) = re.findall(r'name="back" value="([^"]*)"', html)
            (program,) = re.findall(r'<a href="([^"]*)">This page as JSON', html)
            for one in (back, program):
                assert (await browser.get(one)).status == 200, (path, form, one)
            colours = await browser.post("/dashboard/theme", {"theme": "dark", "back": back})
            assert colours.headers["location"] == back != "/dashboard"


async def test_rotating_and_revoking(browser: Browser) -> None:
    await browser.sign_in()
    response = await browser.post("/dashboard/keys", {"name": "new"})
    key = (await browser.data("/dashboard/keys"))["data"][0]["id"]
    rotated = await browser.post(f"/dashboard/keys/{key}/rotate", {"grace": "1"})
    secrets = [re.findall(r"sk-mmx-[A-Za-z0-9]{49}", one.body.decode())[0] for one in (response, rotated)]
    assert secrets[0] != secrets[1]
    assert len((await browser.data(f"/dashboard/keys/{key}"))["key"]["secrets"]) == 2
    response = await browser.post(f"/dashboard/keys/{key}/revoke", {"sure": "yes"})
    assert (response.status, response.headers["location"]) == (303, f"/dashboard/keys/{key}")
    html = await browser.page(f"/dashboard/keys/{key}")
    assert "revoked" in html
    assert "Rotate" not in html


async def test_a_top_up(browser: Browser) -> None:
    await organisation(browser.admin)
    budget = await some_budget(browser.admin)
    await browser.sign_in()
    response = await browser.post(f"/dashboard/budgets/{budget}/top-up", {"amount": "2.5", "reason": "more"})
    assert response.status == 303
    data = (await browser.data(f"/dashboard/budgets/{budget}"))["budget"]
    assert (data["windows"][0]["limit"], data["adjustments"][0]["reason"]) == ("7.5", "more")
    assert "$7.50" in text_of(await browser.page(f"/dashboard/budgets/{budget}"))
    html = await browser.page(f"/dashboard/budgets/{budget}")
    (once,) = re.findall(r'name="once" value="(form_[^"]*)"', html)
    for _ in range(2):  # a double click
        form = {"amount": "1", "reason": "again", "once": once}
        assert (await browser.post(f"/dashboard/budgets/{budget}/top-up", form)).status == 303
    data = (await browser.data(f"/dashboard/budgets/{budget}"))["budget"]
    assert data["windows"][0]["limit"] == "8.5"
    response = await browser.post(f"/dashboard/budgets/{budget}/top-up", {"amount": "x", "reason": "kept"})
    assert response.status == 400
    assert 'value="kept"' in response.body.decode()


async def test_the_admin_of_a_team_tops_up_what_is_below_it_and_not_what_limits_it(browser: Browser) -> None:
    await organisation(browser.admin)
    of_team, below = await some_budget(browser.admin), {"limit": "5", "name": "low", "applies_to": {"key": "key_own"}}
    of_key = (await browser.admin.ok("POST", "/budgets", below))["id"]
    await browser.admin.edit(lambda d: set_member(d, "usr_own", "team_own", "team_admin"))
    await browser.sign_in_person("usr_own", "team_admin")
    for budget, status in ((of_team, 404), (of_key, 303)):
        html = await browser.page(f"/dashboard/budgets/{budget}")
        assert ("/top-up" in html) == (status == 303)
        assert (await browser.post(f"/dashboard/budgets/{budget}/top-up", {"amount": "1"})).status == status


async def test_requests_are_filtered_by_the_address(browser: Browser) -> None:
    await organisation(browser.admin)
    await browser.admin.ledger.append(  # type: ignore[attr-defined]
        [entry(NOW - 1000 * number, key="key_own", code=f"c{number}") for number in range(1, 61)]
        + [entry(NOW - 99, key="key_low", outcome="client_gone")]
    )
    await browser.sign_in()
    first = await browser.data("/dashboard/requests?key=own&outcome=")
    assert (len(first["data"]), first["has_more"], first["filters"]) == (50, True, {"key": "own"})
    html = await browser.page("/dashboard/requests?key=own&outcome=")
    (older,) = re.findall(r'rel="next" href="([^"]*)"', html)
    second = await browser.data(unescape(older))
    assert (len(second["data"]), second["has_more"]) == (10, False)
    assert len({one["id"] for one in first["data"] + second["data"]}) == 60
    assert len((await browser.data("/dashboard/requests?outcome=client_gone"))["data"]) == 1
    html = await browser.page("/dashboard/requests?min_cost=much")
    assert "min_cost" in text_of(html)
    assert 'value="much"' in html


async def test_filters_of_keys_that_cannot_be_used_are_said(browser: Browser) -> None:
    await organisation(browser.admin)
    await browser.sign_in()
    assert [one["name"] for one in (await browser.data("/dashboard/keys?team=low"))["data"]] == ["low"]
    for query in ("team=nothing", "person=nobody@example.com", "status=odd", "after=%00"):
        html = await browser.page(f"/dashboard/keys?{query}")
        assert ('role="alert"' in html) == (not query.startswith("after"))


async def test_many_teams_are_named_and_not_listed(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    await organisation(browser.admin)
    await browser.sign_in()
    assert '<select name="team">' in await browser.page("/dashboard/keys")
    monkeypatch.setattr("modelmux.dashboard.keys._MOST_CHOICES", "1")
    html = await browser.page("/dashboard/keys")
    assert '<select name="team">' not in html
    assert (await browser.post("/dashboard/keys", {"name": "n", "team": "low"})).status == 200


async def test_the_overview_adds_up_a_day(browser: Browser) -> None:
    await organisation(browser.admin)
    hour = 3_600_000_000
    await browser.admin.ledger.append([  # type: ignore[attr-defined]
        entry(NOW - hour, key="key_own", team="team_top/team_own"),
        entry(NOW - 2 * hour, key="key_own", team="team_top/team_own", outcome="upstream_error", status=502),
        entry(NOW - 30 * hour, key="key_own", team="team_top/team_own"),
    ])  # fmt: skip
    await browser.admin.edit(
        lambda d: save_key(d, Key(id="key_soon", name="soon", created=NOW, expires=NOW + 50 * hour))
    )
    budget = await some_budget(browser.admin)
    await browser.sign_in()
    data = await browser.data("/dashboard")
    assert (data["total"]["requests"], data["before"]["requests"], len(data["hours"])) == (2, 1, 24)
    assert sum(one["requests"] for one in data["hours"]) == 2
    assert [one["team_name"] for one in data["teams"]] == ["own"]
    assert [one["text"] for one in data["attention"]] == ["Key soon expires in 2 days"]
    assert budget
    html = await browser.page("/dashboard")
    (costs,) = re.findall(r'href="(/dashboard/costs\?[^"]*)"', html)
    assert (await browser.data(unescape(costs)))["total"]["cost"] == data["teams"][0]["cost"]
    text = text_of(html)
    assert "2 requests in 24 hours" not in text, "it is the label of the drawing"
    assert "Key soon expires in 2 days" in text


async def test_an_empty_dashboard_says_how_to_begin(browser: Browser) -> None:
    await browser.sign_in()
    text = text_of(await browser.page("/dashboard"))
    assert "Three steps" in text
    assert "Create a key" in text
    assert 'base_url="http://127.0.0.1:3000/v1"' in text
    await browser.sign_in(None)
    text = text_of((await browser.get("/dashboard", authorization="Bearer token-member")).body.decode())
    assert "Three steps" not in text, "a member creates no keys"
    html = (await browser.get("/dashboard", authorization="Bearer token-auditor")).body.decode()
    assert "Your role sees no usage" in html


async def test_after_the_first_request_a_quiet_day_has_no_steps(browser: Browser) -> None:
    await browser.admin.ledger.append([entry(NOW - 9 * 86_400_000_000)])  # type: ignore[attr-defined]
    await browser.sign_in()
    assert (await browser.data("/dashboard"))["first_start"] is None
    assert "Three steps" not in await browser.page("/dashboard")


async def test_a_store_that_fails_is_an_error_page_without_details(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_in()

    async def fail(*args: Any) -> None:
        raise KeyError("canary")

    monkeypatch.setattr(browser.admin.ledger, "usage", fail)
    response = await browser.get("/dashboard")
    assert response.status == 500
    assert b"canary" not in response.body
    assert response.headers["x-request-id"] in response.body.decode()


async def test_an_action_that_fails_is_an_error_page_and_one_line(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await organisation(browser.admin)
    await browser.sign_in()
    log = browser.admin.app.dispatcher.log = Lines()  # type: ignore[assignment]

    async def fail(*args: Any) -> None:
        raise StoreFailed("canary")

    monkeypatch.setattr(browser.admin.store, "change", fail)
    response = await browser.post("/dashboard/keys/key_own/revoke", {"sure": "yes"})
    assert response.status == 503
    assert b"canary" not in response.body
    assert [event for event, _ in log.lines] == ["accounts"]
    assert log.lines[0][1]["request_id"] == response.headers["x-request-id"]


async def test_concurrent_visits_do_not_mix(browser: Browser) -> None:
    await organisation(browser.admin)
    pages = await asyncio.gather(*(
        browser.get("/dashboard/keys.json", authorization=f"Bearer token-{role}")
        for role in ("member", "owner", "team_admin") * 5
    ))  # fmt: skip
    assert [len(one.json()["data"]) for one in pages] == [1, 6, 3] * 5


async def test_members_become_team_admins(browser: Browser) -> None:
    await organisation(browser.admin)
    await browser.admin.edit(lambda d: set_member(d, "usr_own", "team_own", "team_admin"))
    await browser.sign_in_person("usr_own", "team_admin")
    response = await browser.post("/dashboard/keys", {"name": "n", "team": "team_low"})
    assert response.status == 200
    response = await browser.post("/dashboard/keys", {"name": "m", "team": "team_top"})
    assert response.status == 400
    assert FORM


async def test_a_request_links_to_its_trace_where_traces_are_shown(browser: Browser) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    rows = [entry(NOW, trace_id=trace), entry(NOW - 1000)]
    await browser.admin.ledger.append(rows)
    await browser.sign_in()
    with_trace, without = (f"/dashboard/requests/{format_id(row.id)}" for row in rows)
    assert 'href="https:' not in await browser.page(with_trace)
    url = "https://traces.example.com/t/{trace_id}?x=1&y"
    browser.dashboard._site = dataclasses.replace(browser.dashboard._site, trace_url=url)
    assert f'href="https://traces.example.com/t/{trace}?x=1&amp;y" rel="noreferrer"' in await browser.page(with_trace)
    assert (await browser.data(with_trace))["trace_url"] == f"https://traces.example.com/t/{trace}?x=1&y"
    assert "traces.example.com" not in await browser.page(without)
