"""Risk: the ASGI application does not work mounted in another server, with or without a lifespan."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import modelmux
from modelmux import Config, ConfigError, create_app
from support.asgi import request
from support.fakes import FakeUpstream, message_reply
from support.gateway import PATH, ask, gateway


async def test_mounted_under_a_path() -> None:
    app = gateway(FakeUpstream([message_reply("mounted")]))
    site = Starlette(routes=[Mount("/llm", app)])
    response = await request(site, "POST", "/llm/v1/chat/completions", ask())
    assert response.json()["choices"][0]["message"]["content"] == "mounted"
    assert (await request(site, "GET", "/llm/health")).status == 200
    assert "/v1/models" in (await request(site, "GET", "/llm/v1/model")).json()["error"]["message"]


async def test_it_opens_nothing_before_it_is_used_and_closes_twice() -> None:
    app = create_app(Config.from_dict({"vertex": {"project": "p", "location": "global"}}))
    await app.aclose()
    await app.aclose()


async def test_a_lifespan_starts_and_stops_it() -> None:
    app = gateway(FakeUpstream([]))
    inbox: list[Any] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    outbox: list[str] = []

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(message: Any) -> None:
        outbox.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    assert outbox == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_settings_that_cannot_be_used_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_dict({"vertex": {"projct": "p", "lokation": "global"}})
    assert caught.value.problems == [
        "vertex.projct: unknown key: did you mean vertex.project?",
        "vertex.lokation: unknown key: did you mean vertex.location?",
    ]
    with pytest.raises(ConfigError, match="no Google Cloud project"):
        create_app(Config())


def test_the_package_says_what_it_offers() -> None:
    assert set(modelmux.__all__) == {"Config", "ConfigError", "__version__", "create_app"}
    with pytest.raises(AttributeError, match="nonsense"):
        _ = modelmux.nonsense


def test_importing_it_is_light() -> None:
    """The version and the command's help load neither server nor crypto."""
    code = "import modelmux, sys; assert not {'uvicorn', 'google', 'starlette'} & set(sys.modules), sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=100)


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def test_nothing_is_written_unless_a_setting_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "XDG_STATE_HOME", "STATE_DIRECTORY"):
        monkeypatch.setenv(variable, str(tmp_path))
    upstream = FakeUpstream([message_reply("Hi")])
    app = gateway(upstream, server={"workers": 4})
    assert (await request(app, "POST", PATH, ask())).status == 200
    await app.aclose()
    assert files(tmp_path) == set()
    app = gateway(upstream, server={"state_dir": str(tmp_path)}, responses={"store": "sqlite"})
    await app.aclose()
    assert files(tmp_path) == {"seal.key", "responses.sqlite3"}
