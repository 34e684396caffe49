"""What ``modelmux doctor`` says of conversations that nodes share. Risk: it changes the database, shows its password,
or finds a node well that cannot open what the others sealed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from modelmux.cli.doctor.redis import _judge_look
from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.cli.doctor.state import check_state
from modelmux.config import Config, Loaded
from modelmux.config.postgres_url import parse_postgres_url
from modelmux.dialects.aes_siv_sealer import AesSivSealer
from modelmux.runtime import Runtime
from modelmux.store.base import ResponseLimits
from modelmux.store.local_state import LocalState
from modelmux.store.open_responses import open_responses
from modelmux.store.open_thinking import open_thinking
from modelmux.store.postgres_responses import PostgresResponseStore
from support.cluster import until
from support.postgres import execute
from support.redis import redis_server
from support.response_stores import ANN, response

KEYS = [bytes(range(n, n + 64)).hex() for n in (0, 64)]


def checked(directory: Path, url: str, keys: list[str], **settings: Any) -> list[Result]:
    stores: dict[str, Any] = {"responses": {"store": url}, "thinking": {"store": url}} | settings
    config = Config.from_dict({**stores, "server": {"state_dir": str(directory), "seal_keys": keys}})
    results = {result.check: result for result in check_state(DoctorContext(None, {}, {}, {}, Loaded(config, ())))}
    for result in results.values():
        assert "a%2Fpass" not in f"{result}"
    return [results["stored responses"], results["remembered thinking"]]


async def test_databases_are_looked_at(postgres_url: str, tmp_path: Path) -> None:
    name = f"sealed in postgresql://{postgres_url.rpartition('@')[2]}"
    responses, thinking = checked(tmp_path, postgres_url, KEYS[:1])
    prepares = "; the next start of the gateway prepares the database"
    assert (responses.status, thinking.status) == ("ok", "ok")
    assert responses.detail == f"{name}, for 1 h after their last use{prepares}"
    assert thinking.detail == f"{name}{prepares}"
    assert execute(postgres_url, "SELECT 1 FROM information_schema.tables WHERE table_schema = 'public'") == []
    sealer = AesSivSealer([bytes.fromhex(KEYS[0])])
    store = PostgresResponseStore(parse_postgres_url(postgres_url), sealer, Runtime().now, ResponseLimits(), bound=60.0)
    await store.put(ANN, response("r"))
    await store.aclose()
    responses, thinking = checked(tmp_path, postgres_url, KEYS[:1])
    assert (responses.status, responses.detail) == ("ok", f"{name}, for 1 h after their last use")
    assert (thinking.status, thinking.detail) == ("ok", name)
    responses, _ = checked(tmp_path, postgres_url, KEYS[1:])
    assert responses.status == "warn"
    assert "cannot be opened with server.seal_keys" in responses.detail
    assert "give all nodes the same server.seal_keys" in (responses.hint or "")


def test_databases_that_cannot_be_used(postgres_url: str, tmp_path: Path) -> None:
    for result, setting in zip(
        checked(tmp_path, postgres_url.replace("test_", "absent_"), KEYS), ("responses", "thinking"), strict=True
    ):
        assert result.status == "warn"
        assert (result.hint or "").endswith(f"create it, or correct {setting}.store")
    for result in checked(tmp_path, postgres_url, []):
        assert (result.status, "server.seal_keys: none is set" in result.detail) == ("fail", True)
        assert result.hint == "Generate a key with: openssl rand -hex 64"


def redis_thinking(directory: Path, url: str, **server: Any) -> list[Result]:
    tables = {"thinking": {"store": url}, "server": {"state_dir": str(directory), "seal_keys": KEYS[:1]} | server}
    context = DoctorContext(None, {}, {}, {}, Loaded(Config.from_dict(tables), ()))
    return [result for result in check_state(context) if result.check == "remembered thinking"]


@pytest.mark.usefixtures("unhurried_redis")
def test_a_redis_server_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    with redis_server("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as server:
        (result,) = redis_thinking(tmp_path, server.url)
        assert (result.status, result.detail) == ("ok", f"sealed in redis://127.0.0.1:{server.port}/0")
        until(lambda: server.execute("DBSIZE") == ":0")
        server.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
        _, full = redis_thinking(tmp_path, server.url)
        assert (full.status, full.detail) == ("warn", "maxmemory-policy is noeviction")
        assert "allkeys-lru" in (full.hint or "")
        server.execute("CONFIG", "SET", "maxmemory", "0")
        _, unbounded = redis_thinking(tmp_path, server.url)
        assert (unbounded.status, unbounded.detail) == ("warn", "the server has no maxmemory")
        server.execute("ACL", "SETUSER", "both", "on", ">b", "~modelmux:*", "+mget", "+set", "+@connection", "-info")
        (result,) = redis_thinking(tmp_path, f"redis://both:b@127.0.0.1:{server.port}")
        assert result.status == "ok", "it may not ask for more"
        (wrong,) = redis_thinking(tmp_path, f"redis://:canary@127.0.0.1:{server.port}")
        (keyless,) = redis_thinking(tmp_path, server.url, seal_keys=[])
    (gone,) = redis_thinking(tmp_path, server.url)
    assert (wrong.status, wrong.hint) == ("warn", "correct thinking.store")
    assert (gone.status, gone.hint) == ("warn", "check host, port, TLS and firewall")
    assert (keyless.status, keyless.hint) == ("fail", "Generate a key with: openssl rand -hex 64")
    assert "canary" not in str(wrong)


def test_a_redis_server_that_is_far_or_without_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow = _judge_look("redis://h:1/0", 0.130, "remembered thinking")
    assert (slow.status, slow.detail, slow.ms) == ("warn", "redis://h:1/0 takes 130 ms for a look", 130)
    assert _judge_look("redis://h:1/0", 0.120, "remembered thinking").status == "ok"
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    (result,) = redis_thinking(tmp_path, "redis://h")
    assert result.status == "fail"
    assert "pip install 'modelmux-gateway[redis]'" in (result.hint or "")


def test_a_file_that_is_not_used_any_more_is_reported(postgres_url: str, tmp_path: Path) -> None:
    (tmp_path / "responses.sqlite3").touch()
    responses, _ = checked(tmp_path, postgres_url, KEYS)
    assert responses.status == "warn"
    assert "has responses of an earlier start" in (responses.hint or "")


def test_a_start_uses_the_stores_though_they_are_away(tmp_path: Path) -> None:
    url = "postgresql://u:canary@127.0.0.1:1/d"
    tables = {"server": {"seal_keys": KEYS}, "responses": {"store": url}, "thinking": {"store": url}}
    config, state, problems = Config.from_dict(tables), LocalState(tmp_path), list[Any]()
    opened = open_responses(config, state, Runtime())
    assert opened.largest is not None
    assert "sealed in postgresql://127.0.0.1:1/d, prompts included, for 1 h" in opened.notice
    assert "responses are not stored now: postgresql://127.0.0.1:1/d: cannot be reached" in (opened.warning or "")
    assert open_thinking(config, state, Runtime(), problems.append).is_shared
    assert len(problems) == 1
    assert "check host and port of thinking.store" in problems[0]
    assert "canary" not in f"{opened}{problems}"
    assert not open_thinking(Config(), state, Runtime(), problems.append).is_shared
