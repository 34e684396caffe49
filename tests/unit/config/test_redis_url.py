"""Risk: a password is shown, a URL means another server than it says, or the setting does nothing without a word."""

from __future__ import annotations

import pytest

from modelmux.config.errors import ConfigError
from modelmux.config.limits_check import redis_url
from modelmux.config.redis_url import EXAMPLE, BadRedisUrl, parse_redis_url
from modelmux.config.restart import restart_needed
from modelmux.config.schema import Config


@pytest.mark.parametrize(
    ("url", "shown", "user", "password"),
    [
        (EXAMPLE, "rediss://redis.example.com:6379/0", "modelmux", "PASSWORD"),
        ("redis://h", "redis://h:6379/0", None, None),
        ("redis://:p%2F%40@h:7000/3", "redis://h:7000/3", None, "p/@"),
        ("valkeys://u:p@[::1]:1/", "rediss://[::1]:1/0", "u", "p"),
        ("valkey://u@10.0.0.1", "redis://10.0.0.1:6379/0", "u", None),
    ],
)
def test_a_url_is_shown_without_its_user(url: str, shown: str, user: str | None, password: str | None) -> None:
    parsed = parse_redis_url(url)
    assert str(parsed) == shown
    assert (parsed.user, parsed.password) == (user, password)
    for secret in {user, password} - {None, "u", "p"}:
        assert str(secret) not in repr(parsed)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://u:canary/x@h", "%2F"), ("redis://u:canary@x@h", "%40"), ("redis://h/canary", "not the URL"),
        ("redis://h?db=1&canary", "not the URL"), ("canary", "not the URL"), ("unix:///canary", "not the URL"),
        ("redis://canary:99999", "port is not from 1 to 65535"), ("redis://canary:0/1", "port is not from 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_not_quoted(url: str, problem: str) -> None:
    with pytest.raises(BadRedisUrl, match=problem) as caught:
        parse_redis_url(url)
    assert "canary" not in str(caught.value)


def test_the_setting() -> None:
    config = Config.from_dict({"accounts": {"enabled": True}, "limits": {"redis": "redis://u:canary@h"}})
    assert str(redis_url(config)) == "redis://h:6379/0"
    assert redis_url(Config()) is None
    assert restart_needed(Config(), config) == ["limits.redis"]
    assert "canary" not in repr(config.limits)


@pytest.mark.parametrize(
    ("enabled", "url", "problem", "hint"),
    [
        (False, "redis://h", "limits.redis: has no effect while accounts.enabled is false", "Set accounts.enabled"),
        (True, "canary://h", "limits.redis: it is not the URL of a Redis server", EXAMPLE),
    ],
)
def test_a_setting_that_cannot_be_used(enabled: bool, url: str, problem: str, hint: str) -> None:
    config = Config.from_dict({"accounts": {"enabled": enabled}, "limits": {"redis": url}})
    with pytest.raises(ConfigError) as caught:
        redis_url(config)
    assert caught.value.problems[0].startswith(problem)
    assert hint in (caught.value.hint or "")
    assert "canary" not in str(caught.value)
