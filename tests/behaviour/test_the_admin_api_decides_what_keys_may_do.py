"""What is changed over the admin API is what the gateway decides by, and what it shows is what was spent.

Risk: a key that was revoked works on, a rotation locks a client out, a budget shows one number and enforces another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelmux.app import Gateway
from support.admin import PEPPER, Admin
from support.asgi import Response, request
from support.clock import NOW
from support.fakes import FakeUpstream, message_reply
from support.gateway import MODEL, PATH, ask, gateway


class Both:
    """A gateway, and the admin API of its accounts."""

    def __init__(self, folder: Path) -> None:
        self.admin = Admin(folder)
        self.admin.time = int(NOW * 1e6) - 1_000_000  # the clock of the gateway stands still
        self.upstream = FakeUpstream([message_reply() for _ in range(20)])
        accounts = {"enabled": True, "store": f"sqlite:{self.admin.path}", "peppers": [PEPPER.decode()]}
        self.gateway: Gateway = gateway(self.upstream, accounts=accounts)

    async def ask(self, secret: str) -> Response:
        await self.gateway.directory.refresh()  # type: ignore[union-attr]
        return await request(self.gateway, "POST", PATH, ask(), {"authorization": f"Bearer {secret}"})


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    both = Both(tmp_path)
    yield both
    await both.gateway.aclose()
    await both.admin.aclose()


async def test_a_key_works_from_its_reply_until_it_is_revoked(both: Both) -> None:
    made = await both.admin.ok("POST", "/keys", {"name": "laptop"})
    assert (await both.ask(made["secret"])).status == 200
    await both.admin.ok("PATCH", f"/keys/{made['id']}", {"models": ["nothing"]})
    assert (await both.ask(made["secret"])).json()["error"]["code"] == "model_not_allowed"
    await both.admin.ok("PATCH", f"/keys/{made['id']}", {"models": [MODEL]})
    assert (await both.ask(made["secret"])).status == 200
    await both.admin.ok("POST", f"/keys/{made['id']}/revoke")
    assert (await both.ask(made["secret"])).json()["error"]["code"] == "key_revoked"


async def test_a39_both_secrets_work_until_the_grace_ends(both: Both) -> None:
    made = await both.admin.ok("POST", "/keys", {"name": "laptop"})
    new = await both.admin.ok("POST", f"/keys/{made['id']}/rotate", {"grace": 3600})
    assert [(await both.ask(one["secret"])).status for one in (made, new)] == [200, 200]
    last = await both.admin.ok("POST", f"/keys/{made['id']}/rotate", {"grace": 0})
    answers = [await both.ask(one["secret"]) for one in (made, new, last)]
    assert [one.status for one in answers] == [401, 401, 200]
    assert answers[0].json()["error"]["code"] == "key_expired"


async def test_a_secret_that_was_lost_with_its_reply_does_not_work(both: Both) -> None:
    lost = await both.admin.ok("POST", "/keys", {"name": "laptop"}, idempotency_key="one")
    again = await both.admin.ok("POST", "/keys", {"name": "laptop"}, idempotency_key="one")
    assert [(await both.ask(one["secret"])).status for one in (lost, again)] == [401, 200]


async def test_a_token_of_the_admin_api_opens_no_model_and_a_key_no_admin_api(both: Both) -> None:
    made = await both.admin.ok("POST", "/keys", {"name": "laptop"})
    error = await both.admin.refused(401, "GET", "/keys", authorization=f"Bearer {made['secret']}")
    assert "virtual key" in error["message"]
    assert (await both.ask("mmx-admin-" + "a" * 49)).status == 401


async def test_a4_the_number_that_is_enforced_is_the_number_that_is_shown(both: Both) -> None:
    made = await both.admin.ok("POST", "/keys", {"name": "laptop"})
    path = f"/budgets/{(await both.admin.ok('POST', '/budgets', {'limit': '1', 'unit': 'requests'}))['id']}"
    assert (await both.ask(made["secret"])).status == 200
    await _until_spent(both.admin, path, "1")
    refused = await both.ask(made["secret"])
    assert (refused.status, refused.json()["error"]["code"]) == (429, "budget_exceeded")
    (shown,) = (await both.admin.ok("GET", f"/keys/{made['id']}"))["budgets"]
    assert (shown["limit"], shown["spent"], shown["held"]) == ("1", "1", "0")
    await both.admin.ok("POST", f"{path}/top-up", {"amount": 1})
    assert (await both.ask(made["secret"])).status == 200
    await both.admin.ok("PATCH", path, {"status": "disabled"})
    assert (await both.ask(made["secret"])).status == 200
    assert (await both.admin.ok("GET", f"/keys/{made['id']}"))["budgets"] == []


async def _until_spent(admin: Admin, path: str, spent: str) -> None:
    for _ in range(2_000):  # rows are written in the background
        (window,) = (await admin.ok("GET", path))["windows"]
        if (window["spent"], window["held"]) == (spent, "0"):
            return
        admin.time += 100_000  # for the limit of calls
        await asyncio.sleep(0.01)
    raise AssertionError(window)


async def test_a_price_that_is_added_is_what_requests_cost_and_what_budgets_hold(both: Both) -> None:
    """Of the day of the request; what was charged before stays as it was."""
    made = await both.admin.ok("POST", "/keys", {"name": "laptop"})
    await both.admin.ok("POST", "/budgets", {"applies_to": {"key": "laptop"}, "limit": "50", "window": "lifetime"})
    assert (await both.ask(made["secret"])).status == 200
    assert both.gateway.metering.writer is not None
    await both.gateway.metering.writer.exchange()  # its row is made with the prices of before
    today = datetime.fromtimestamp(NOW, UTC).date().isoformat()
    form = {"model": MODEL, "valid_from": today, "input": "1000", "output": "1000"}
    await both.admin.ok("POST", "/prices", form)
    assert (await both.ask(made["secret"])).status == 200
    await both.gateway.aclose()
    rows = (await both.admin.ok("GET", "/requests"))["data"]
    assert sorted(row["cost"]["amount"] for row in rows) == ["0.000066", "0.01"]
    (budget,) = (await both.admin.ok("GET", f"/keys/{made['id']}"))["budgets"]
    assert budget["spent"] == "0.010066"
    await both.admin.ok("POST", "/prices", form | {"model": "claude-opus-4-6", "input": "999999"})
