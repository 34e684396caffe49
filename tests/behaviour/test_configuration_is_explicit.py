"""Risk: a setting comes from an unexpected source, a location is guessed, or a reload mixes two configurations."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.config import Config, ConfigError, build_routes, load_all
from support.asgi import request
from support.chat import chat
from support.clock import current_runtime
from support.fakes import FakeTokens, FakeUpstream, message_reply, quota_exceeded
from support.gateway import PATH, ask, gateway
from support.security import SOURCE


@pytest.mark.parametrize(
    ("location", "host"),
    [("global", "aiplatform.googleapis.com"), ("us", "aiplatform.us.rep.googleapis.com"),
     ("eu", "aiplatform.eu.rep.googleapis.com"), ("us-east5", "us-east5-aiplatform.googleapis.com"),
     ("europe-west1", "europe-west1-aiplatform.googleapis.com")],
)  # fmt: skip
async def test_g31_every_kind_of_location_has_its_host(location: str, host: str) -> None:
    got = await chat(settings={"vertex": {"location": location}})
    assert got.upstream.calls[0].origin.host == host


async def test_g32_no_call_leaves_the_geography(no_waiting: list[float]) -> None:
    inside = {
        "geography": "eu",
        "models": [{"name": "m", "model": "claude-sonnet-4-6", "locations": ["eu", "europe-west1"]}],
    }
    upstream = FakeUpstream([quota_exceeded() for _ in range(9)])
    await request(gateway(upstream, vertex=inside | {"location": "eu"}), "POST", PATH, ask() | {"model": "m"})
    assert upstream.calls
    assert all("eu" in call.origin.host for call in upstream.calls)
    outside = {"project": "p", "geography": "eu", "location": "us-east5", "model": "claude-sonnet-4-6"}
    config = Config.from_dict({"vertex": outside})
    with pytest.raises(ConfigError):
        build_routes(config, config.build_catalog(), date(2026, 12, 1))


def _serving(*names: str, **tables: Any) -> Config:
    models = [{"name": name, "model": "claude-sonnet-4-6"} for name in names]
    return Config.from_dict({"vertex": {"project": "p", "location": "global", "models": models}, **tables})


async def test_g61_a_reload_replaces_all_models_or_none() -> None:
    app = Gateway(
        _serving("one", "two"),
        upstream=FakeUpstream([]),
        tokens=FakeTokens(),
        environment={},
        runtime=current_runtime(),
    )

    async def listed() -> set[str]:
        return {model["id"] for model in (await request(app, "GET", "/v1/models")).json()["data"]}

    before = await listed()
    assert {"one", "two"} <= before
    for bad in (
        {"vertex": {"project": "p", "location": "nowhere", "models": [{"name": "x", "model": "claude-sonnet-4-6"}]}},
        {"vertex": {"models": [{"name": "x", "model": "claude-sonnet-4-6"}]}},
        {"vertex": {}},
    ):
        with pytest.raises(ConfigError):
            await app.reload(Config.from_dict(bad))
        assert await listed() == before
    await app.reload(_serving("two", "three"))
    after = await listed()
    assert "one" not in after
    assert {"two", "three"} <= after
    await app.aclose()


def test_g62_sources_have_one_order_and_each_value_an_origin(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[server]\nport = 1111\nhost = "127.0.0.2"\nlog_level = "warn"\n')
    loaded = load_all(
        options={"server.port": 3333},
        environment={"MODELMUX_SERVER_PORT": "2222", "MODELMUX_SERVER_HOST": "127.0.0.3", "HOME": str(tmp_path)},
        file=file, dotenv=None, system_file=tmp_path / "none",
    )  # fmt: skip
    server = loaded.config.server
    assert (server.port, server.host, server.log_level) == (3333, "127.0.0.3", "warn")
    assert "MODELMUX_SERVER_HOST" in loaded.origin(("server", "host"))
    assert "c.toml" in loaded.origin(("server", "log_level"))


async def test_g63_a_reload_applies_to_every_later_request() -> None:
    app = Gateway(
        _serving("old"),
        upstream=FakeUpstream([message_reply()] * 9),
        tokens=FakeTokens(),
        environment={},
        runtime=current_runtime(),
    )
    await app.reload(_serving("new"))
    for _ in range(3):
        assert (await request(app, "POST", PATH, ask() | {"model": "old"})).status == 404
        assert (await request(app, "POST", PATH, ask() | {"model": "new"})).status == 200
    await app.aclose()


@pytest.mark.parametrize("vertex", [{"project": "p"}, {"location": "global"}, {"project": "p", "location": ""}])
def test_g74_no_location_is_guessed(vertex: dict[str, str]) -> None:
    config = Config.from_dict({"vertex": {**vertex, "models": [{"name": "m", "model": "claude-sonnet-4-6"}]}})
    with pytest.raises(ConfigError):
        build_routes(config, config.build_catalog(), date(2026, 12, 1))
    assert not [file for file in SOURCE.rglob("*.py") if re.search(r"=\s*\"us-central1\"", file.read_text("utf-8"))]


@pytest.mark.parametrize("mask", ["***", "********", "sk-...", "sk-modelmux-…", "sk-modelmux-****", "Secret('***')"])
def test_g75_a_masked_key_is_rejected(mask: str) -> None:
    config = Config.from_dict({"server": {"api_keys": [mask]}, "vertex": {"project": "p", "location": "global"}})
    with pytest.raises(ConfigError, match="placeholder"):
        Gateway(config, upstream=FakeUpstream([]), tokens=FakeTokens(), environment={}, runtime=current_runtime())
