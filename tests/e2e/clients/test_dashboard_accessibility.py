"""Every page of the dashboard by axe, whose rules are those of WCAG 2.2 AA that a program can check.

axe-core is under the MPL-2.0: it is part of these tests alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.clients import MODULES, needed
from support.dashboard_gateway import DashboardGateway, Visitor, chromium
from support.processes import Process
from support.workers import until

pytestmark = pytest.mark.timeout(600)
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
    key = gateway.api("POST", "/keys", {"name": "laptop", "expires_at": "2030-01-01T00:00:00Z"})
    budget = gateway.api("POST", "/budgets", {"applies_to": {"key": key["id"]}, "limit": "0.001"})["id"]
    gateway.api("POST", f"/budgets/{budget}/top-up", {"amount": "0.001", "reason": "more"})
    for _ in range(9):
        gateway.ask(key["secret"])
    until(lambda: len(gateway.api("GET", f"/requests?key={key['id']}")["data"]) == 9)
    rows = gateway.api("GET", f"/requests?key={key['id']}")["data"]
    ids = {row["outcome"]: row["id"] for row in rows}.values()
    requests = [f"/requests/{id}" for id in ids]
    names = ["", "/requests", *requests, "/keys", f"/keys/{key['id']}", "/budgets", f"/budgets/{budget}", "/session"]
    return [f"/dashboard{name}" for name in [*names, "/requests?min_cost=much", "/nothing"]]


def violations(visitor: Visitor) -> list[str]:
    visitor.page.evaluate(AXE.read_text("utf-8"))
    found: list[Any] = visitor.page.evaluate(_RUN)
    return [f"{one['id']}: {one['help']}: {node['html'][:120]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_no_page_has_a_violation(
    browser: Any, gateway: DashboardGateway, pages: list[str], scheme: str, width: int
) -> None:
    visitor = Visitor(browser, gateway.url, viewport={"width": width, "height": 800}, color_scheme=scheme)
    problems: dict[str, list[str]] = {}
    visitor.go("/dashboard")
    problems["not signed in"] = violations(visitor)
    link = gateway.modelmux("dashboard")
    visitor.page.goto(link)
    problems["a link"] = violations(visitor)
    visitor.sign_in(link)
    for path in pages:
        visitor.go(path)
        for details in visitor.page.locator("summary").all():
            if details.evaluate("one => !one.parentElement.open"):
                details.click()
        problems[path] = violations(visitor)
    visitor.go("/dashboard/keys")
    visitor.page.get_by_label("Name").fill(f"key-{scheme}-{width}")
    visitor.page.get_by_role("button", name="Create", exact=True).click()
    visitor.page.get_by_role("heading", name="Key created").wait_for()
    problems["a new key"] = violations(visitor)
    visitor.close()
    assert {path: found for path, found in problems.items() if found} == {}


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
