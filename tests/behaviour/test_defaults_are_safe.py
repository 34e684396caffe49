"""Risk: a fresh installation is open to the network, to web pages, or to a key that is in a manual."""

from __future__ import annotations

import json

import pytest

from modelmux import Config, ConfigError
from modelmux.app import Gateway
from modelmux.server.exposure import check_exposure
from support.clock import current_runtime
from support.fakes import FakeTokens, FakeUpstream, message_reply
from support.gateway import PATH, ask, gateway
from support.security import BEARER, PROJECT, ROOT, guarded, routes, send


async def test_s16_defaults_are_loopback_and_no_cors() -> None:
    assert Config().server.host == "127.0.0.1"
    with pytest.raises(ConfigError, match="api_keys is empty"):
        check_exposure(Config.from_dict({"server": {"host": "0.0.0.0"}}))
    response = await send(gateway(FakeUpstream([])), "GET", "/v1/models", [(b"origin", b"https://evil.example")])
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_s33_cors_is_off_unless_an_origin_is_named() -> None:
    asks = [(b"origin", b"https://evil.example"), (b"access-control-request-method", b"POST")]
    subject = guarded()
    for method, path in routes(subject.app):
        for response in (
            await send(subject.app, "OPTIONS", path, asks),
            await send(subject.app, method, path, [*BEARER, *asks], b"{}"),
        ):
            assert not [name for name in response.headers if name.startswith("access-control")]


async def test_s33_credentials_are_never_allowed() -> None:
    subject = guarded(message_reply(), server={"cors_origins": ["*"]})
    asks = [(b"origin", b"https://any.example"), (b"access-control-request-method", b"POST")]
    preflight = await send(subject.app, "OPTIONS", PATH, asks)
    refused = await send(subject.app, "POST", PATH, [*asks], None)
    answered = await send(subject.app, "POST", PATH, [*BEARER, *asks], json.dumps(ask()).encode())
    assert (preflight.status, refused.status, answered.status) == (204, 401, 200)
    for response in (preflight, refused, answered):
        assert response.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("key", ["sk-1234", "changeme", "your-api-key", "", "***", "default"])
def test_s34_example_keys_are_rejected_at_start(key: str) -> None:
    config = Config.from_dict({"server": {"api_keys": [key]}, "vertex": {"project": "p", "location": "global"}})
    with pytest.raises(ConfigError) as caught:
        Gateway(config, upstream=FakeUpstream([]), tokens=FakeTokens(), runtime=current_runtime())
    assert "server.api_keys[0]" in str(caught.value)
    assert caught.value.hint


async def test_s34_example_keys_are_rejected_at_reload() -> None:
    subject = guarded()
    vertex = {"project": PROJECT, "location": "global"}
    with pytest.raises(ConfigError):
        await subject.app.reload(Config.from_dict({"server": {"api_keys": ["sk-1234"]}, "vertex": vertex}))
    assert (await send(subject.app, "GET", "/v1/models", [(b"x-api-key", b"sk-1234")])).status == 401
    assert (await send(subject.app, "GET", "/v1/models", BEARER)).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway", "[::]", "0", "127.0.0.1.nip.io"])
def test_s35_public_addresses_need_keys(host: str) -> None:
    with pytest.raises(ConfigError):
        check_exposure(Config.from_dict({"server": {"host": host}}))


def test_s35_containers_and_packages_need_keys_too() -> None:
    for folder in ("docker", "deb"):
        for file in (ROOT / "packaging" / folder).iterdir():
            if file.is_file():
                text = file.read_text("utf-8").lower()
                assert "allow_unauthenticated=true" not in text.replace(" ", ""), file
                assert "allow_unauthenticated:true" not in text.replace(" ", ""), file
    compose = (ROOT / "packaging" / "docker" / "compose.yaml").read_text("utf-8")
    assert "MODELMUX_API_KEYS:?" in compose
    assert "127.0.0.1:3000:3000" in compose
