"""The dashboard of a gateway without accounts in Debian's Chromium, with real workers and the emulator.

Risk: the process of the pages does not start without accounts, knows nothing of the workers, or has no way to sign in;
a page breaks under its own policy or does not fit a phone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.dashboard_gateway import DESKTOP, MODEL, PHONE, DashboardGateway, Visitor
from support.live_streams import Streams
from support.processes import Process
from support.workers import until

KEY = "sk-of-the-operator"
NASTY = '"><img src=x onerror=alert(1)>'
PAGES = ("", "/live", "/live/live_1_5eed5eed_1", "/requests", "/requests/req-good", "/models", "/playground", "/settings", "/session")  # fmt: skip  # noqa: E501
OF_ACCOUNTS = ("/keys", "/budgets", "/costs", "/settings/people", "/settings/audit")


@pytest.fixture(scope="module")
def gateway(
    browser: Any, tmp_path_factory: pytest.TempPathFactory, emulate: Callable[..., Process]
) -> Iterator[DashboardGateway]:
    one = DashboardGateway(tmp_path_factory.mktemp("gateway"), emulate().url, workers=2, accounts=False)
    for number in range(4):
        assert one.ask(KEY, request_id=f"req-{number}").status_code == 200
    assert one.ask(KEY, request_id="req-good").status_code == 200
    assert one.ask(KEY, model=NASTY, request_id="req-bad").status_code == 404
    until(lambda: one.api("GET", "/counters")["requests"] == 6)
    until(lambda: len(one.api("GET", "/traces")["data"]) == 6)
    yield one
    one.process.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_fits_and_nothing_runs_that_should_not(
    visit: Callable[..., Visitor], viewport: dict[str, int], scheme: str
) -> None:
    visitor = visit(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    page = visitor.page
    assert page.get_by_role("navigation").get_by_role("link").all_inner_texts() == [
        "Overview", "Live", "Requests", "Models", "Playground", "Settings"
    ]  # fmt: skip
    for path in [*PAGES, *OF_ACCOUNTS]:
        visitor.go(f"/dashboard{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path
        assert page.locator("h1").count() == 1
        assert page.locator("img").count() == 0
        if path in OF_ACCOUNTS:
            assert "enabled = true" in page.get_by_role("main").inner_text(), path
    expected = "the server responded with a status of 404"  # of pages that need accounts
    assert len(visitor.problems) == len(OF_ACCOUNTS)
    visitor.problems = [one for one in visitor.problems if expected not in one]


def test_the_numbers_are_those_of_both_workers(gateway: DashboardGateway, visit: Callable[..., Visitor]) -> None:
    count = gateway.api("GET", "/counters")["requests"]  # other tests may have sent some
    page = visit().page
    tiles = page.get_by_role("listitem")
    assert f"{count}" in tiles.filter(has_text="running now").inner_text()
    assert "1 requests" in tiles.filter(has_text="Errors").last.inner_text()
    assert "median" in tiles.filter(has_text="Duration").inner_text()
    page.get_by_role("row").filter(has_text=MODEL).first.wait_for()


def test_a_failed_request_is_found_and_explained(visit: Callable[..., Visitor]) -> None:
    page = visit().page
    page.get_by_role("link", name="Requests", exact=True).click()
    page.get_by_label("Outcome").select_option("client_error")
    page.get_by_role("button", name="Show").click()
    page.locator("tbody a").first.click()
    page.get_by_role("heading", name="req-bad").wait_for()
    page.get_by_text("No model was called.").wait_for()


def test_the_playground_asks_with_a_key_of_the_configuration(visit: Callable[..., Visitor]) -> None:
    visitor = visit(viewport=PHONE)
    visitor.go("/dashboard/playground")
    page = visitor.page
    page.get_by_label("Key", exact=True).fill(KEY)
    page.get_by_role("textbox", name="Message").fill("say exactly: seen")
    page.get_by_role("button", name="Send").click()
    page.locator("#part-text").get_by_text("seen").wait_for()
    link = page.get_by_role("link", name="This request")
    link.wait_for()
    path = link.get_attribute("href")
    assert path is not None
    until(lambda: visitor.context.request.get(visitor.url + path).status == 200)
    link.click()
    page.get_by_role("heading", name="Timeline").wait_for()
    assert KEY not in page.content()


def test_a_running_request_is_seen_and_ended(gateway: DashboardGateway, visit: Callable[..., Visitor]) -> None:
    streams, visitor = Streams(gateway, KEY), visit()
    streams.start("req-story")
    until(lambda: len(gateway.api("GET", "/live")["data"]) == 1)
    page = visitor.page
    page.get_by_role("link", name="Live", exact=True).click()
    page.get_by_role("link", name="End the request").first.click()
    page.get_by_role("button", name="End this request").click()
    page.get_by_role("heading", name="This request is not running").wait_for()
    streams.join()
    assert "request_ended" in streams.bodies["req-story"] or "administrator" in streams.bodies["req-story"]
    until(lambda: "request.end live_" in gateway.process.output())  # there is no audit log, so the log tells of it
