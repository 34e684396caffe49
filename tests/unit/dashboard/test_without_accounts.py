"""The dashboard of a gateway without accounts.

Risk: a page of it reads a store that there is not, leads to pages that are not there, or says nothing of what is
missing and how to get it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelmux.dashboard.pages import ACTIONS, DOWNLOADS, PAGES, WITHOUT_ACCOUNTS
from modelmux.telemetry.counted import Counted, Labelled, RouteCounts, TokenSums
from modelmux.telemetry.quantiles import Latency, Quantile, Times
from support.admin import live_request
from support.captures import keep_with_record
from support.dashboard import Browser, text_of
from support.directories import NOW
from support.foreign_text import NASTY, assert_harmless
from support.traces import trace, write

TIMES = Times(
    count=40, p50=Quantile(seconds=0.5, more_than=False), p95=Quantile(seconds=600.0, more_than=True)
)  # fmt: skip
#: Of a client.
TEXT = NASTY[1]
#: Not in the table of pages without accounts.
OF_ACCOUNTS = [
    "/dashboard/keys", "/dashboard/keys/key_1", "/dashboard/budgets", "/dashboard/costs", "/dashboard/costs.csv",
    "/dashboard/settings/people", "/dashboard/settings/audit",
]  # fmt: skip


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Browser]:
    browser = Browser(tmp_path, {"enabled": False})
    await browser.sign_in()
    yield browser
    await browser.admin.aclose()


def some(requests: int = 40) -> Counted:
    fast = RouteCounts(
        route=TEXT, requests=requests, errors=30, request=TIMES, first_content=None,
        tokens=TokenSums(input=1_000_000, cache_read=3_000_000, output=20_000),
    )  # fmt: skip
    return Counted(
        requests=requests, errors=30, queued=2, latency=Latency(request=TIMES), tokens=fast.tokens, routes=(fast,),
        error_responses=(Labelled(name=f"429 {TEXT}", count=30),), attempts=(Labelled(name="a@global ok", count=10),),
    )  # fmt: skip


async def test_the_overview_shows_what_the_processes_have_counted(plain: Browser) -> None:
    plain.admin.counted = some()
    html = await plain.page("/dashboard")
    assert_harmless(html, TEXT)
    text = text_of(html)
    assert "Requests 40 0 running now, 2 waiting" in text
    assert "Errors 75.0 % 30 requests" in text
    assert "Duration 500 ms median; p95 more than 600 s" in text
    assert "First content after – nothing was measured yet" in text
    assert "Tokens 4.0M in, 20.0k out" in text
    assert "75 % of requests failed" in text
    assert "No request yet" not in text
    data = await plain.data("/dashboard")
    assert data["counted"]["requests"] == 40


async def test_before_the_first_request_it_says_how_to_send_one(plain: Browser) -> None:
    text = text_of(await plain.page("/dashboard"))
    assert "No request yet" in text
    assert "http://127.0.0.1:3000" in text
    assert "asks for no key" in text


async def test_who_sees_no_status_is_told(plain: Browser) -> None:
    plain.session = None
    response = await plain.get("/dashboard", authorization="Bearer token-auditor")
    assert "Your role sees no numbers" in text_of(response.body.decode())


async def test_the_navigation_has_only_what_is_there(plain: Browser) -> None:
    html = await plain.page("/dashboard")
    shown = re.findall(r"<li><a href=\"([^\"]*)\"", html.partition("<nav")[2].partition("</nav>")[0])
    assert [path.removeprefix("/dashboard") for path in shown] == [
        "", "/live", "/requests", "/models", "/playground", "/settings"
    ]  # fmt: skip


def test_what_is_of_accounts_is_complete() -> None:
    there = {one.path for one in WITHOUT_ACCOUNTS.pages} | {one.path for one in WITHOUT_ACCOUNTS.actions}
    paths = {one.path for one in PAGES} | {one.path for one in ACTIONS} | {one.path for one in DOWNLOADS}
    for path in paths - there:
        assert any(re.fullmatch(re.sub(r"\{id\}", "[^/]+", path), one) for one in OF_ACCOUNTS) or path.startswith(
            ("/dashboard/keys", "/dashboard/budgets")
        ), path
    assert there <= paths


@pytest.mark.parametrize("path", OF_ACCOUNTS)
async def test_a_page_of_accounts_says_what_to_set(plain: Browser, path: str) -> None:
    response = await plain.get(path)
    text = text_of(response.body.decode())
    assert response.status == 404
    assert "[accounts] enabled = true" in text
    assert "docs/accounts.md" in text
    assert "Playground" in text, "it has the navigation"
    program = await plain.get(f"{path}.json", accept="application/json")
    assert (program.status, program.json()["error"]["code"]) == (404, "accounts_off")


async def test_strangers_are_asked_to_sign_in_first(plain: Browser) -> None:
    plain.session = None
    assert (await plain.get("/dashboard/keys")).status == 401
    assert (await plain.post("/dashboard/keys")).status == 401


async def test_a_form_of_accounts_does_nothing(plain: Browser) -> None:
    response = await plain.post("/dashboard/keys", {"name": "a"})
    assert response.status == 404
    assert "needs accounts" in text_of(response.body.decode())


async def test_running_and_ended_requests(plain: Browser, tmp_path: Path) -> None:
    plain.admin.live = {1: [live_request("live_1_a_1", key="", person=None, team="", requested_model=TEXT)]}
    write(tmp_path / "traces.db", [trace(1, requested="mine", outcome="upstream_error", code="overloaded")], NOW)
    html = await plain.page("/dashboard/live")
    assert_harmless(html, TEXT)
    text = text_of(html)
    assert "Running: 1" in text
    assert "overloaded" in text
    assert "Team" not in text
    assert "Key" not in text
    one = text_of(await plain.page("/dashboard/live/live_1_a_1"))
    assert "Held of budgets" not in one
    assert (await plain.post("/dashboard/live/live_1_a_1/end")).status == 303
    assert "is not running" in text_of(await plain.page("/dashboard/live/live_1_a_1"))
    chosen = await plain.data("/dashboard/live?model=other")
    assert (chosen["running"], chosen["ended"]) == ([], [])


async def test_requests_and_one_of_them(plain: Browser, tmp_path: Path) -> None:
    assert "No requests. The Playground" in text_of(await plain.page("/dashboard/requests"))
    many = [trace(number) for number in range(60)]
    write(tmp_path / "traces.db", [*many, trace(60, requested=TEXT, outcome="upstream_error", message=TEXT)], NOW)
    html = await plain.page("/dashboard/requests")
    assert_harmless(html, TEXT)
    assert html.count("<tr>") == 51
    older = re.search(r'href="([^"]*after=[^"]*)"', html)
    assert older is not None
    assert (await plain.page(older[1].replace("&amp;", "&"))).count("<tr>") == 12
    assert "No requests with these filters" in text_of(await plain.page("/dashboard/requests?model=none"))
    assert "outcome" in text_of(await plain.page("/dashboard/requests?outcome=x"))
    html = await plain.page("/dashboard/requests/req_60")
    assert_harmless(html, TEXT)
    text = text_of(html)
    assert "Tokens in 10, 20 read from the cache, 30 written to it" in text
    assert "attempt 1" in text
    assert "Prompt cache" in text
    assert (await plain.get("/dashboard/requests/req_99")).status == 404


@pytest.mark.parametrize("id", ["mine", "team/7", "a.json", "..", "rec_1"])
async def test_each_row_opens_its_own_request_whatever_id_the_client_has_sent(
    plain: Browser, tmp_path: Path, id: str
) -> None:
    turns = [trace(number, ["a", "b", "c"][: 2 * number + 1], request_id=id, code=f"code{number}") for number in (0, 1)]
    write(tmp_path / "traces.db", [*turns, trace(2, ["z"], request_id=id, code="code2")], NOW)
    for page in ("/dashboard/requests", "/dashboard/live"):
        html = await plain.page(page)
        links = re.findall(r'<a href="(/dashboard/requests/[^"]*)"', html)
        assert len(links) == 3
        for number, link in zip((2, 1, 0), links, strict=True):
            shown = await plain.page(link)
            assert f"200 code{number}" in text_of(shown)
            assert (await plain.data(link))["record"]["request_id"] == id
            if number == 1:
                assert f'The turn before was <a href="{links[2]}"' in shown


async def test_each_row_has_its_own_bodies(plain: Browser, tmp_path: Path) -> None:
    for number, text in ((2, b"first"), (1, b"second")):
        keep_with_record(tmp_path, NOW - number, f"req_{number}", text, request_id="mine")
    links = re.findall(r'<a href="(/dashboard/requests/[^"]*)"', await plain.page("/dashboard/requests"))
    texts = [(await plain.data(f"{link}/bodies"))["bodies"]["request"]["text"] for link in links]
    assert texts == ["second", "first"]


async def test_captured_bodies_are_text_on_a_page_of_the_request(plain: Browser, tmp_path: Path) -> None:
    kept = keep_with_record(tmp_path, NOW - 1, "req_row", TEXT.encode(), request_id="a:b%41")
    path = "/dashboard/requests/a:b%41"
    assert 'href="/dashboard/requests/a%3Ab%2541/bodies"' in await plain.page(path)
    html = await plain.page(f"{path}/bodies")
    assert_harmless(html, TEXT)
    assert "Client’s request to /v1/messages" in text_of(html)
    assert (await plain.data(f"{path}/bodies"))["bodies"]["request"]["text"] == TEXT
    assert any("bodies.read" in fields["message"] for _, fields in plain.admin.log.lines)
    (tmp_path / "captures.db").unlink()
    assert kept.request.is_captured
    for page in (path, f"{path}/bodies"):
        assert "are not kept any more" in text_of(await plain.page(page))
    write(tmp_path / "traces.db", [trace(2)], NOW)
    assert "Bodies" not in text_of(await plain.page("/dashboard/requests/req_2"))
    assert "were not captured" in text_of(await plain.page("/dashboard/requests/req_2/bodies"))
    plain.session = None
    assert (await plain.get(f"{path}/bodies", authorization="Bearer token-viewer")).status == 403


async def test_without_records_it_says_how_to_keep_them(tmp_path: Path) -> None:
    browser = Browser(tmp_path, {"enabled": False}, traces=False)
    await browser.sign_in()
    for path in ("/dashboard/requests", "/dashboard/live"):
        assert "traces.enabled = true" in text_of(await browser.page(path)), path
    await browser.admin.aclose()


async def test_models_settings_and_session_need_no_accounts(plain: Browser) -> None:
    models = text_of(await plain.page("/dashboard/models"))
    assert "claude-sonnet-4-6" in models
    assert "last 24 hours" not in models
    settings = text_of(await plain.page("/dashboard/settings"))
    assert "Accounts off: accounts.enabled = true turns them on" in settings
    assert "People and roles" not in settings
    assert "owner" in text_of(await plain.page("/dashboard/session"))
    assert "server.api_keys" in await plain.page("/dashboard/playground")
