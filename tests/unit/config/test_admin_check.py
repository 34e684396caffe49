"""Risk: a token that others know opens the admin API, or an address that is misread opens it to others."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.config import Config, ConfigError
from modelmux.config.admin_check import admin_address, admin_tokens, check_admin, gateway_url


def config(listen: str | None = None, *, enabled: bool = True, **admin: Any) -> Config:
    if listen is not None:
        admin["listen"] = listen
    return Config.from_dict(
        {"accounts": {"enabled": enabled}, "admin": admin, "server": {"api_keys": ["sk-of-models"]}}
    )


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        (None, ("127.0.0.1", 3001)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        (" localhost:0 ", ("localhost", 0)),
        ("[::1]:65535", ("[::1]", 65535)),
        ("", None),
        ("off", None),
        ("False", None),
    ],
)
def test_where_it_listens(listen: str | None, address: tuple[str, int] | None) -> None:
    assert admin_address(config(listen)) == address


@pytest.mark.parametrize("listen", ["3001", "127.0.0.1", ":3001", "::1:3001", "127.0.0.1:65536", "http://localhost:1"])
def test_what_is_not_an_address(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"admin.listen: .* is not an address with a port") as refused:
        check_admin(config(listen))
    assert "127.0.0.1:3001" in str(refused.value.hint)


def test_without_accounts_it_is_where_it_was_asked_for() -> None:
    assert admin_address(config(enabled=False)) is None
    assert admin_address(config("off", enabled=False)) is None
    assert admin_address(config("127.0.0.1:3001", enabled=False)) == ("127.0.0.1", 3001)
    with pytest.raises(ConfigError, match="not an address"):
        admin_address(config("nonsense", enabled=False))


def entry(name: str, token: str, role: str = "viewer", team: str | None = None) -> dict[str, Any]:
    return {"name": name, "token": token, "role": role} | ({} if team is None else {"team": team})


def test_tokens_that_can_be_used() -> None:
    tokens = [entry("grafana", "mmx-admin-of-grafana"), entry("lead", "token-of-the-lead", "team_admin", "data")]
    usable = config(token="a-token-of-the-owner", tokens=tokens)
    check_admin(usable)
    assert admin_tokens(usable.admin) == ["a-token-of-the-owner", "mmx-admin-of-grafana", "token-of-the-lead"]


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("", "it is empty"),
        ("changeme", "a well-known example"),
        ("mmx-admin-changeme", "a well-known example"),
        ("mmx-admin-", "it is empty"),
        ("${TOKEN}", "a placeholder"),
        ("env:GRAFANA_TOKEN", "names a variable or a file"),
        ("mmx-admin-file:/run/token", "names a variable or a file"),
        ("sk-of-models", "it is one of server.api_keys"),
        ("sk-mmx-something", "the form of a virtual key"),
        ("with a line\nbreak", "characters that a header cannot have"),
        ("tokén-of-the-owner", "characters that a header cannot have"),
        ("token-of-grafana", "another token is the same"),
    ],
)
def test_tokens_that_cannot_be_secret(token: str, problem: str) -> None:
    tokens = [entry("grafana", "token-of-grafana"), entry("other", token)]
    with pytest.raises(ConfigError) as refused:
        check_admin(config(tokens=tokens))
    (message,) = refused.value.problems
    assert message.startswith("admin.tokens[1].token: ")
    assert problem in message
    assert not token or token not in message
    assert "openssl rand" in str(refused.value.hint)


def test_the_token_of_the_owner_is_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"admin.token: it is a well-known example"):
        check_admin(config(token="secret"))


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([entry(" ", "token-one")], "it is empty"),
        ([entry("Owner ", "token-one")], "the holder of admin.token has this name"),
        ([entry("A", "token-one"), entry("a ", "token-two")], "another token has this name"),
        ([entry("a", "token-one", "team_admin")], "a team_admin needs the name of a team"),
        ([entry("a", "token-one", "owner", "data")], "an owner is not limited to a team"),
    ],
)
def test_entries_that_mean_something_else(entries: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        check_admin(config(tokens=entries))


def test_names_of_hosts_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"admin.allowed_hosts\[0\]"):
        check_admin(config(allowed_hosts=["https://admin.lan"]))


@pytest.mark.parametrize(
    ("server", "url", "shown"),
    [
        ({}, None, "http://127.0.0.1:3000"), ({"host": "0.0.0.0", "port": 80}, None, "http://127.0.0.1:80"),
        ({"host": "::"}, None, "http://[::1]:3000"), ({}, "https://models.example.com/", "https://models.example.com"),
        ({}, "http://10.0.0.1:8080/v", "http://10.0.0.1:8080/v"),
    ],
)  # fmt: skip
def test_where_clients_reach_the_models(server: dict[str, Any], url: str | None, shown: str) -> None:
    one = Config.from_dict({"server": server, "admin": {} if url is None else {"gateway_url": url}})
    check_admin(one)
    assert gateway_url(one) == shown


@pytest.mark.parametrize("url", ["models.example.com", "ftp://a", "https://a b", "https://a/'; rm", "", 'https://a"'])
def test_what_cannot_be_an_address_of_the_models(url: str) -> None:
    with pytest.raises(ConfigError, match=r"admin\.gateway_url"):
        check_admin(Config.from_dict({"admin": {"gateway_url": url}}))


@pytest.mark.parametrize("without", [{"accounts": {"enabled": False}}, {"admin": {"listen": "off"}}])
def test_metrics_are_somewhere(without: dict[str, Any]) -> None:
    tree: dict[str, Any] = {"accounts": {"enabled": True}, "metrics": {"listener": "admin"}}
    check_admin(Config.from_dict(tree))
    check_admin(Config.from_dict(without))
    with pytest.raises(ConfigError, match=r"metrics.listener: /metrics would be nowhere") as refused:
        check_admin(Config.from_dict(tree | without))
    assert 'metrics.listener = "both"' in str(refused.value.hint)
