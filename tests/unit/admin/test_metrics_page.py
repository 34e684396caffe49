"""Risk: who may not read the numbers of the gateway does, or Prometheus cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelmux.accounts.roles import ROLES
from modelmux.admin.listener import AdminListener
from modelmux.admin.metrics_page import MetricsPage
from modelmux.admin.rate_limit import FAILURES
from modelmux.config import Config
from modelmux.telemetry.metrics import Metrics
from support.admin import Admin
from support.asgi import Response, request

OPEN_METRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"


class Scraped:
    def __init__(self, folder: Path) -> None:
        self.admin, self.metrics = Admin(folder), Metrics()
        self.metrics.requests.add("claude", "ok")
        self.listener = AdminListener("127.0.0.1", self._nothing, self._nothing)
        self.serve({"token": "owner-token"})

    def serve(self, admin: dict[str, str]) -> None:
        page = MetricsPage(self.admin.app.callers, self._read)
        self.listener.serve(Config.from_dict({"admin": admin}), self.admin.app, metrics=page)

    async def get(self, token: str | None = "token-viewer", method: str = "GET", **headers: str) -> Response:
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return await request(self.listener, method, "/metrics", headers=headers)

    def _read(self, open_metrics: bool) -> bytes:
        return self.metrics.expose(open_metrics=open_metrics)

    async def _nothing(self) -> None:
        pass


@pytest.fixture
async def scraped(tmp_path: Path) -> AsyncIterator[Scraped]:
    scraped = Scraped(tmp_path)
    yield scraped
    await scraped.admin.aclose()


async def test_roles_that_may_read_the_status_read_the_numbers(scraped: Scraped) -> None:
    statuses = {role: (await scraped.get(f"token-{role}")).status for role in ROLES}
    refused = dict.fromkeys(("team_admin", "member", "auditor"), 403)
    assert statuses == {"owner": 200, "admin": 200, "viewer": 200} | refused


async def test_without_a_token_nothing_is_shown_on_loopback_either(scraped: Scraped) -> None:
    session = {"cookie": "modelmux_session=whatever"}
    for token, headers in ((None, {}), ("wrong", {}), ("sk-mmx-a-virtual-key", {}), (None, session)):
        response = await scraped.get(token, **headers)
        assert response.status == 401
        assert b"modelmux_requests_total" not in response.body
    scraped.serve({})
    assert (await scraped.get()).status == 401, "no token is configured"


async def test_a_page_of_a_rebound_name_does_not_get_there(scraped: Scraped) -> None:
    assert (await scraped.get(host="evil.example")).status == 421


async def test_tokens_are_not_guessed_there(scraped: Scraped) -> None:
    statuses = [(await scraped.get("wrong")).status for _ in range(FAILURES + 1)]
    assert statuses == [401] * FAILURES + [429]


async def test_the_scraper_chooses_the_format(scraped: Scraped) -> None:
    plain, open_metrics = await scraped.get(), await scraped.get(accept=OPEN_METRICS)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'modelmux_requests_total{outcome="ok",route="claude"} 1.0' in plain.body
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert open_metrics.body.endswith(b"# EOF\n")
    assert (await scraped.get(method="HEAD")).body == b""
    refused = await scraped.get(method="POST")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
