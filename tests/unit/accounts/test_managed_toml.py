"""Risk: what is exported is not what there is, once it is a configuration."""

from __future__ import annotations

import tomllib
from typing import Any

from modelmux.accounts.budgets import Selector
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.managed import plan
from modelmux.accounts.managed_diff import changes_of
from modelmux.accounts.managed_toml import to_toml
from modelmux.accounts.rates import Limit, Rates
from modelmux.accounts.windows import WindowRule
from modelmux.config import Config
from modelmux.store.directory.managed import wanted_of
from support.directories import NOW, budget, directory_of, key, person, secret, team

PEPPER = bytes(32)
SECRETS = {"CI_KEY": "x1" * 16, "CI_KEY_2": "y2" * 16, "MODELMUX_KEY": "z3" * 16, "OFF_KEY": "w4" * 16}
DIRECTORY = directory_of(
    team("team_a", 'Top "quoted" \\ ü', zone="Europe/Berlin", contact="ann@example.com", limits=Rates(rpm=5, tpm=7)),
    team("team_b", "Data", parent="team_a", status="disabled"), person("usr_a", "ann@example.com", name="Ann"),
    key("key_a", "ci", team="team_b", person="usr_a", models=("fast", "claude-*"), apis=("chat",), expires=NOW + 1,
        addresses=("10.0.0.0/8",), tags=(("app", "chat"), ("env", "prod")), limits=Rates(concurrent=2), capture=True),
    key("key_b", "CI!"), key("key_c", "!!"), key("key_d", "off", status="disabled"),
    key("key_e", "gone", status="revoked"),
    key("key_f", "imported"), secret("theirs", "key_f", kind="sha256"),
    budget("bud_a", "week", 25 * 10**7, window=WindowRule(every="week", starts="sunday", hour=6, zone="UTC"),
           team="team_b", each="person", mode="soft", alerts=(50, 120), on_short="wait", reserve="expected"),
    budget("bud_b", "many", 10**6, "day", unit="tokens", tag="app=chat", status="disabled"),
)  # fmt: skip


def with_limit() -> Directory:
    limit = Limit(
        id="lim_a", name="opus", limits=Rates(rpm=10), applies_to=Selector(model="claude-opus-*", key="key_a")
    )
    return DIRECTORY.updated(Changes(version=2, limits=[limit]))


def config_of(text: str) -> Config:
    accounts: dict[str, Any] = tomllib.loads(text)["accounts"]
    return Config.from_dict({"accounts": {"enabled": True, **accounts}})


def test_a_configuration_with_it_changes_nothing_but_who_manages_it() -> None:
    directory = with_limit()
    text = to_toml(directory)
    edit = plan(directory, wanted_of(config_of(text), PEPPER, SECRETS), str, NOW)
    changes = changes_of(directory, edit)
    assert {one.action for one in changes} == {"change"}
    assert {field for one in changes for field in one.after} == {"managed", "secret"}
    assert len(changes) == 11, "all but the one that was revoked"
    assert {one.name for one in changes if "secret" in one.after} == {"ci", "CI!", "!!", "off"}


def test_it_is_short_and_in_order() -> None:
    text = to_toml(
        directory_of(budget("bud_a", "b", 50 * 10**9), budget("bud_b", "A", 10**9, mode="soft"), key("k", "a b"))
    )
    assert text == (
        '[[accounts.keys]]\nname = "a b"\nvariable = "A_B_KEY"\n\n'
        '[[accounts.budgets]]\nname = "A"\nlimit = "1"\nmode = "soft"\n\n'
        '[[accounts.budgets]]\nname = "b"\nlimit = "50"\n'
    )
    assert to_toml(Directory()) == ""


def test_no_hash_with_the_pepper_is_in_it() -> None:
    directory = directory_of(key(), secret())
    assert secret().digest.hex() not in to_toml(directory)
