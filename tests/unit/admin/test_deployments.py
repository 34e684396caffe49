"""Risk: a deployment that is left alone is shown as well, one that is well again as left alone; a name shows the model,
the price or the date of another."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelmux.admin.backend import WorkerState
from modelmux.catalog import builtin
from modelmux.config import Config
from modelmux.telemetry.deployment_report import DeploymentReport
from support.admin import Admin

NOW = 1_795_953_600.0  # 2026-11-29T12:00:00Z
ID = "claude-sonnet-4-6@global"


def worker(index: int, *reports: DeploymentReport) -> WorkerState:
    return WorkerState(
        index=index, pid=index, started=1.0, in_flight=0, directory_version=1, deployments=reports
    )  # fmt: skip


def running(admin: Admin, *workers: WorkerState) -> None:
    admin.app.dispatcher.backend = dataclasses.replace(admin.app.dispatcher.backend, workers=lambda: workers)


async def deployment(admin: Admin, id: str = ID) -> dict[str, Any]:
    (one,) = [one for one in (await admin.ok("GET", "/deployments", role="viewer"))["data"] if one["id"] == id]
    found: dict[str, Any] = one
    return found


@pytest.fixture
async def configured(tmp_path: Path) -> AsyncIterator[Admin]:
    """A route of two deployments, with a fallback and an alias."""
    admin = Admin(tmp_path)
    config = Config.from_dict({
        "vertex": {
            "project": "secret-project-42", "location": "global",
            "models": [
                {"name": "fast", "model": "claude-haiku-4-5", "locations": ["us", "eu"], "fallbacks": ["deep"]},
                {"name": "deep", "model": "claude-opus-4-1"},
            ],
        },
        "aliases": {"gpt-4o": "fast"},
        "accounts": {"enabled": True, "store": f"sqlite:{admin.path}"},
    })  # fmt: skip
    admin.app.dispatcher.backend = dataclasses.replace(admin.backend, config=config)
    yield admin
    await admin.aclose()


async def test_what_was_not_used_is_well(admin: Admin) -> None:
    for workers in ((), (worker(1), worker(2))):
        running(admin, *workers)
        one = await deployment(admin)
        assert (one["in_flight"], one["queued"], one["avoided_by"], one["available_at"]) == (0, 0, 0, None)
        assert (one["circuit"], one["quota"]) == ("closed", "available")


async def test_workers_are_added_up_and_the_worst_counts(admin: Admin) -> None:
    running(
        admin,
        worker(1, DeploymentReport(id=ID, in_flight=3, queued=2)),
        worker(2, DeploymentReport(id=ID, in_flight=4, circuit="open", until=NOW + 5)),
        worker(3, DeploymentReport(id=ID, circuit="half_open", quota="cooldown", until=NOW + 9)),
        worker(4, DeploymentReport(id="another@us", quota="zero", until=NOW + 99)),
    )
    one = await deployment(admin)
    assert (one["in_flight"], one["queued"], one["avoided_by"]) == (7, 2, 2)
    assert (one["circuit"], one["quota"], one["available_at"]) == ("open", "cooldown", "2026-11-29T12:00:09Z")


@pytest.mark.parametrize(
    ("report", "circuit", "quota", "avoided_by"),
    [
        (DeploymentReport(id=ID, quota="cooldown", until=NOW - 1), "closed", "available", 0),
        (DeploymentReport(id=ID, circuit="open", until=NOW - 1), "half_open", "available", 1),
        (DeploymentReport(id=ID, quota="zero", until=NOW - 1), "closed", "zero", 1),
        (DeploymentReport(id=ID, quota="zero"), "closed", "zero", 1),
    ],
)
async def test_a_cooldown_ends_although_no_worker_reports_that(
    admin: Admin, report: DeploymentReport, circuit: str, quota: str, avoided_by: int
) -> None:
    running(admin, worker(1, report))
    one = await deployment(admin)
    assert (one["circuit"], one["quota"], one["avoided_by"]) == (circuit, quota, avoided_by)
    assert one["available_at"] is None


async def test_names_have_their_deployments_and_those_of_their_fallbacks(configured: Admin) -> None:
    models = {one["id"]: one for one in (await configured.ok("GET", "/models", role="viewer"))["data"]}
    assert set(models) == {"fast", "deep", "gpt-4o"}
    fast, deep = models["fast"], models["deep"]
    ids = [one["id"] for one in (await configured.ok("GET", "/deployments"))["data"]]
    assert set(fast["deployments"]) == set(ids)
    assert fast["deployments"][-1:] == deep["deployments"]
    assert (fast["model"], fast["other_models"], fast["fallbacks"]) == (
        "claude-haiku-4-5@20251001", ["claude-opus-4-1@20250805"], ["deep"],
    )  # fmt: skip
    assert models["gpt-4o"]["model"] == fast["model"]
    assert all(one["configured"] for one in models.values())
    assert fast["capabilities"]["structured_output"] is True
    assert set(fast["prices"]["by_location"]) == {"us", "eu", "global"}
    (of_deep,) = [
        one for one in (await configured.ok("GET", "/deployments"))["data"] if one["id"] in deep["deployments"]
    ]
    assert of_deep["routes"] == ["fast", "deep", "gpt-4o"]


async def test_a_retirement_is_told_with_its_remedy(admin: Admin) -> None:
    card = next(card for card in builtin().cards if card.retires_on is not None and card.retired_on is None)
    assert card.retires_on is not None

    async def at(days: int) -> dict[str, Any]:
        admin.time = (card.retires_on - date(1970, 1, 1) - timedelta(days)) // timedelta(microseconds=1)  # type: ignore[operator]
        one: dict[str, Any] = {one["id"]: one for one in (await admin.ok("GET", "/models"))["data"]}[card.base]
        return one

    early, late = await at(61), await at(60)
    assert (early["lifecycle"], early["notice"], early["retires_on"]) == ("active", None, card.retires_on.isoformat())
    assert (late["lifecycle"], late["replacement"]) == ("deprecated", card.replacement)
    assert "in 60 days; move to" in late["notice"]


async def test_prices_are_those_of_today_with_their_age(admin: Admin) -> None:
    models = {one["id"]: one for one in (await admin.ok("GET", "/models"))["data"]}
    one = models["claude-sonnet-4-6"]
    assert not one["configured"], "all of the catalog is served"
    assert one["price_checked_on"].startswith("2026-")
    assert 0 <= one["price_age_days"] < 365
    form = {"model": "claude-sonnet-4-6", "valid_from": "2026-11-01", "input": "2"}
    await admin.ok("POST", "/prices", form)
    await admin.ok("POST", "/prices", form | {"valid_from": "2026-12-24", "input": "9"})
    one = {one["id"]: one for one in (await admin.ok("GET", "/models"))["data"]}["claude-sonnet-4-6"]
    assert (one["prices"]["by_location"]["global"]["input"], one["price_age_days"]) == ("2", None)


async def test_neither_list_has_a_project(configured: Admin) -> None:
    running(configured, worker(1, DeploymentReport(id=ID, circuit="open", until=NOW)))
    for path in ("/deployments", "/models"):
        text = json.dumps(await configured.ok("GET", path, role="viewer"))
        assert "secret-project-42" not in text
        assert "https://" not in text.replace('"source": "https://', "")
