"""Risk: the page of running requests shows or ends what its visitor may not, hides what is missing from it, lets text
of clients run, or ends something by being looked at."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.admin import live_request, organisation
from support.dashboard import Browser, text_of
from support.directories import NOW
from support.entries import entry

NASTY = '"><img src=x onerror=alert(1)><script>alert(1)</script>'


async def running(browser: Browser, **fields: Any) -> None:
    await organisation(browser.admin)
    browser.admin.live = {
        1: [live_request("live_1_a_1", state="streaming", output_tokens=1234, estimated=True, held=2_500_000_000)],
        2: [live_request("live_2_b_1", key="key_other", person="usr_other", team="team_top/team_other", **fields)],
    }
    rows = [entry(NOW - 1, key="key_own", team="team_top/team_own", person="usr_own"), entry(NOW - 2, key="key_free")]
    rows.append(entry(NOW - 3_700_000_000, key="key_free"))
    await browser.admin.ledger.append(rows)  # type: ignore[attr-defined]


async def test_running_requests_are_above_those_that_have_ended(browser: Browser) -> None:
    await running(browser)
    await browser.sign_in()
    html = await browser.page("/dashboard/live")
    text = text_of(html)
    assert text.index("Running: 2") < text.index("≈ 1,234") < text.index("Newest ended")
    assert "$2.50" in text
    assert html.count("/end") == 0, "it takes a page of its own to end one"
    data = await browser.data("/dashboard/live")
    assert {one["id"] for one in data["running"]} == {"live_1_a_1", "live_2_b_1"}
    assert [one["key"] for one in data["ended"]] == ["key_own", "key_free"]
    assert 'href="/dashboard/live" aria-current="page"' in html


async def test_a_member_sees_its_own_and_ends_nothing(browser: Browser) -> None:
    await running(browser)
    await browser.sign_in_person("usr_own", "member")
    data = await browser.data("/dashboard/live")
    assert [one["id"] for one in data["running"]] == ["live_1_a_1"]
    assert [one["key"] for one in data["ended"]] == ["key_own"]
    html = await browser.page("/dashboard/live")
    assert "#end" not in html
    detail = await browser.page("/dashboard/live/live_1_a_1")
    assert "End this request" not in detail
    assert (await browser.post("/dashboard/live/live_1_a_1/end")).status == 403
    assert "is not running" in await browser.page("/dashboard/live/live_2_b_1")
    assert browser.admin.live[1]


async def test_an_administrator_ends_one_after_a_look_at_it(browser: Browser) -> None:
    await running(browser)
    await browser.sign_in()
    (target,) = re.findall(r'href="(/dashboard/live/live_1[^"]*)#end"', await browser.page("/dashboard/live"))
    html = await browser.page(target)
    assert browser.admin.live[1], "a look ends nothing"
    (action,) = re.findall(r'action="([^"]*/end)"', html)
    assert (await browser.post(action, csrf="wrong")).status == 403
    assert (await browser.get(action)).status == 405
    assert browser.admin.live[1]
    response = await browser.post(action)
    assert (response.status, response.headers["location"]) == (303, target)
    assert not browser.admin.live[1]
    assert browser.admin.live[2]
    assert "This request is not running" in text_of(await browser.page(target))
    assert (await browser.post(action)).status == 303, "what is over already needs no end"
    rows = (await browser.admin.ok("GET", "/audit"))["data"]
    assert [row["action"] for row in rows].count("request.end") == 1


async def test_a_worker_that_does_not_answer_is_told(browser: Browser) -> None:
    await running(browser)
    await browser.sign_in()
    browser.admin.silent = {2}
    text = text_of(await browser.page("/dashboard/live"))
    assert "1 of the workers did not answer in time" in text
    assert "Running: 1" in text
    assert (await browser.get("/dashboard/live/live_2_b_1")).status == 503
    assert (await browser.post("/dashboard/live/live_2_b_1/end")).status == 503


async def test_filters_are_in_the_address(browser: Browser) -> None:
    await running(browser)
    await browser.sign_in()
    data = await browser.data("/dashboard/live?key=own&state=streaming&min_seconds=1")
    assert [one["id"] for one in data["running"]] == ["live_1_a_1"]
    assert [one["key"] for one in data["ended"]] == ["key_own"]
    assert data["filters"] == {"key": "own", "state": "streaming", "min_seconds": "1"}
    html = await browser.page("/dashboard/live?key=own&state=streaming")
    assert 'value="own"' in html
    assert '<option value="streaming" selected>' in html
    html = await browser.page("/dashboard/live?min_seconds=soon")
    assert 'role="alert"' in html
    assert 'value="soon"' in html
    assert 'id="live"' not in html, "there is nothing to refresh"


async def test_more_than_a_page_is_counted(browser: Browser) -> None:
    await organisation(browser.admin)
    browser.admin.live = {1: [live_request(f"live_1_a_{n}", age=float(n)) for n in range(150)]}
    await browser.sign_in()
    text = text_of(await browser.page("/dashboard/live"))
    assert "Running: 150" in text
    assert "50 more are not shown" in text


@pytest.mark.parametrize("field", ["request_id", "requested_model", "route", "model", "location", "deployment"])
async def test_text_of_clients_does_not_run(browser: Browser, field: str) -> None:
    await running(browser, **{"model": None, field: NASTY})
    await browser.sign_in()
    for path in ("/dashboard/live", "/dashboard/live/live_2_b_1", f"/dashboard/live/{'%22%3E%3Cimg'}"):
        html = await browser.page(path)
        assert "<img" not in html
        assert "alert(1)</script>" not in html
