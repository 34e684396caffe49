"""Risk: nodes share a database of conversations and cannot open what the others sealed, or a password is shown."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.config import Config, ConfigError, Loaded
from modelmux.config.conversations_check import check_conversations, responses_url, shares_conversations, thinking_url
from modelmux.config.effective_config import effective
from modelmux.config.redis_url import RedisUrl
from modelmux.config.restart import restart_needed

KEY = bytes(range(64)).hex()
URL = "postgresql://u:canary@h/d"
REDIS = "rediss://u:canary@h/1"


def config(**settings: Any) -> Config:
    return Config.from_dict(settings)


def problems(**settings: Any) -> list[str]:
    try:
        check_conversations(config(**settings))
    except ConfigError as error:
        assert error.hint
        return error.problems
    return []


@pytest.mark.parametrize("table", ["responses", "thinking"])
def test_a_database_needs_a_url_and_a_key_of_all_nodes(table: str) -> None:
    server = {"seal_keys": [KEY]}
    assert problems(server=server, **{table: {"store": URL}}) == []
    (problem,) = problems(**{table: {"store": URL}})
    assert problem.startswith("server.seal_keys: none is set, and nodes that share")
    (problem,) = problems(server=server, **{table: {"store": "postgresql://u:can/ary@h/d"}})
    assert problem.startswith(f"{table}.store: it is not the URL of a database")
    assert "ary" not in problem


def test_thinking_may_be_on_a_redis_server_which_needs_the_same() -> None:
    server = {"seal_keys": [KEY]}
    both = config(server=server, thinking={"store": REDIS})
    assert problems(server=server, thinking={"store": REDIS}) == []
    url = thinking_url(both)
    assert isinstance(url, RedisUrl)
    assert (str(url), url.password, url.setting) == ("rediss://h:6379/1", "canary", "thinking.store")
    assert shares_conversations(both)
    (problem,) = problems(thinking={"store": REDIS})
    assert problem.startswith("server.seal_keys: none is set, and nodes that share")
    for wrong in ("redis://u:can/ary@h", "valkeys://u:c@n@ary@h", "redis://"):
        (problem,) = problems(server=server, thinking={"store": wrong})
        assert problem.startswith("thinking.store: it is not the URL of a Redis server")
        assert "ary" not in problem
    assert restart_needed(both, config(server={"seal_keys": [KEY[::-1]]}, thinking={"store": REDIS})) == [
        "server.seal_keys"
    ]


@pytest.mark.parametrize("url", [REDIS, "redis://u:can/ary@h", "valkeys://:can@ary:x@h/x", "postgres://u:can@ary@h/d"])
def test_a_url_is_shown_without_its_password(url: str) -> None:
    tree = effective(Loaded(config(thinking={"store": url}), ()), everything=True)
    assert str(tree["thinking"]["store"]).endswith(url[-2:])
    assert "ary" not in str(tree)


def test_what_is_wrong_with_both_is_reported_once() -> None:
    (problem,) = problems(responses={"store": URL}, thinking={"store": URL})
    assert problem.startswith("server.seal_keys")
    assert (
        len(problems(server={"seal_keys": [KEY]}, responses={"store": f"{URL}/x"}, thinking={"store": "postgres://"}))
        == 2
    )


def test_each_url_knows_its_setting() -> None:
    both = config(server={"seal_keys": [KEY]}, responses={"store": URL}, thinking={"store": URL})
    urls = responses_url(both), thinking_url(both)
    assert [url.setting for url in urls if url is not None] == ["responses.store", "thinking.store"]
    assert responses_url(Config()) is thinking_url(Config()) is None
    assert not shares_conversations(Config())


@pytest.mark.parametrize("store", ["postgresq://u:canary@h/d", "redis://u:canary@h", "postgresql:u:canary@h"[:12]])
def test_what_is_no_store_is_refused_without_its_password(store: str) -> None:
    with pytest.raises(ConfigError, match="expected auto, memory, sqlite, off or the URL of a PostgreSQL") as caught:
        config(responses={"store": store})
    assert "canary" not in str(caught.value)


def test_other_seal_keys_of_a_shared_store_need_a_restart() -> None:
    before = config(server={"seal_keys": [KEY]}, thinking={"store": URL})
    after = config(server={"seal_keys": [KEY[::-1]]}, thinking={"store": "memory"})
    assert restart_needed(before, after) == ["thinking", "server.seal_keys"]
    assert restart_needed(after, config(server={"seal_keys": [KEY]})) == []
