"""The page of a request. Risk: bodies are shown to others, run in a browser, or are read without a trace of it."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest

from modelmux.accounts.roles import Role
from modelmux.dashboard.timeline import timeline_of
from modelmux.store.traces.record import TracedAttempt, TracedNotice, plain_record
from support.admin import organisation
from support.captures import keep_with_record
from support.dashboard import Browser, text_of
from support.directories import NOW
from support.entries import entry
from support.traces import MODEL, trace, write

EVIL = '</pre><script>alert(1)</script><img src=x onerror=alert(1)> {{7*7}} &lt;b&gt; \u2028 \x1b[2J "quoted"'


async def request_of(browser: Browser, key: str = "key_own", person: str | None = "usr_own") -> str:
    await organisation(browser.admin)
    row = entry(NOW - 1, key=key, team="team_top/team_own", person=person)
    await browser.admin.ledger.append([row])  # type: ignore[attr-defined]
    id: str = (await browser.admin.ok("GET", "/requests"))["data"][0]["id"]
    return id


async def test_filters_by_day_say_whose_day_it_is_and_what_they_include(tmp_path: Path) -> None:
    browser = Browser(tmp_path, accounts={"zone": "Europe/Berlin"})
    await organisation(browser.admin)
    await browser.sign_in()
    assert (await browser.data("/dashboard/requests"))["zone"] == "Europe/Berlin"
    text = text_of(await browser.page("/dashboard/requests"))
    assert "From, in Europe/Berlin" in text
    assert "Until, not included" in text
    assert "Expires, at 00:00 UTC" in text_of(await browser.page("/dashboard/keys"))
    await browser.admin.aclose()


async def test_attempts_notices_and_the_cache_are_on_the_page(browser: Browser) -> None:
    id = await request_of(browser)
    attempts = (
        TracedAttempt("m@a", "m", 10.0, 20.0, "a", status=529, result="overloaded", message="Over<b>loaded"),
        TracedAttempt("m@b", "m", 30.0, 2_000.0, "b", retry=True, status=200, first_content_ms=500.0),
    )
    notices = (TracedNotice("dropped", "temperature", "Why."), TracedNotice("ignored", None, "Unknown."))
    shown = trace(
        1, ("a", "b"), at=NOW - 2, row_id=id, attempts=attempts, notices=notices, missing_notices=3,
        duration_ms=2_001.0, session=b"s",
    )  # fmt: skip
    earlier = trace(0, ("a",), at=NOW - 60_000_000, session=b"s", model="m", location="b")
    write(browser.admin.path.parent / "traces.db", [earlier, shown], NOW)
    await browser.sign_in()
    text = text_of(await browser.page(f"/dashboard/requests/{id}"))
    for part in (
        "0 ms arrived", "10 ms attempt 1: called m@a", "20 ms attempt 1: overloaded, status 529: Over<b>loaded",
        "30 ms attempt 2, a retry: called m@b", "500 ms attempt 2: first content", "2.0 s attempt 2: ok, status 200",
        "2.0 s ended: ok 200", "dropped temperature : Why.", "ignored a field of its own : Unknown.", "and 3 more",
        "The prompt extends that of the previous turn, which is unchanged, by 1 message.", "The turn before was req_0",
    ):  # fmt: skip
        assert part in text, part
    assert "Bodies" not in text


async def test_bodies_are_text_whatever_they_have(browser: Browser) -> None:
    id = await request_of(browser)
    keep_with_record(browser.admin.path.parent, NOW - 1, id, EVIL.encode())
    await browser.sign_in()
    assert f'href="/dashboard/requests/{id}/bodies"' in await browser.page(f"/dashboard/requests/{id}")
    html = await browser.page(f"/dashboard/requests/{id}/bodies")
    assert EVIL in unescape(html)
    assert "<script>" not in html
    assert "<img" not in html
    assert html.count("<pre") == html.count("</pre>") == 5
    text = text_of(html)
    for part in ("Client’s request to /v1/messages", "Attempt 1: reply 11 bytes", "Attempt 2: reply None.", "not kept"):
        assert part in text, part
    data = await browser.data(f"/dashboard/requests/{id}/bodies")
    assert data["bodies"]["request"]["text"] == EVIL


@pytest.mark.parametrize(
    ("key", "person", "role", "status", "is_audited"),
    [
        ("key_own", "usr_own", "owner", 200, True), ("key_own", "usr_own", "admin", 200, True),
        ("key_own", "usr_own", "member", 200, False), ("key_other", "usr_other", "member", 404, False),
        ("key_own", "usr_own", "team_admin", 403, False), ("key_own", "usr_own", "viewer", 403, False),
    ],
)  # fmt: skip
async def test_the_page_of_bodies_has_the_roles_of_the_api(
    key: str, person: str, role: Role, status: int, is_audited: bool, browser: Browser
) -> None:
    id = await request_of(browser, key, person)
    keep_with_record(browser.admin.path.parent, NOW - 1, id, b"canary")
    token = f"Bearer token-{role}"
    for suffix in ("", ".json"):
        response = await browser.get(f"/dashboard/requests/{id}/bodies{suffix}", authorization=token)
        assert (response.status, b"canary" in response.body) == (status, status == 200)
    rows = [one for one in (await browser.admin.ok("GET", "/audit"))["data"] if one["action"] == "bodies.read"]
    assert len(rows) == 2 * is_audited
    if role == "team_admin":
        html = (await browser.get(f"/dashboard/requests/{id}", authorization=token)).body.decode()
        assert "/bodies" not in html
        assert "for those whose key it is" in text_of(html)


async def test_a_request_without_bodies_says_so(browser: Browser) -> None:
    id = await request_of(browser)
    await browser.sign_in()
    assert "were not captured" in text_of(await browser.page(f"/dashboard/requests/{id}/bodies"))
    gone = trace(1, at=NOW - 1, row_id=id, is_captured=True)
    write(browser.admin.path.parent / "traces.db", [gone], NOW)
    assert "are not kept any more" in text_of(await browser.page(f"/dashboard/requests/{id}"))
    assert "are not kept any more" in text_of(await browser.page(f"/dashboard/requests/{id}/bodies"))


def test_a_timeline_without_a_record_is_that_of_the_row() -> None:
    row = {"first_content_seconds": None, "seconds": 2.0}
    assert timeline_of(row, None) == [{"seconds": 0.0, "what": "arrived"}, {"seconds": 2.0, "what": "ended"}]
    assert len(timeline_of(row | {"first_content_seconds": 1.0}, None)) == 3
    one = trace(1, outcome="upstream_error", status=502, missing_attempts=2, retry_stopped="deadline").request
    steps = timeline_of(row, plain_record(one))
    assert steps[1] == {"seconds": 0.001, "what": "2 attempts before"}
    assert steps[2] == {"seconds": 0.001, "what": f"attempt 3: called {MODEL}@global"}
    assert steps[-1]["what"] == "ended: upstream error 502; no further attempt: deadline"
    refused = trace(1, attempts=(), missing_attempts=2).request
    assert [step["what"] for step in timeline_of(row, plain_record(refused))] == ["arrived", "ended: ok 200"]
