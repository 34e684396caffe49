"""What ``modelmux doctor`` says of ``limits.redis``. Risk: the server cannot be used, or loses leases, and nobody
knows; a password is shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modelmux.cli.doctor.redis import _judge_time, check_redis
from modelmux.cli.doctor.result import Result
from modelmux.config.schema import Config
from support.redis import Server, redis_server


def results(url: str, *, enabled: bool = True) -> list[Result]:
    return list(check_redis(Config.from_dict({"accounts": {"enabled": enabled}, "limits": {"redis": url}})))


def test_without_the_setting_nothing_is_checked() -> None:
    assert list(check_redis(Config())) == []


def test_a_server_that_works_and_one_that_evicts_leases() -> None:
    with redis_server() as server:
        (result,) = results(server.url)
        assert (result.check, result.status) == ("limits.redis", "ok")
        assert result.detail == f"redis://127.0.0.1:{server.port}/0 runs the script"
        assert server.execute("ZCARD", "modelmux:{limits}:processes") == ":0", "it does not count as a process"
        server.execute("CONFIG", "SET", "maxmemory", "100mb")
        server.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        _, warning = results(server.url)
        assert (warning.status, warning.detail) == ("warn", "maxmemory-policy is allkeys-lru")
        assert "noeviction" in (warning.hint or "")
        allowed = "on >l ~modelmux:* +@scripting +@read +@write +@connection +time"
        server.execute("ACL", "SETUSER", "limits", *allowed.split())
        assert [one.status for one in results(f"redis://limits:l@127.0.0.1:{server.port}")] == ["ok"], "it may not ask"


def test_a_server_that_cannot_be_used(tmp_path: Path) -> None:
    with redis_server() as server:
        (result,) = results(f"redis://:canary@127.0.0.1:{server.port}")
        stopped: Server = server
    assert (result.status, result.hint) == ("fail", "correct limits.redis")
    assert "canary" not in str(result)
    (result,) = results(stopped.url)
    assert (result.status, result.hint) == ("fail", "check host, port, TLS and firewall")


def test_a_setting_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    (result,) = results("redis://h", enabled=False)
    assert (result.status, result.hint) == ("fail", "Set accounts.enabled = true, or remove it.")
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    (result,) = results("redis://h")
    assert result.status == "fail"
    assert "pip install 'modelmux-gateway[redis]'" in (result.hint or "")


def test_a_server_that_is_far_is_a_warning() -> None:
    assert _judge_time("redis://h:1/0", 0.010).status == "ok"
    slow = _judge_time("redis://h:1/0", 0.030)
    assert (slow.status, slow.detail, slow.ms) == ("warn", "redis://h:1/0 takes 30 ms for a call", 30)
