"""The overview of a real gateway on a phone. Risk: the times of a worker do not reach the process of the pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from support.dashboard_gateway import DashboardGateway, Visitor, chromium
from support.processes import Process
from support.workers import until

PHONE = {"width": 360, "height": 740}
REQUESTS = 6


def test_the_times_of_all_workers_are_on_the_overview(tmp_path: Path, emulate: Callable[..., Process]) -> None:
    with chromium() as browser:
        gateway = DashboardGateway(tmp_path, emulate().url, workers=2)
        secret = gateway.api("POST", "/keys", {"name": "laptop"})["secret"]
        assert gateway.api("GET", "/status")["latency"] == {"request": None, "first_content": None}
        for _ in range(REQUESTS):
            assert gateway.ask(secret).status_code == 200
        until(lambda: (gateway.api("GET", "/status")["latency"]["request"] or {"count": 0})["count"] == REQUESTS)
        latency = gateway.api("GET", "/status")["latency"]
        assert 0 < latency["request"]["p50"]["seconds"] <= latency["request"]["p95"]["seconds"]
        visitor = Visitor(browser, gateway.url, viewport=PHONE)
        visitor.sign_in(gateway.modelmux("dashboard"))
        tile = visitor.page.get_by_role("listitem").filter(has_text="since the start of the processes").first
        assert re.search(rf"Duration\s+\S+ m?s\s+median; p95 .* {REQUESTS} requests", tile.inner_text())
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert visitor.problems == []
        visitor.close()
        gateway.process.stop()
