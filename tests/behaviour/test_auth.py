"""Risk: a request without a valid key is served, or a public address is served without keys."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux import Config, ConfigError
from modelmux.server.auth import is_loopback
from modelmux.server.exposure import check_exposure
from support.asgi import request
from support.fakes import FakeUpstream, message_reply
from support.gateway import PATH, ask, gateway

KEYS = {"server": {"api_keys": ["sk-modelmux-first", "sk-modelmux-second"]}}


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sk-modelmux-first"},
        {"authorization": "bearer   sk-modelmux-second"},
        {"x-api-key": "sk-modelmux-second"},
        {"x-api-key": "sk-modelmux-first", "authorization": "Basic dXNlcjpwYXNz"},
    ],
)
async def test_a_key_opens(headers: dict[str, str]) -> None:
    response = await request(gateway(FakeUpstream([message_reply()]), **KEYS), "POST", PATH, ask(), headers)
    assert response.status == 200


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "No API key was sent"),
        ({"authorization": "Bearer "}, "No API key was sent"),
        ({"authorization": "Bearer sk-modelmux-firs"}, "header 'Authorization'"),
        ({"authorization": "Bearer sk-modelmux-first "}, ""),
        ({"x-api-key": "sk-modelmux-first2"}, "header 'x-api-key'"),
        ({"authorization": "Bearer ' OR 1=1 --"}, "header 'Authorization'"),
        ({"authorization": "Basic sk-modelmux-first"}, "No API key was sent"),
    ],
)
async def test_anything_else_does_not(headers: dict[str, str], says: str) -> None:
    app = gateway(FakeUpstream([message_reply()]), **KEYS)
    response = await request(app, "POST", PATH, ask(), headers)
    if not says:  # white space around a key is not part of it
        assert response.status == 200
        return
    assert response.status == 401
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert says in error["message"]
    assert "sk-modelmux" not in error["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", PATH), ("GET", "/v1/models"), ("GET", "/v1/models/x"), ("GET", "/metrics"), ("GET", "/nowhere"),
     ("POST", "/v1/responses"), ("GET", "/admin")],
)  # fmt: skip
async def test_every_path_asks(method: str, path: str) -> None:
    response = await request(gateway(FakeUpstream([]), **KEYS), method, path)
    assert response.status == 401


@pytest.mark.parametrize("path", ["/", "/health", "/healthz", "/livez", "/readyz"])
async def test_health_pages_do_not_ask(path: str) -> None:
    app = gateway(FakeUpstream([]), **KEYS)
    assert (await request(app, "GET", path)).status == 200
    assert (await request(app, "HEAD", path)).status == 200


@pytest.mark.parametrize(
    ("server", "accounts", "refused"),
    [
        ({"host": "0.0.0.0"}, {}, "can be reached from other machines"),
        ({"host": "0.0.0.0", "api_keys": ["sk-x"]}, {}, "can be reached from other machines"),
        ({}, {"require_key": True}, "accounts.require_key forbids that"),
        ({}, {}, None),
        ({"host": "0.0.0.0", "allow_unauthenticated": True}, {}, None),
        ({"host": "0.0.0.0", "keyless_vertex_paths": False}, {"require_key": True}, None),
    ],
)
def test_paths_without_a_key_void_no_rights_of_keys(
    server: dict[str, Any], accounts: dict[str, Any], refused: str | None
) -> None:
    """With virtual keys, whose rights would be those of everybody."""
    settings = {"keyless_vertex_paths": True} | server
    config = Config.from_dict({"server": settings, "accounts": {"enabled": True} | accounts})
    if refused is None:
        check_exposure(config)
        return
    with pytest.raises(ConfigError, match=refused):
        check_exposure(config)


@pytest.mark.parametrize(
    ("host", "settings", "refused"),
    [
        ("127.0.0.1", {}, False),
        ("::1", {}, False),
        ("localhost", {}, False),
        ("127.8.8.8", {}, False),
        ("0.0.0.0", {}, True),
        ("::", {}, True),
        ("192.168.1.5", {}, True),
        ("gateway.internal", {}, True),
        ("0.0.0.0", {"api_keys": ["sk-x"]}, False),
        ("0.0.0.0", {"allow_unauthenticated": True}, False),
    ],
)
def test_a_public_address_needs_keys(host: str, settings: dict[str, Any], refused: bool) -> None:
    config = Config.from_dict({"server": {"host": host, **settings}})
    if not refused:
        check_exposure(config)
        return
    with pytest.raises(ConfigError) as caught:
        check_exposure(config)
    assert "api_keys" in (caught.value.hint or "")
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("admin", "refused"),
    [
        ({}, False),
        ({"listen": "localhost:1"}, False),
        ({"listen": "off"}, False),
        ({"listen": "0.0.0.0:3001"}, True),
        ({"listen": "[::]:3001"}, True),
        ({"listen": "admin.internal:3001"}, True),
        ({"listen": "0.0.0.0:3001", "token": "token-of-the-owner"}, False),
    ],
)
def test_a_public_address_of_the_admin_api_needs_a_token(admin: dict[str, Any], refused: bool) -> None:
    settings = {"allow_unauthenticated": True}  # is about models
    config = Config.from_dict({"server": settings, "accounts": {"enabled": True}, "admin": admin})
    if not refused:
        check_exposure(config)
        return
    with pytest.raises(ConfigError, match=r"admin\.token is not set") as caught:
        check_exposure(config)
    assert "MODELMUX_ADMIN_TOKEN" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match=r"admin\.token is not set"):  # what needs no accounts is served there, too
        check_exposure(Config.from_dict({"server": settings, "accounts": {"enabled": False}, "admin": admin}))


def test_weak_tokens_of_the_admin_api_are_refused_at_a_start() -> None:
    with pytest.raises(ConfigError, match=r"admin\.token: it is a well-known example"):
        check_exposure(Config.from_dict({"accounts": {"enabled": True}, "admin": {"token": "changeme"}}))
