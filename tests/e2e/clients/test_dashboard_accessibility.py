"""Every page of the dashboard by axe, whose rules are those of WCAG 2.2 AA that a program can check.

axe-core is under the MPL-2.0: it is part of these tests alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.clients import MODULES, needed
from support.dashboard_gateway import DashboardGateway, Visitor, chromium
from support.live_streams import Streams
from support.processes import Process
from support.workers import until

AXE = MODULES / "axe-core" / "axe.min.js"
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = f"async () => (await axe.run(document, {{ runOnly: {_TAGS} }})).violations"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    needed(AXE)
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def gateway(
    browser: Any, tmp_path_factory: pytest.TempPathFactory, emulate: Callable[..., Process]
) -> Iterator[DashboardGateway]:
    one = DashboardGateway(tmp_path_factory.mktemp("gateway"), emulate().url)
    yield one
    one.process.stop()


@pytest.fixture(scope="module")
def pages(gateway: DashboardGateway) -> list[str]:
    key = gateway.api("POST", "/keys", {"name": "laptop", "expires_at": "2030-01-01T00:00:00Z", "capture": True})
    budget = gateway.api("POST", "/budgets", {"applies_to": {"key": key["id"]}, "limit": "0.001"})["id"]
    gateway.api("POST", f"/budgets/{budget}/top-up", {"amount": "0.001", "reason": "more"})
    gateway.api("POST", "/people", {"email": "ann@example.com"})
    for _ in range(9):
        gateway.ask(key["secret"])
    until(lambda: len(gateway.api("GET", f"/requests?key={key['id']}")["data"]) == 9)
    rows = gateway.api("GET", f"/requests?key={key['id']}")["data"]
    ids = {row["outcome"]: row["id"] for row in rows}.values()
    answered = next(row["id"] for row in rows if row["outcome"] == "ok")
    until(lambda: gateway.api("GET", f"/requests/{answered}/trace")["bodies"] == "kept")
    requests = [*(f"/requests/{id}" for id in ids), f"/requests/{answered}/bodies"]
    names = ["", "/requests", *requests, "/keys", f"/keys/{key['id']}", "/budgets", f"/budgets/{budget}", "/session"]
    names += [
        "/costs",
        "/costs?by=key",
        "/costs?bucket=1mo&start=2020-01-01&end=2020-02-01",
        "/costs?zone=Mars",
        "/models",
        "/playground",
    ]
    names += ["/settings", "/settings/people", "/settings/audit", "/settings/audit?after=x"]
    others = ["/live?min_seconds=soon", "/live/live_1_5eed5eed_1", "/requests?min_cost=much", "/nothing"]
    return [f"/dashboard{name}" for name in [*names, *others]]


@pytest.fixture
def running(gateway: DashboardGateway) -> Iterator[list[str]]:
    """Pages of a request that runs."""
    streams = Streams(gateway, gateway.api("POST", "/keys", {"name": f"key-{time.time_ns()}"})["secret"])
    streams.start("story")
    until(lambda: gateway.api("GET", "/live")["data"])
    (one,) = gateway.api("GET", "/live")["data"]
    yield ["/dashboard/live", f"/dashboard/live/{one['id']}"]
    streams.end_all()


def violations(visitor: Visitor) -> list[str]:
    visitor.page.evaluate(AXE.read_text("utf-8"))
    found: list[Any] = visitor.page.evaluate(_RUN)
    return [f"{one['id']}: {one['help']}: {node['html'][:120]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_no_page_has_a_violation(
    browser: Any, gateway: DashboardGateway, pages: list[str], running: list[str], scheme: str, width: int
) -> None:
    visitor = Visitor(browser, gateway.url, viewport={"width": width, "height": 800}, color_scheme=scheme)
    problems: dict[str, list[str]] = {}
    visitor.go("/dashboard")
    problems["not signed in"] = violations(visitor)
    link = gateway.modelmux("dashboard")
    visitor.page.goto(link)
    problems["a link"] = violations(visitor)
    visitor.sign_in(link)
    for path in [*pages, *running]:
        visitor.go(path)
        for details in visitor.page.locator("summary").all():
            if details.is_visible() and details.evaluate("one => !one.parentElement.open"):
                details.click()
        problems[path] = violations(visitor)
    visitor.go("/dashboard/keys")
    visitor.page.get_by_label("Name").fill(f"key-{scheme}-{width}")
    visitor.page.get_by_role("button", name="Create", exact=True).click()
    visitor.page.get_by_role("heading", name="Key created").wait_for()
    problems["a new key"] = violations(visitor)
    visitor.go("/dashboard/playground")
    visitor.page.locator("[name=message]").fill("Hello")
    for button, shown in (("Show what would be sent", "What Vertex AI gets"), ("Send", "401 invalid_api_key")):
        visitor.page.get_by_role("button", name=button, exact=True).click()
        visitor.page.get_by_text(shown).wait_for()
        problems[f"playground: {button}"] = violations(visitor)
    visitor.close()
    assert {path: found for path, found in problems.items() if found} == {}


def test_the_first_steps_have_no_violation(
    browser: Any, emulate: Callable[..., Process], tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = DashboardGateway(tmp_path_factory.mktemp("empty"), emulate().url)
    visitor = Visitor(browser, empty.url, viewport={"width": 360, "height": 800})
    try:
        visitor.sign_in(empty.modelmux("dashboard"))
        visitor.page.get_by_text("This page waits for it.").wait_for()
        assert violations(visitor) == []
    finally:
        visitor.close()
        empty.process.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_without_accounts_has_a_violation(
    browser: Any, emulate: Callable[..., Process], tmp_path_factory: pytest.TempPathFactory, scheme: str
) -> None:
    plain = DashboardGateway(tmp_path_factory.mktemp("plain"), emulate().url, accounts=False)
    visitor = Visitor(browser, plain.url, viewport={"width": 360, "height": 800}, color_scheme=scheme)
    problems: dict[str, list[str]] = {}
    try:
        visitor.sign_in(plain.modelmux("dashboard"))
        problems["empty"] = violations(visitor)
        assert plain.ask("sk-of-the-operator", request_id="req-good").status_code == 200
        assert plain.ask("sk-of-the-operator", model="no-such-model").status_code == 404
        until(lambda: len(plain.api("GET", "/traces")["data"]) == 2)
        names = ["", "/live", "/requests", "/requests/req-good", "/models", "/playground", "/settings", "/keys"]
        for name in [*names, "/requests?outcome=drained", "/live/live_1_5eed5eed_1"]:
            visitor.go(f"/dashboard{name}")
            problems[name] = violations(visitor)
    finally:
        visitor.close()
        plain.process.stop()
    assert {path: one for path, one in problems.items() if one} == {}


def test_a_violation_is_found(browser: Any, gateway: DashboardGateway) -> None:
    visitor = Visitor(browser, gateway.url)
    visitor.go("/dashboard")
    visitor.page.evaluate(
        """() => {
          const button = document.createElement("button");
          document.getElementById("main").append(button, "pale");
          document.getElementById("main").style.color = "#cccccc";
        }"""
    )
    rules = {one.partition(":")[0] for one in violations(visitor)}
    assert rules >= {"button-name", "color-contrast"}
    visitor.close()
