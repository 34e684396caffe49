"""Risk: a key in a log, a repr or an error; a setting nobody is told of; a default that opens a door."""

from __future__ import annotations

import traceback
import typing
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from modelmux.config import Config, ConfigError
from modelmux.config.annotations import Doc
from modelmux.config.responses_schema import ResponsesConfig, ThinkingConfig
from modelmux.config.schema import (
    AliasConfig,
    AuthConfig,
    FetchConfig,
    LimitsConfig,
    ModelTimeouts,
    RetriesConfig,
    TimeoutsConfig,
    VertexConfig,
    VertexDeployment,
    VertexModel,
)
from modelmux.config.server_schema import LogsConfig, ServerConfig
from modelmux.config.streaming_schema import StreamClient, StreamingConfig
from modelmux.config.values import Secret

SETTINGS = {
    "server": {"api_keys": ["sk-canary-1"]},
    "auth": {"access_token": "ya29-canary", "service_account_json": '{"private_key": "canary"}'},
    "vertex": {"project": "canary-project"},
}


def test_a_secret_never_shows_itself() -> None:
    secret = Secret("canary")
    for shown in (repr(secret), str(secret), f"{secret}", f"{[secret]}", "%s" % secret, "%r" % secret):  # noqa: UP031
        assert "canary" not in shown
    assert secret.reveal() == "canary"
    assert not hasattr(secret, "__dict__")


def test_secrets_are_equal_by_value_and_only_to_secrets() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_no_part_of_a_configuration_shows_one() -> None:
    config = Config.from_dict(SETTINGS)
    assert repr(config) == "Config(…)"
    assert "canary" not in repr(config.server)
    assert "canary" not in repr(config.auth)
    assert config.server.api_keys == [Secret("sk-canary-1")]


def test_a_mistake_beside_a_secret_does_not_show_it() -> None:
    broken = {**SETTINGS, "server": {"api_keys": ["sk-canary-1", 7]}, "auth": {"access_token": ["ya29-canary"]}}
    with pytest.raises(ConfigError) as caught:
        Config.from_dict(broken)
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_a_configuration_cannot_be_written_out_by_accident() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(Config.from_dict(SETTINGS))


def test_defaults_are_not_shared() -> None:
    one, two = Config(), Config()
    one.server.api_keys.append(Secret("a"))
    one.vertex.models.append(None)  # type: ignore[arg-type]
    one.catalog.append({})
    assert (two.server.api_keys, two.vertex.models, two.catalog) == ([], [], [])


SECTIONS = [
    ServerConfig,
    LogsConfig,
    AuthConfig,
    VertexConfig,
    VertexModel,
    VertexDeployment,
    AliasConfig,
    StreamClient,
    StreamingConfig,
    ResponsesConfig,
    ThinkingConfig,
    FetchConfig,
    Config,
    TimeoutsConfig,
    ModelTimeouts,
    RetriesConfig,
    LimitsConfig,
]


def docs_of(section: type[Struct]) -> dict[str, list[Doc]]:
    """What the table says of each setting that holds a value, not a section."""
    hints = typing.get_type_hints(section, include_extras=True)
    return {
        name: [part for part in getattr(hint, "__metadata__", ()) if isinstance(part, Doc)]
        for name, hint in hints.items()
        if not (isinstance(hint, type) and issubclass(hint, Struct))
    }


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_setting_is_explained_in_one_sentence(section: type[Struct]) -> None:
    """The reference page and the template are made of these: one that is missing is a setting nobody finds."""
    for name, found in docs_of(section).items():
        assert len(found) == 1, name
        assert found[0].text.endswith("."), name
        assert len(found[0].text) <= 120, name


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_a_typing_mistake_is_never_a_setting(section: type[Struct]) -> None:
    assert section.__struct_config__.forbid_unknown_fields


def test_no_variable_sets_two_settings() -> None:
    names = [env.name for section in SECTIONS for found in docs_of(section).values() for env in found[0].env]
    assert len(names) == len(set(names))


def test_by_default_only_this_machine_is_served_and_nothing_is_open() -> None:
    config = Config()
    assert config.server.host == "127.0.0.1"
    assert (config.server.allow_unauthenticated, config.server.cors_origins) == (False, [])
    assert (config.fetch.allow_private, config.fetch.extra_ports) == ([], [])
    assert config.vertex.base_url is None


@pytest.mark.parametrize(
    "settings",
    [
        {"server": {"port": -1}},
        {"server": {"port": 65536}},
        {"retries": {"max": 101}},
        {"server": {"drain_timeout": "soon"}},
        {"logs": {"retention_days": 0}},
        {"fetch": {"max_bytes": -1}},
        {"timeouts": {"connect": 0}},
        {"timeouts": {"total": "0s"}},
        {"limits": {"max_concurrent_requests": 0}},
        {"limits": {"max_queued_requests": -1}},
        {"vertex": {"models": [{"name": "a", "timeouts": {"idle": 0}}]}},
        {"vertex": {"models": [{"name": "a", "max_in_flight": 0}]}},
        {"vertex": {"prefill": "maybe"}},
        {"responses": {"ttl": 0}},
        {"responses": {"ttl": "31d"}},
        {"responses": {"max_bytes": 0}},
        {"responses": {"store": "postgresql"}},
        {"thinking": {"store": "sqlite"}},
        {"thinking": {"max_bytes": 0}},
        {"vertex": {"models": [{"name": "m", "deployments": [{"weight": -1}]}]}},
        {"provider": "openai"},
        {"nope": 1},
    ],
)
def test_a_value_out_of_bounds_is_refused_by_its_path(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_dict(settings)
    section, inner = next(iter(settings.items()))
    assert section in str(caught.value)
    assert not isinstance(inner, dict) or next(iter(inner)) in str(caught.value)


def test_null_is_named_as_such() -> None:
    with pytest.raises(ConfigError, match=r"server\.port: it is null; expected a whole number"):
        Config.from_dict({"server": {"port": None}})
