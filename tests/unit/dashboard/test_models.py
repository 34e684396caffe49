"""Risk: a deployment that is left alone looks well, a model shows what another one takes or costs, a project leaks."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator
from datetime import date, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from modelmux.admin.backend import WorkerState
from modelmux.catalog import builtin
from modelmux.catalog.prices import builtin_prices
from modelmux.config import Config
from modelmux.telemetry.deployment_report import DeploymentReport
from support.dashboard import Browser, text_of
from support.directories import NOW
from support.entries import entry
from support.foreign_text import NASTY, assert_harmless

SECONDS = NOW / 1_000_000


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """A route of two deployments, with a fallback and an alias."""
    browser = Browser(tmp_path)
    config = {
        "vertex": {
            "project": "secret-project-42", "location": "global",
            "models": [
                {"name": "fast", "model": "claude-haiku-5-5", "locations": ["us", "eu"], "fallbacks": ["deep"]},
                {"name": "deep", "model": "claude-opus-5-5"}, {"name": "odd", "model": "claude-unheard-of"},
            ],
        },
        "aliases": {"gpt-4o": "fast"},
        "accounts": {"enabled": True, "store": f"sqlite:{browser.admin.path}"},
    }  # fmt: skip
    serve(browser, config=Config.from_dict(config))
    yield browser
    await browser.admin.aclose()


def serve(browser: Browser, **backend: Any) -> None:
    dispatcher = browser.admin.app.dispatcher
    dispatcher.backend = dataclasses.replace(dispatcher.backend, **backend)


def report(browser: Browser, *reports: DeploymentReport) -> None:
    workers = [WorkerState(
        index=1, pid=1, started=1.0, in_flight=0, directory_version=10**9, deployments=reports
    )]  # fmt: skip
    serve(browser, workers=lambda: workers)


async def ids(browser: Browser) -> dict[str, str]:
    """Location -> deployment of the route ``fast``."""
    page = await browser.admin.ok("GET", "/deployments")
    return {one["location"]: one["id"] for one in page["data"] if "haiku" in one["model"]}


async def test_names_models_and_deployments_belong_together(browser: Browser) -> None:
    await browser.sign_in()
    data = await browser.data("/dashboard/models")
    models = {one["id"]: one for one in data["models"]}
    assert set(models) == {"claude-haiku-5-5", "claude-opus-5-5", "claude-unheard-of"}
    names = {one["name"]: one for one in models["claude-haiku-5-5"]["names"]}
    assert set(names) == {"fast", "gpt-4o"}
    assert [one["model"] for one in names["fast"]["deployments"]] == ["claude-haiku-5-5"] * 2 + ["claude-opus-5-5"]
    assert len(data["deployments"]) == 4
    text = text_of(await browser.page("/dashboard/models"))
    assert "fast, gpt-4o" in text
    assert "The catalog does not have this model" in text
    assert "Its price is unknown" in text
    assert "secret-project-42" not in text


async def test_a_deployment_that_is_left_alone_is_shown_so(browser: Browser) -> None:
    await browser.sign_in()
    of = await ids(browser)

    async def states() -> dict[str, str]:
        return {one["id"]: one["state"] for one in (await browser.data("/dashboard/models"))["models"]}

    assert set((await states()).values()) == {"available"}
    report(browser, DeploymentReport(id=of["us"], circuit="open", until=SECONDS + 100, in_flight=2))
    assert (await states())["claude-haiku-5-5"] == "limited"
    assert (await states())["claude-opus-5-5"] == "available"
    report(
        browser, DeploymentReport(id=of["us"], circuit="open", until=SECONDS + 100),
        DeploymentReport(id=of["eu"], quota="cooldown", until=SECONDS + 100),
    )  # fmt: skip
    assert (await states())["claude-haiku-5-5"] == "unavailable"
    text = text_of(await browser.page("/dashboard/models"))
    assert "open" in text
    assert "cooldown" in text
    assert "2026-11-29 12:01 UTC" in text


async def test_usage_is_that_of_a_day_and_leads_to_its_requests(browser: Browser) -> None:
    hour = 3_600_000_000
    await browser.admin.ledger.append([  # type: ignore[attr-defined]
        entry(NOW - hour, model="claude-opus-5-5"), entry(NOW - 2 * hour, model="claude-opus-5-5", status=502,
              outcome="upstream_error"), entry(NOW - 30 * hour, model="claude-opus-5-5"),
    ])  # fmt: skip
    await browser.sign_in()
    first = (await browser.data("/dashboard/models"))["models"][0]
    assert (first["id"], first["requests"], first["error_percent"]) == ("claude-opus-5-5", 2, 50.0)
    (link,) = re.findall(r'href="(/dashboard/requests\?[^"]*)"', await browser.page("/dashboard/models"))
    assert len((await browser.data(unescape(link)))["data"]) == 2
    html = (await browser.get("/dashboard/models", authorization="Bearer token-viewer")).body.decode()
    assert "/dashboard/requests" not in html


async def test_what_a_model_takes_is_said_in_words(browser: Browser) -> None:
    await browser.sign_in()
    one = {one["id"]: one for one in (await browser.data("/dashboard/models"))["models"]}["claude-opus-5-5"]
    card = builtin().card("claude-opus-5-5")
    assert ("has a fast mode" in one["notes"]) == card.fast_mode
    assert ("takes no temperature, top_p and top_k" in one["notes"]) == (card.sampling == "reject")
    assert one["price_checked_on"] == str(builtin_prices().price(card.id, date(2026, 11, 29)).checked_on)  # type: ignore[union-attr]


async def test_no_names_are_no_table(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    await browser.sign_in()
    read = browser.admin.app.dispatcher.run

    async def nothing(operation: Any, *args: Any, **options: Any) -> Any:
        reply = await read(operation, *args, **options)
        if operation.path in ("/models", "/deployments"):
            reply.body.data.clear()
        return reply

    monkeypatch.setattr(browser.admin.app.dispatcher, "run", nothing)
    assert "No model is served." in text_of(await browser.page("/dashboard/models"))


async def attention(browser: Browser) -> dict[str, str]:
    return {one["text"]: one["level"] for one in (await browser.data("/dashboard"))["attention"]}


async def test_the_overview_tells_of_deployments(browser: Browser) -> None:
    await browser.sign_in()
    of = await ids(browser)
    report(
        browser, DeploymentReport(id=of["us"], in_flight=9), DeploymentReport(id=of["eu"], quota="cooldown", until=1)
    )
    assert await attention(browser) == {}
    report(
        browser, DeploymentReport(id=of["us"], circuit="open", until=SECONDS + 100),
        DeploymentReport(id=of["eu"], quota="zero", circuit="half_open"),
    )  # fmt: skip
    assert await attention(browser) == {
        f"{of['us']}: its circuit breaker is open": "bad",
        f"{of['eu']}: its circuit breaker tries a request": "warn",
        f"{of['eu']}: its quota seems to be zero": "bad",
    }
    await browser.sign_in(None)
    response = await browser.get("/dashboard.json", authorization="Bearer token-member")
    assert response.json()["attention"] == []


async def test_the_overview_tells_of_retirements_and_old_prices(browser: Browser) -> None:
    card = builtin().card("claude-haiku-5-5")
    assert card.retires_on is not None
    browser.admin.time = (card.retires_on - date(1970, 1, 1) - timedelta(days=61)) // timedelta(microseconds=1)
    await browser.sign_in()
    assert [text for text in await attention(browser) if "retired" in text] == []
    old = [text for text in await attention(browser) if "compared with their source" in text]
    assert len(old) == 1, "it is a year later"
    browser.admin.time += 2 * 86_400_000_000
    await browser.sign_in()
    assert len([text for text in await attention(browser) if "may be retired from" in text]) == 1


async def test_a_model_that_only_the_catalog_has_is_told_of_if_it_is_used(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    card = next(
        one for one in builtin().cards if one.retires_on and date(2026, 11, 30) < one.retires_on < date(2027, 1, 1)
    )
    await browser.sign_in()
    assert await attention(browser) == {}
    await browser.admin.ledger.append([entry(NOW - 1, model=card.id)])  # type: ignore[attr-defined]
    assert [text.partition(" ")[0] for text in await attention(browser)] == [card.id]
    await browser.admin.aclose()


@pytest.mark.parametrize("text", NASTY)
async def test_s13_names_of_the_configuration_do_not_run(browser: Browser, text: str) -> None:
    name = text.replace("\u2028", "")
    vertex = {"project": "p", "location": "us", "models": [
        {"name": name, "model": "claude-opus-5-5"}, {"name": "other", "model": name, "fallbacks": [name]},
    ]}  # fmt: skip
    serve(browser, config=Config.from_dict({
        "vertex": vertex, "accounts": {"enabled": True, "store": f"sqlite:{browser.admin.path}"},
    }))  # fmt: skip
    await browser.sign_in()
    html = await browser.page("/dashboard/models")
    assert_harmless(html, text)
    assert name in unescape(html)
