"""An empty gateway in Debian's Chromium. Risk: who starts it sees nothing to do, or examples that do not work."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.dashboard_gateway import DashboardGateway, Visitor
from support.processes import Process, clean_environment


@pytest.fixture
def gateway(browser: Any, tmp_path: Path, emulate: Callable[..., Process]) -> Iterator[DashboardGateway]:
    one = DashboardGateway(tmp_path, emulate().url)
    yield one
    one.process.stop()


def test_the_steps_lead_to_a_first_request_that_is_seen_to_arrive(
    browser: Any, gateway: DashboardGateway, tmp_path: Path
) -> None:
    visitor = Visitor(browser, gateway.url, viewport={"width": 360, "height": 740})
    visitor.sign_in(gateway.modelmux("dashboard"))
    page = visitor.page
    page.get_by_text("This page waits for it.").wait_for()
    assert f'base_url="{gateway.gateway_url}/v1"' in page.get_by_label("example for the OpenAI SDK").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("summary", has_text="curl").click()
    command = page.get_by_label("example for curl").inner_text()
    key = gateway.api("POST", "/keys", {"name": "first"})["secret"]
    result = subprocess.run(
        ["sh", "-c", command.replace("sk-mmx-…", key)], capture_output=True, text=True, timeout=100, check=True,
        env=clean_environment(tmp_path),
    )  # fmt: skip
    assert '"type":"message"' in result.stdout.replace(" ", "")
    page.get_by_role("link", name="Your first request has arrived").click()
    page.get_by_role("heading", name=re.compile("^Request req_")).wait_for()
    visitor.go("/dashboard")
    page.get_by_role("heading", name="Overview").wait_for()
    assert page.get_by_text("Three steps").count() == 0
    visitor.close()
    assert visitor.problems == []


def test_without_scripts_the_steps_are_links(browser: Any, gateway: DashboardGateway) -> None:
    visitor = Visitor(browser, gateway.url, java_script_enabled=False)
    visitor.sign_in(gateway.modelmux("dashboard"))
    steps = visitor.page.locator("ol.steps")
    for name in ("Create a key", "Playground", "Live"):
        assert steps.get_by_role("link", name=name, exact=True).count() == 1
    visitor.close()
