"""The page of running requests in Debian's Chromium, against a real gateway and the emulator.

Risk: a request does not appear, or only after a reload; a page that is open for long grows, asks while it is not looked
at, takes the focus away or talks all the time; it cannot be used on a phone or without scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.dashboard_gateway import DESKTOP, PHONE, DashboardGateway, Visitor
from support.live_streams import Streams
from support.processes import Process
from support.workers import until

#: Milliseconds from one look to the next.
LOOK = 2000
#: A turn of the event loop of the page, whose timers stand still.
_TURN = """() => new Promise((done) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { port1.close(); done(); };
  port2.postMessage(0);
})"""
_FOCUS = "document.activeElement.dataset.focus"


@pytest.fixture(scope="module")
def gateway(
    browser: Any, tmp_path_factory: pytest.TempPathFactory, emulate: Callable[..., Process]
) -> Iterator[DashboardGateway]:
    one = DashboardGateway(tmp_path_factory.mktemp("gateway"), emulate().url)
    yield one
    one.process.stop()


@pytest.fixture(scope="module")
def secret(gateway: DashboardGateway) -> str:
    key = gateway.api("POST", "/keys", {"name": "laptop"})
    gateway.api("POST", "/budgets", {"applies_to": {"key": key["id"]}, "limit": "500"})
    text: str = key["secret"]
    return text


@pytest.fixture
def streams(gateway: DashboardGateway, secret: str) -> Iterator[Streams]:
    one = Streams(gateway, secret)
    yield one
    one.end_all()


def rows_of(visitor: Visitor) -> Any:
    return visitor.page.get_by_role("region", name="Running requests").locator("tbody tr")


def look(visitor: Visitor) -> None:
    """Let the page look once more, at a time that the test decides."""
    with visitor.page.expect_response(lambda response: "/dashboard/live" in response.url) as asked:
        visitor.page.clock.run_for(LOOK)
    asked.value.finished()
    for _ in range(3):
        visitor.page.evaluate(_TURN)


def look_at_all(visitor: Visitor, times: int = 1) -> bool:
    """Whether the worker answered in time, at each look: on a busy machine it may not, and the page says so."""
    missed = visitor.page.get_by_text("did not answer in time")
    return all(look(visitor) or not missed.count() for _ in range(times))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_stream_appears_grows_and_is_ended(
    gateway: DashboardGateway, visit: Callable[..., Visitor], streams: Streams, viewport: dict[str, int], scheme: str
) -> None:
    visitor = visit(viewport=viewport, color_scheme=scheme)
    page, name = visitor.page, f"story-{scheme}-{viewport['width']}"
    page.get_by_role("navigation").get_by_role("link", name="Live").click()
    page.get_by_text("No request is running.").wait_for()
    streams.start(name)
    rows_of(visitor).get_by_text("streaming").wait_for()
    tokens = rows_of(visitor).locator("td").nth(5)
    first = tokens.inner_text()
    until(lambda: "≈" in tokens.inner_text() and tokens.inner_text() != first)
    assert "$" in rows_of(visitor).locator("td").nth(6).inner_text()
    for path in ("", f"/{gateway.api('GET', '/live')['data'][0]['id']}"):
        visitor.go(f"/dashboard/live{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert page.locator("h1").count() == 1
    visitor.go("/dashboard/live")
    page.get_by_role("link", name="End the request of laptop").click()
    page.get_by_role("heading", name="End this request").wait_for()
    assert len(gateway.api("GET", "/live")["data"]) == 1, "a look at it ends nothing"
    page.get_by_role("button", name="End this request").click()
    page.get_by_role("heading", name="This request is not running").wait_for()
    streams.join()
    assert "An administrator of this gateway has ended the request." in streams.bodies[name]
    page.get_by_role("link", name="Back to Live").click()
    ended = page.get_by_role("region", name="Newest ended requests")
    until(lambda: "request_ended" in ended.inner_text())
    page.get_by_text("No request is running.").wait_for()


def test_a_page_that_is_open_for_long_does_not_grow(visit: Callable[..., Visitor], streams: Streams) -> None:
    visitor = visit()
    page = visitor.page
    page.clock.install()
    streams.start("story-1")
    visitor.go("/dashboard/live")
    until(lambda: look(visitor) or rows_of(visitor).get_by_text("streaming").count())
    metrics = visitor.context.new_cdp_session(page)
    metrics.send("Performance.enable")

    def sizes() -> tuple[int, float, float]:
        metrics.send("HeapProfiler.collectGarbage")
        values = {one["name"]: one["value"] for one in metrics.send("Performance.getMetrics")["metrics"]}
        shown: int = page.evaluate("document.querySelectorAll('*').length")
        return shown, values["Nodes"], values["JSEventListeners"]

    until(lambda: look_at_all(visitor))
    before = sizes()
    ages = set()
    for _ in range(60):
        until(lambda: look_at_all(visitor))
        ages.add(rows_of(visitor).locator("th").inner_text())
    assert len(ages) > 1, "it was shown anew"
    after = sizes()
    assert after[0] == before[0]
    assert after[1] < before[1] + before[0], "less than one list is left of sixty"
    assert after[2] <= before[2]


def test_it_does_not_ask_while_it_is_paused_or_hidden(visit: Callable[..., Visitor], streams: Streams) -> None:
    visitor = visit(reduced_motion="reduce")
    page = visitor.page
    page.clock.install()
    visitor.go("/dashboard/live")
    asked: list[str] = []
    page.on("request", lambda request: "/static/" in request.url or asked.append(request.url))
    look(visitor)
    assert len(asked) == 1
    assert page.evaluate("getComputedStyle(document.querySelector('.beat')).animationName") == "none"
    button = page.get_by_role("button", name="Pause")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    page.get_by_text("Paused.").wait_for()
    page.clock.run_for(10 * LOOK)
    assert len(asked) == 1
    streams.start("story-2")
    with page.expect_response(lambda response: "/dashboard/live" in response.url):
        button.click()
        page.clock.run_for(1)
    assert len(asked) == 2, "it asks at once"
    set_hidden = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
    set_hidden += "document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(set_hidden, True)
    page.clock.run_for(10 * LOOK)
    assert len(asked) == 2
    with page.expect_response(lambda response: "/dashboard/live" in response.url):
        page.evaluate(set_hidden, False)
        page.clock.run_for(1)
    page.get_by_role("region", name="Running requests").wait_for()
    others = visit()
    others.go("/dashboard/live")
    assert others.page.evaluate("getComputedStyle(document.querySelector('.beat')).animationName") == "beat"


def test_focus_and_selection_stay_and_readers_hear_of_changes_alone(
    visit: Callable[..., Visitor], streams: Streams
) -> None:
    visitor = visit()
    page = visitor.page
    page.clock.install()
    streams.start("story-3")
    visitor.go("/dashboard/live")
    until(lambda: look(visitor) or rows_of(visitor).get_by_text("streaming").count())
    status = page.locator("#live-status")
    page.clock.run_for(20_000)
    until(lambda: look_at_all(visitor))
    said = status.inner_text()
    page.evaluate(
        """() => {
          window.said = 0;
          const count = (changes) => { window.said += changes.length; };
          new MutationObserver(count).observe(document.getElementById("live-status"), { childList: true });
        }"""
    )
    link, region = (
        page.get_by_role("link", name="End the request of laptop"),
        page.get_by_role("region", name="Running requests"),
    )

    def keeps(one: Any, times: int) -> bool:
        """Focus it, and look; false if something was missing meanwhile."""
        if not look_at_all(visitor):
            return False
        page.evaluate("window.said = 0")
        one.focus()
        return look_at_all(visitor, times)

    until(lambda: keeps(link, 10))
    assert page.evaluate(_FOCUS).startswith("end live_")
    assert page.evaluate("window.said") == 0, "nothing has changed"
    until(lambda: keeps(region, 1))
    assert page.evaluate(_FOCUS) == "Running requests"
    streams.start("story-4")
    until(lambda: look_at_all(visitor) and status.inner_text() not in ("", said))
    assert status.inner_text() == "2 running"
    assert page.evaluate("window.said") <= 2
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#live td:nth-of-type(3)'))")
    chosen = page.evaluate("getSelection().toString()")
    assert chosen == "laptop"
    look(visitor)
    assert page.evaluate("getSelection().toString()") == chosen


def test_without_scripts_it_is_loaded_again(
    gateway: DashboardGateway, visit: Callable[..., Visitor], streams: Streams
) -> None:
    visitor = visit(java_script_enabled=False)
    page = visitor.page
    visitor.go("/dashboard/live?key=laptop")
    page.get_by_text("No request is running with these filters.").wait_for()
    assert not page.get_by_role("button", name="Pause").is_visible()
    streams.start("story-5")
    until(lambda: len(gateway.api("GET", "/live")["data"]) == 1)
    page.get_by_role("link", name="Load again").click()
    assert page.url.endswith("/dashboard/live?key=laptop")
    assert rows_of(visitor).count() == 1
    page.get_by_label("State").select_option("queued")
    page.get_by_role("button", name="Show").click()
    assert "state=queued" in page.url
    page.get_by_text("No request is running with these filters.").wait_for()
    visitor.go("/dashboard/live")
    page.get_by_role("link", name="End the request of laptop").click()
    page.get_by_role("button", name="End this request").click()
    page.get_by_role("heading", name="This request is not running").wait_for()
    streams.join()
    assert "has ended the request" in streams.bodies["story-5"]


def test_a_session_that_is_over_is_told(gateway: DashboardGateway, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    visitor.go("/dashboard/live")
    other = visitor.context.new_page()
    other.goto(f"{gateway.url}/dashboard")
    with other.expect_response(lambda response: "sign-out" in response.url):
        other.get_by_role("button", name="Sign out").click()
    visitor.page.get_by_role("heading", name="Sign in").wait_for()
    assert visitor.page.url.endswith("/dashboard/live"), "it leads back"
    visitor.problems = [one for one in visitor.problems if "a status of 401" not in one]


#: Milliseconds after which the overview is shown anew.
REFRESH = 30_000


def test_the_overview_goes_on_after_a_click_beside_its_links(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.page
    page.clock.install()
    visitor.go("/dashboard")
    page.get_by_role("heading", name="Overview").click()
    assert page.evaluate("document.activeElement.id") == "main"
    with page.expect_response(lambda response: response.url.endswith("/dashboard")):
        page.clock.run_for(REFRESH)


def test_a_text_that_is_selected_stays_on_the_overview(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.page
    page.clock.install()
    visitor.go("/dashboard")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
    asked: list[str] = []
    page.on("request", lambda request: request.url.endswith("/dashboard") and asked.append(request.url))
    page.clock.run_for(3 * REFRESH)
    page.evaluate(_TURN)
    assert (asked, page.evaluate("getSelection().toString().trim()")) == ([], "Overview")


def test_an_overview_whose_session_is_over_says_so(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.page
    page.clock.install()
    visitor.go("/dashboard")
    visitor.context.clear_cookies()
    page.clock.run_for(REFRESH)
    page.get_by_text("You are not signed in.").wait_for()
    visitor.problems = [one for one in visitor.problems if "a status of 401" not in one]


def test_running_requests_that_cannot_be_asked_for_are_not_said_to_be_of_now(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.page
    page.clock.install()
    visitor.go("/dashboard/live")
    page.get_by_text("Updated every 2 seconds.").wait_for()
    page.route("**/dashboard/live", lambda route: route.abort())
    page.clock.run_for(LOOK)
    page.locator("#live-mode").get_by_text("Not updated: the gateway does not answer.").wait_for()
    assert "Not updated" in page.get_by_role("status").inner_text()
    page.unroute("**/dashboard/live")
    until(lambda: page.clock.run_for(LOOK) or page.get_by_text("Updated every 2 seconds.").count())
    assert "running" in page.get_by_role("status").inner_text()
    visitor.problems = [one for one in visitor.problems if "ERR_FAILED" not in one]


def test_the_playground_says_that_its_session_is_over(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.page
    visitor.go("/dashboard/playground")
    page.get_by_role("textbox", name="Message").fill("Hi")
    visitor.context.clear_cookies()
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("You are not signed in any more.").wait_for()
    assert "Bearer" not in page.locator("main").inner_text()
    visitor.problems = [one for one in visitor.problems if "a status of 401" not in one]
