"""``[[accounts.limits]]``, and ``limits`` of keys, teams and people. Risk: a limit in the file never applies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from behaviour.test_the_configuration_manages_budgets import config, gateway_of
from modelmux.accounts.budgets import Selector
from modelmux.accounts.rates import Rates
from modelmux.config import ConfigError
from support.cli import run

KEY = {"name": "ci", "sha256": "0" * 64, "team": "Data", "limits": {"rpm": 60, "concurrent": 5}}


async def test_the_file_sets_limits(tmp_path: Path) -> None:
    accounts: dict[str, Any] = {
        "teams": [{"name": "Data", "limits": {"tpm": 9}}],
        "people": [{"email": "ann@example.com", "limits": {"otpm": 7}}],
        "keys": [KEY],
        "limits": [{"name": "opus", "applies_to": {"team": "data", "model": "claude-opus-*"}, "rpm": 10}],
    }
    settings = config(tmp_path, **accounts)
    app = gateway_of(settings)
    await app.reload(settings)
    directory = app.directory.current  # type: ignore[union-attr]
    (team,), (person,), (key,) = directory.teams.values(), directory.people.values(), directory.keys.values()
    assert (team.limits, person.limits) == (Rates(tpm=9), Rates(otpm=7))
    assert key.limits == Rates(rpm=60, concurrent=5)
    (limit,) = directory.limits.values()
    assert (limit.limits, limit.managed) == (Rates(rpm=10), True)
    assert limit.applies_to == Selector(team=team.id, model="claude-opus-*")
    await app.reload(config(tmp_path, **accounts | {"limits": [], "keys": [KEY | {"limits": {}}]}))
    directory = app.directory.current  # type: ignore[union-attr]
    assert directory.limits[limit.id].status == "disabled"
    assert directory.keys[key.id].limits is None
    await app.aclose()


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"name": "x"}, "accounts.limits[0].rpm: nothing is limited"),
        ({"name": "x", "rpm": 0}, "accounts.limits[0].rpm: 0 cannot be a limit"),
        ({"name": "x", "rpm": 5, "applies_to": {"key": "gone"}}, "accounts.limits[0].applies_to.key"),
    ],
)
async def test_what_cannot_be_a_limit_is_named(limit: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        gateway_of(config(tmp_path, limits=[limit]))
    assert message in str(caught.value)


def test_the_file_is_checked_without_a_start(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[vertex]\nproject = "p"\nlocation = "global"\n[accounts]\nenabled = true\n'
        '[[accounts.limits]]\nname = "a"\nrpm = 5\nspeed = 1\n'
    )
    result = run("config", "validate", "--config", str(path), home=tmp_path)
    assert result.code != 0
    assert "speed" in result.stderr + result.stdout
