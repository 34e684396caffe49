"""Risk: a setting of accounts that cannot work is found out by the first request, or by the first report."""

from __future__ import annotations

import zoneinfo
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from modelmux import Config, ConfigError
from modelmux.app import Gateway
from modelmux.cli.config.checks import config_problems
from modelmux.config import load_all
from modelmux.config.accounts_check import check_accounts, header_names, outage_allowance, zone_of
from support.fakes import FakeTokens, FakeUpstream

HERE = {"project": "p", "location": "global"}


def problems(**accounts: Any) -> list[str]:
    try:
        check_accounts(Config.from_dict({"accounts": accounts}).accounts)
    except ConfigError as error:
        return error.problems
    return []


URL = "postgresql://u:p@h/d"
PEPPERS = ["p" * 40]


@pytest.mark.parametrize(
    ("accounts", "problem"),
    [
        (
            {"store": URL, "enabled": True},
            "accounts.peppers: none is set, and nodes that share a database need the same",
        ),
        ({"store": "postgresql://u:p@h", "peppers": PEPPERS}, "accounts.store: it is not the URL of a database"),
        ({"store": URL, "listen_url": "postgresql://h/d?x=1"}, "accounts.listen_url: it has the parameter 'x'"),
        ({"listen_url": URL}, "accounts.listen_url: has no effect while accounts.store is not the URL"),
    ],
)
def test_a_database_of_accounts_is_checked(accounts: dict[str, Any], problem: str) -> None:
    (found,) = problems(**accounts)
    assert found.replace("listen_url has", "listen_url: has").startswith(problem)
    assert problems(store=URL, listen_url=URL, peppers=PEPPERS, enabled=True) == []


@pytest.mark.parametrize("accounts", [{"require_key": True}, {"keys": [{"name": "a", "variable": "A"}]}])
def test_keys_that_nothing_would_ask_for_are_an_error(accounts: dict[str, Any]) -> None:
    (name,) = accounts
    unused = f"accounts.{name} has no effect while accounts.enabled is false: requests would need none of these keys"
    assert [problem.replace(": has", " has") for problem in problems(**accounts)] == [unused]
    assert problems(enabled=True, **accounts) == []


@pytest.mark.parametrize(
    "accounts", [{"budgets": [{"name": "month", "limit": "5"}]}, {"limits": [{"name": "all", "rpm": 5}]}]
)
def test_budgets_and_limits_that_would_refuse_nothing_are_an_error(accounts: dict[str, Any]) -> None:
    (name,) = accounts
    expected = f"accounts.{name} has no effect while accounts.enabled is false: nothing would be counted or refused"
    assert [problem.replace(": has", " has") for problem in problems(**accounts)] == [expected]
    assert problems(enabled=True, **accounts) == []


@pytest.mark.parametrize(
    ("accounts", "problem"),
    [
        ({"zone": "Nowhere/X"}, "accounts.zone: 'Nowhere/X' is not a time zone of this machine"),
        ({"zone": "Europe"}, "accounts.zone: 'Europe' is not a time zone of this machine"),
        ({"zone": "../etc"}, "accounts.zone: '../etc' is not a time zone of this machine"),
        ({"zone": ""}, "accounts.zone: '' is not a time zone of this machine"),
        ({"end_user_headers": ["x-a", "x-имя"]}, "accounts.end_user_headers[1]: 'x-имя' is not the name of a header"),
        ({"end_user_headers": ["x-üser"]}, "accounts.end_user_headers[0]: 'x-üser' is not the name of a header"),
        ({"end_user_headers": ["x user"]}, "accounts.end_user_headers[0]: 'x user' is not the name of a header"),
        ({"end_user_headers": [""]}, "accounts.end_user_headers[0]: '' is not the name of a header"),
        *(
            (
                {"end_user_headers": [name]},
                f"accounts.end_user_headers[0]: {name!r} has a credential, so it cannot name the end user",
            )
            for name in ("Authorization", "x-api-key", "Cookie", "proxy-authorization", "x-goog-api-key")
        ),
        ({"address_header": "x forwarded"}, "accounts.address_header: 'x forwarded' is not the name of a header"),
        ({"address_header": "Authorization"},
         "accounts.address_header: 'Authorization' has a credential, so it cannot tell an address"),
        ({"webhook_secret": "file:/run/secrets/webhook"}, ("accounts.webhook_secret: it names a variable or a file, "
         "which is not read: the name would be the key")),
        ({"webhook_secret": "changeme"}, "accounts.webhook_secret: it is a well-known example from manuals"),
        ({"webhook": "ftp://hooks.example.com/x"}, "accounts.webhook: it is not an http or https URL"),
        ({"webhook": "https:///x"}, "accounts.webhook: it is not an http or https URL"),
        ({"webhook": "https://h:port/x"}, "accounts.webhook: it is not an http or https URL"),
        ({"webhook": "https://me:pw@h/x"}, "accounts.webhook: a user and a password cannot be in the URL"),
        ({"webhook": "https://h/a b"}, "accounts.webhook: it has characters that a URL cannot have"),
        ({"webhook": "https://hö/x"}, "accounts.webhook: it has characters that a URL cannot have"),
        ({"tags": ["app", "App"]},
         "accounts.tags[1]: 'App' is not the name of a tag, which has up to 64 of a-z, 0-9, _, . and -"),
        ({"tags": ["a" * 65]},
         f"accounts.tags[0]: '{'a' * 65}' is not the name of a tag, which has up to 64 of a-z, 0-9, _, . and -"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_an_error_with_its_path(accounts: dict[str, Any], problem: str) -> None:
    assert problems(**accounts) == [problem]
    for enabled in (True, False):
        config = Config.from_dict({"accounts": {"enabled": enabled, "store": "sqlite:/nowhere/x", **accounts}})
        with pytest.raises(ConfigError) as caught:
            Gateway(config, upstream=FakeUpstream([]), tokens=FakeTokens())
        assert caught.value.problems == [problem]


def test_all_problems_are_told_at_once_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[accounts]\nzone = "X/Y"\ntags = ["é"]\nend_user_headers = ["cookie"]\n')
    told, hints = config_problems(load_all(environment={}, file=file, dotenv=None))
    assert [text.partition(": ")[0] for text in told if "accounts" in text] == [f"{file}:{line}" for line in (2, 3, 4)]
    assert any("tzdata" in hint for hint in hints)


@pytest.mark.parametrize(("setting", "value"), [("wait", "10s"), ("redis", "redis://h")])
def test_a_limit_that_needs_accounts_is_told_with_file_and_line(setting: str, value: str, tmp_path: Path) -> None:
    """Risk: what `config validate` calls valid does not start."""
    file = tmp_path / "c.toml"
    file.write_text(f'[limits]\n{setting} = "{value}"\n')
    told, hints = config_problems(load_all(environment={}, file=file, dotenv=None))
    assert f"{file}:2: limits.{setting}: has no effect while accounts.enabled is false" in "\n".join(told)
    assert "Set accounts.enabled = true, or remove it." in hints


def test_what_can_be_used() -> None:
    assert problems(zone="Europe/Berlin", tags=["app", "a.b-c_1"], end_user_headers=[" X-OpenWebUI-User-Email "]) == []
    assert problems(address_header="X-Forwarded-For") == []
    assert header_names([" X-B ", "x-a"]) == (b"x-b", b"x-a")


def test_utc_needs_no_database_of_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr("modelmux.config.accounts_check.ZoneInfo", nothing)
    assert problems() == []
    assert zone_of("utc") is UTC
    assert problems(zone="Europe/Berlin") == ["accounts.zone: 'Europe/Berlin' is not a time zone of this machine"]


@pytest.mark.parametrize("url", ["https://hooks.example.com", "http://127.0.0.1:8080/x?y=1", "https://[::1]/x"])
def test_a_webhook_is_a_url_that_is_never_shown(url: str) -> None:
    assert problems(webhook=url) == []
    assert url not in repr(Config.from_dict({"accounts": {"webhook": url}}).accounts)


@pytest.mark.parametrize("network", ["", "10.0.0.0/33", "10.0.0.1/8", "example.com"])
def test_networks_of_webhooks_are_networks(network: str) -> None:
    good = ["10.0.0.0/8", "::1/128", "127.0.0.1"]
    check_accounts(Config.from_dict({"accounts": {"enabled": True, "webhook_networks": good}}).accounts)
    wrong = Config.from_dict({"accounts": {"enabled": True, "webhook_networks": ["10.0.0.0/8", network]}})
    with pytest.raises(ConfigError, match=r"accounts\.webhook_networks\[1\]: .* is not a network"):
        check_accounts(wrong.accounts)


@pytest.mark.parametrize(
    ("accounts", "problem"),
    [
        ({"outage_allowance": "5"}, 'has no effect while accounts.on_outage is "closed"'),
        ({"on_outage": "open"}, 'it is 0, so that accounts.on_outage = "open" serves nothing'),
        ({"on_outage": "open", "outage_allowance": "0.000"}, "it is 0, so that"),
        ({"on_outage": "open", "outage_allowance": "-1"}, "it is below 0"),
        ({"on_outage": "open", "outage_allowance": "1e3"}, "'1e3' is not an amount"),
        ({"outage_allowance": "five"}, "'five' is not an amount"),
    ],
)
def test_an_allowance_that_would_allow_nothing_is_an_error(accounts: dict[str, Any], problem: str) -> None:
    (found,) = problems(enabled=True, **accounts)
    assert found.startswith(f"accounts.outage_allowance: {problem}")


def test_an_allowance_is_in_nano_usd_and_only_for_who_asks_for_it() -> None:
    def allowance(**accounts: Any) -> int:
        assert problems(enabled=True, **accounts) == []
        return outage_allowance(Config.from_dict({"accounts": accounts}).accounts)

    assert allowance() == allowance(outage_allowance=0) == 0
    assert allowance(on_outage="open", outage_allowance="0.25") == 250_000_000
    assert allowance(on_outage="open", outage_allowance=5) == 5 * 10**9
