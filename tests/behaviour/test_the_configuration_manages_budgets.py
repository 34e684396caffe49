"""``[[accounts.budgets]]``. Risk: money in a file becomes a float, or the file and the commands fight over a budget."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from modelmux import Config
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.windows import WindowRule
from modelmux.app import Gateway
from modelmux.config import ConfigError, load
from support.cli import run
from support.clock import current_runtime
from support.fakes import FakeTokens, FakeUpstream

EVERYBODY = {"name": "everybody", "applies_to": {"each": "person"}, "limit": "50.000000001", "window": "month"}


def config(folder: Path, **accounts: Any) -> Config:
    settings = {"enabled": True, "store": f"sqlite:{folder}/accounts.db", **accounts}
    vertex = {"project": "p", "location": "global"}
    return Config.from_dict({"vertex": vertex, "auth": {"access_token": "t"}, "accounts": settings})


def gateway_of(settings: Config) -> Gateway:
    upstream = FakeUpstream([])
    return Gateway(settings, upstream=upstream, tokens=FakeTokens(), environment={}, runtime=current_runtime())


async def serve_once(settings: Config) -> None:
    app = gateway_of(settings)
    await app.reload(settings)
    await app.aclose()


def budgets(app: Gateway) -> dict[str, Budget]:
    assert app.directory is not None
    return {one.name: one for one in app.directory.current.budgets.values()}


async def test_a_start_writes_what_the_file_says_and_a_reload_what_it_says_then(tmp_path: Path) -> None:
    teams = [{"name": "Data"}]
    week = {"every": "week", "zone": "Europe/Berlin", "starts": "sunday", "hour": 6}
    data = {
        "name": "data", "applies_to": {"team": "data", "model": "claude-*"}, "limit": 7, "unit": "tokens",
        "window": week, "mode": "soft", "alerts": [1.5, 0.29], "on_short": "wait", "reserve": "expected",
        "enabled": False,
    }  # fmt: skip
    app = gateway_of(config(tmp_path, teams=teams, budgets=[EVERYBODY, data]))
    await app.reload(config(tmp_path, teams=teams, budgets=[EVERYBODY, data]))
    stored = budgets(app)
    (team,) = app.directory.current.teams  # type: ignore[union-attr]
    assert stored["everybody"] == Budget(
        id=stored["everybody"].id, name="everybody", limit=50_000_000_001, window=WindowRule(every="month"),
        applies_to=Selector(each="person"), managed=True,
    )  # fmt: skip
    assert stored["data"] == Budget(
        id=stored["data"].id, name="data", limit=7, unit="tokens", mode="soft", alerts=(29, 150), on_short="wait",
        window=WindowRule(every="week", zone="Europe/Berlin", starts="sunday", hour=6), reserve="expected",
        applies_to=Selector(team=team, model="claude-*"), status="disabled", managed=True,
    )  # fmt: skip
    await app.reload(config(tmp_path, budgets=[EVERYBODY | {"limit": 60}]))
    after = budgets(app)
    assert (after["everybody"].id, after["everybody"].limit) == (stored["everybody"].id, 60_000_000_000)
    assert (after["data"].status, after["data"].managed) == ("disabled", False)
    await app.aclose()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"limit": "fifty"}, "accounts.budgets[0].limit: 'fifty' is not an amount"),
        ({"limit": "0"}, "accounts.budgets[0].limit: 0 cannot be a limit"),
        ({"limit": 0.1}, "accounts.budgets[0].limit"),
        ({"unit": "tokens"}, "accounts.budgets[0].limit: '50.000000001' is not an amount"),
        ({"window": "fortnight"}, "accounts.budgets[0].window"),
        ({"window": {"every": "day", "zone": "Nowhere"}}, "accounts.budgets[0].window.zone: 'Nowhere' is not a time"),
        ({"applies_to": {"team": "dta"}}, "accounts.budgets[0].applies_to.team: there is no team 'dta'"),
        ({"applies_to": {"tema": "dta"}}, "tema"),
        ({"alerts": [0.805]}, "accounts.budgets[0].alerts: 0.805 is not a whole percentage"),
        ({"alerts": [80]}, "accounts.budgets[0].alerts: 8000 % cannot be reached"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        gateway_of(config(tmp_path, budgets=[EVERYBODY | entry]))
    assert message in " ".join(raised.value.problems)


def test_the_commands_refuse_to_edit_it_but_may_raise_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        'vertex.project = "p"\nvertex.location = "global"\nauth.access_token = "t"\n'
        f'[accounts]\nenabled = true\nstore = "sqlite:{tmp_path}/accounts.db"\n'
        '[[accounts.budgets]]\nname = "everybody"\napplies_to = { each = "person" }\nlimit = "50"\nwindow = "month"\n'
    )
    asyncio.run(serve_once(load(path=file)))
    of_file = ("--config", str(file))
    for refused in (("set", "everybody", "--limit", "60"), ("disable", "everybody"), ("enable", "everybody")):
        result = run("budget", *refused, *of_file, home=tmp_path)
        assert result.code == 1
        assert "budget: 'everybody' is managed" in result.stderr
        assert "hint: Change it in the configuration file" in result.stderr
    assert run("budget", "top-up", "everybody", "5", *of_file, home=tmp_path).code == 0
    (shown,) = json.loads(run("budget", "list", "--json", *of_file, home=tmp_path).stdout)
    assert (shown["managed"], shown["limit"], shown["status"]) == (True, "50", "active")
