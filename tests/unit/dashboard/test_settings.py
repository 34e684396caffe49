"""Risk: a page shows a secret, a setting with the origin of another, or to somebody whose role may not see it."""

from __future__ import annotations

import dataclasses
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.edits import save_team, set_member
from modelmux.accounts.records import Team
from modelmux.accounts.roles import ROLES
from modelmux.admin.backend import WorkerState
from modelmux.config.effective_config import Setting, Settings, settings_of
from modelmux.config.load import load_text
from modelmux.store.directory.base import Author
from support.admin import organisation
from support.cli import run
from support.dashboard import Browser, text_of
from support.directories import NOW
from support.foreign_text import NASTY, assert_harmless

PAGES = ("/dashboard/settings", "/dashboard/settings/people", "/dashboard/settings/audit")
CONFIG = """
[server]
api_keys = ["sk-canary-of-clients"]
port = 3456
seal_keys = ["canary-of-seals-canary-of-seals-canary"]
[auth]
access_token = "canary-of-google"
[vertex]
project = "p"
location = "eu"
base_url = "https://canary-user:canary-password@proxy.example.com"
[[vertex.models]]
name = "fast"
model = "claude-haiku-4-5"
[accounts]
enabled = true
webhook = "https://canary-hook:canary-pass@hooks.example.com/x"
[[accounts.keys]]
name = "ci"
variable = "CI_KEY"
[admin]
token = "canary-of-the-owner-canary"
[[admin.tokens]]
name = "viewer"
role = "viewer"
token = "canary-of-a-viewer-canary"
"""


def show(browser: Browser, settings: Settings, **backend: Any) -> None:
    dispatcher = browser.admin.app.dispatcher
    dispatcher.backend = dataclasses.replace(dispatcher.backend, settings=settings, **backend)


async def test_the_page_shows_what_the_command_shows(browser: Browser, tmp_path: Path) -> None:
    """Secrets are masked by the same code; this would see a second one."""
    (tmp_path / "c.toml").write_text(CONFIG)
    result = run("config", "show", "--config", "c.toml", "--all", "--json", home=tmp_path)
    assert result.code == 0, result.stderr
    printed = json.loads(result.stdout)
    show(browser, settings_of(load_text(CONFIG, "c.toml")))
    await browser.sign_in()
    data = await browser.data("/dashboard/settings")
    shown = {one["name"]: one for one in data["set"] + data["defaults"]}
    assert {name: one["origin"] for name, one in shown.items()} == printed["origin"]
    assert shown["vertex.models.0.name"]["value"] == "fast"
    for name in ("server.port", "server.api_keys", "auth.access_token", "admin.tokens.0.token", "vertex.base_url"):
        value = printed["config"]
        for part in name.split("."):
            value = value[int(part) if part.isdigit() else part]
        assert shown[name]["value"] == value, name
    html = await browser.page("/dashboard/settings")
    for text in (html, json.dumps(data), json.dumps(await browser.admin.ok("GET", "/settings"))):
        assert "canary" not in text
        assert "***" in text
    assert "c.toml:4" in text_of(html)
    assert [one["name"] for one in data["set"] if one["origin"] == "default"] == []


@pytest.mark.parametrize("role", ROLES)
async def test_only_who_may_sees_them(browser: Browser, role: str) -> None:
    await organisation(browser.admin)
    statuses = {path: (await browser.get(path, authorization=f"Bearer token-{role}")).status for path in PAGES}
    may = {"owner": (200, 200, 200), "admin": (200, 200, 200), "auditor": (403, 403, 200)}.get(role, (403, 403, 403))
    assert tuple(statuses.values()) == may
    overview = (await browser.get("/dashboard", authorization=f"Bearer token-{role}")).body.decode()
    assert ('href="/dashboard/settings"' in overview) == (role in ("owner", "admin"))
    assert ('href="/dashboard/settings/audit"' in overview) == (role == "auditor")


async def test_workers_store_and_telemetry_are_shown(browser: Browser) -> None:
    await organisation(browser.admin)
    workers = [
        WorkerState(index=1, pid=4321, started=1.0, in_flight=3, directory_version=10**9),
        WorkerState(index=2, pid=4322, started=1.0, in_flight=0, directory_version=None),
    ]
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://canary:canary@c:4318", "OTEL_METRICS_EXPORTER": "none"}
    default = Setting(name="server.port", value=3000, origin="default")
    settings = Settings(values=(default,), warnings=("vertex.region is an old name",))
    show(browser, settings, workers=lambda: workers, environment=environment)
    await browser.sign_in()
    data, text = await browser.data("/dashboard/settings"), text_of(await browser.page("/dashboard/settings"))
    assert (data["gateway"]["traces"], data["gateway"]["metrics"]) == ("otlp", "off")
    assert "canary" not in text
    for words in ("4321", "current", "4322", "behind", "region is an old name", "all settings have their defaults"):
        assert words in text


async def test_people_have_the_role_with_which_they_sign_in(browser: Browser) -> None:
    await organisation(browser.admin)
    await browser.admin.edit(lambda d: save_team(d, Team(id="team_more", name="more")))
    await browser.admin.edit(lambda d: set_member(d, "usr_own", "team_more", "team_admin"))
    await browser.sign_in()
    rows = {one["email"]: one for one in (await browser.data("/dashboard/settings/people"))["data"]}
    assert rows["own@example.com"]["role"] == "team_admin"
    assert [one["team"] for one in rows["own@example.com"]["teams"]] == ["more", "own"]
    assert rows["other@example.com"]["role"] == "member"
    await browser.admin.ok("PATCH", "/people/usr_own", {"status": "disabled"})
    html = await browser.page("/dashboard/settings/people")
    rows = {one["email"]: one for one in (await browser.data("/dashboard/settings/people"))["data"]}
    assert (rows["own@example.com"]["role"], rows["own@example.com"]["status"]) == (None, "disabled")
    assert "modelmux people link" in html
    (link,) = re.findall(r'href="(/dashboard/keys\?person=own[^"]*)"', html)
    assert [one["name"] for one in (await browser.data(unescape(link)))["data"]] == ["own"]


async def test_a_change_of_very_many_records_is_not_read_for_the_page(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelmux.dashboard.settings._LONGEST_CHANGE", "10")
    await organisation(browser.admin)
    await browser.sign_in()
    rows = (await browser.data("/dashboard/settings/audit"))["data"]
    assert rows
    assert all(one["is_cut"] and one["changes"] == [] for one in rows)
    assert "Too much to show" in text_of(await browser.page("/dashboard/settings/audit"))


async def test_changes_of_many_records_are_no_page_of_megabytes(browser: Browser) -> None:
    for number in range(60):
        records = {f"r{each}": {"a": ["<"] * 100, "b": "<" * 300} for each in range(100)}
        await browser.admin.store.note(Author("ann", "cli"), NOW, "note", f"s{number}", records)
    await browser.sign_in()
    path, seen = "/dashboard/settings/audit", []
    while path:
        html = await browser.page(path)
        assert len(html) < 1_000_000
        seen += [one["subject"] for one in (await browser.data(path))["data"]]
        path = next((unescape(one) for one in re.findall(r'rel="next" href="([^"]*)"', html)), "")
    assert seen == [f"s{number}" for number in reversed(range(60))]


async def test_the_audit_log_is_read_page_by_page(browser: Browser) -> None:
    await organisation(browser.admin)
    key = await browser.admin.ok("POST", "/keys", {"name": "first"})
    await browser.admin.ok("PATCH", f"/keys/{key['id']}", {"name": "second"})
    for number in range(60):
        await browser.admin.ok("PATCH", f"/keys/{key['id']}", {"name": f"name-{number}"})
    await browser.sign_in()
    path, seen, pages = "/dashboard/settings/audit", [], 0
    while path:
        html = await browser.page(path)
        seen += [one["id"] for one in (await browser.data(path))["data"]]
        path = next((unescape(one) for one in re.findall(r'rel="next" href="([^"]*)"', html)), "")
        pages += 1
    assert pages == 2
    assert len(seen) == len(set(seen)) >= 62
    assert seen == sorted(seen, key=int, reverse=True)
    rows = (await browser.data(f"/dashboard/settings/audit?subject={key['id']}"))["data"]
    assert {one["subject"] for one in rows} == {key["id"]}
    assert rows[0]["changes"] == [{
        "record": key["id"], "field": "name", "before": "name-58", "after": "name-59",
    }]  # fmt: skip
    text = text_of(await browser.page(f"/dashboard/settings/audit?subject={key['id']}"))
    assert "name: name-58 name-59" in text
    assert key["secret"] not in text
    for digest in (await browser.admin.directory()).all_secrets():
        assert digest.digest.hex() not in text
    assert 'role="alert"' in await browser.page("/dashboard/settings/audit?after=x")


async def test_none_of_them_is_said_so(browser: Browser) -> None:
    await browser.sign_in()
    assert "No people." in text_of(await browser.page("/dashboard/settings/people"))
    assert "No changes." in text_of(await browser.page("/dashboard/settings/audit"))
    text = text_of(await browser.page("/dashboard/settings"))
    assert "None has reported yet." in text
    assert "The program that started this gateway has set it" in text


@pytest.mark.parametrize("text", NASTY)
async def test_s13_text_of_others_does_not_run(browser: Browser, text: str) -> None:
    name = text.replace("\u2028", "")
    setting = Setting(name=text, value=[text], origin=text)
    show(browser, Settings(values=(setting,), warnings=(text,)))
    person = await browser.admin.ok("POST", "/people", {"email": "x@example.com", "name": name})
    team = await browser.admin.ok("POST", "/teams", {"name": name})
    await browser.admin.edit(lambda d: set_member(d, person["id"], team["id"], "team_admin"))
    await browser.sign_in()
    for path in PAGES:
        html = await browser.page(path)
        assert_harmless(html, text)
        assert name in unescape(html).replace("\\u2028", "").replace("\u2028", "").replace('\\"', '"'), path
    assert_harmless(await browser.page(f"/dashboard/settings/audit?subject={text.encode().hex()}"), text)
