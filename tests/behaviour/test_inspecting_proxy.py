"""Risk: behind a proxy that inspects TLS, one part of the gateway trusts its authority and another does not, or nobody
says what to set, or a certificate that is not accepted is tried again and again."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelmux import Config
from modelmux.app import Gateway
from modelmux.config.errors import ConfigError
from modelmux.upstream.google_auth.loaders import fetch_token, service_account_info
from modelmux.upstream.google_auth.tokens import GoogleTokens
from modelmux.upstream.trust import VARIABLES, Trust, read_trust, tls_context
from support.asgi import request
from support.clock import current_runtime
from support.gateway import PATH, ask
from support.http_peers import OK, always, call, fetch, peer, pool_of
from support.http_servers import Authority
from support.token_endpoint import TokenEndpoint


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def server_side(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.certificate("localhost", "127.0.0.1"))
    return context


@pytest.fixture
def endpoint(authority: Authority) -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as endpoint:
        server = endpoint._server
        server.socket = server_side(authority).wrap_socket(server.socket, server_side=True)
        yield endpoint


def key(endpoint: TokenEndpoint) -> dict[str, Any]:
    return endpoint.service_account(token_uri=f"https://localhost:{endpoint._server.server_address[1]}/token")


@pytest.fixture(params=["tls.ca_file", *VARIABLES])
def trust(request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Trust:
    """Of one setting or variable alone, which the process has too, as it would."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if request.param == "tls.ca_file":
        return read_trust(authority.file, {})
    monkeypatch.setenv(request.param, authority.file)
    return read_trust(None, {request.param: authority.file})


async def test_one_setting_holds_for_vertex_and_for_googles_tokens(
    trust: Trust, authority: Authority, endpoint: TokenEndpoint
) -> None:
    source = GoogleTokens(service_account_info(json.dumps(key(endpoint))), trust=trust)
    assert await source.token() == endpoint.tokens[0]
    await source.aclose()
    async with peer(always(OK), tls=server_side(authority)) as (origin, _):
        from modelmux.upstream.pool import HttpPool

        pool = HttpPool(ssl_context=trust.context())
        assert await fetch(pool, call(origin)) == (200, b"hello")
        await pool.aclose()


def test_the_variable_of_one_program_does_not_take_the_place_of_another_authority(
    authority: Authority, endpoint: TokenEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", other.file)
    trust = read_trust(authority.file, {"REQUESTS_CA_BUNDLE": other.file})
    assert [name for name, _ in trust.sources] == ["tls.ca_file", "REQUESTS_CA_BUNDLE"]
    outcome = fetch_token(service_account_info(json.dumps(key(endpoint))), None, lambda: 0.0, trust)
    assert getattr(outcome, "token", None) == endpoint.tokens[0]


def test_without_it_the_error_names_the_setting(endpoint: TokenEndpoint) -> None:
    outcome = fetch_token(service_account_info(json.dumps(key(endpoint))), None, lambda: 0.0)
    error = outcome.error()  # type: ignore[union-attr]
    assert "tls.ca_file" in error.public_message
    assert "doctor" in error.public_message
    assert error.should_retry is False


async def test_a_certificate_that_is_not_accepted_is_tried_once(authority: Authority) -> None:
    connections = 0

    async with peer(always(OK), tls=server_side(authority)) as (origin, listener):
        vertex = {"project": "p", "location": "global", "base_url": f"https://localhost:{origin.port}"}
        config = Config.from_dict({"vertex": vertex, "auth": {"access_token": "t"}})
        app = Gateway(config, runtime=current_runtime(), environment={})
        got = await request(app, "POST", PATH, ask())
        connections = got.headers.get("x-modelmux-attempts", "1")  # type: ignore[assignment]
        error = got.json()["error"]
        await app.aclose()
        del listener
    assert (got.status, error["code"], got.headers["x-should-retry"]) == (502, "upstream_unreachable", "false")
    assert "tls.ca_file" in error["message"]
    assert connections == "1"


async def test_the_setting_reaches_the_upstream_of_a_gateway(authority: Authority) -> None:
    async with peer(always(OK), tls=server_side(authority)) as (origin, _):
        vertex = {"project": "p", "location": "global", "base_url": f"https://localhost:{origin.port}"}
        settings = {"vertex": vertex, "auth": {"access_token": "t"}, "tls": {"ca_file": authority.file}}
        app = Gateway(Config.from_dict(settings), runtime=current_runtime(), environment={})
        got = await request(app, "POST", PATH, ask())
        await app.aclose()
    assert "certificate" not in got.json()["error"]["message"]


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_setting_that_cannot_be_used_is_an_error_and_a_variable_is_left_out(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    settings = {"vertex": {"project": "p"}, "auth": {"access_token": "t"}, "tls": {"ca_file": str(file)}}
    with pytest.raises(ConfigError, match=r"tls\.ca_file"):
        Gateway(Config.from_dict(settings), environment={})
    trust = read_trust(None, {"NODE_EXTRA_CA_CERTS": str(file)})
    assert trust.sources == ()
    assert trust.problems[0][0] == "NODE_EXTRA_CA_CERTS"
    assert trust.context() is None


def test_a_directory_of_authorities_may_be_named(tmp_path: Path) -> None:
    assert read_trust(None, {"REQUESTS_CA_BUNDLE": str(tmp_path)}).problems == ()
    assert tls_context(str(tmp_path)).verify_mode == ssl.CERT_REQUIRED


async def test_a_pool_without_it_does_not_trust_the_authority(authority: Authority) -> None:
    from modelmux.errors import CertificateNotAccepted

    async with peer(always(OK), tls=server_side(authority)) as (origin, _), pool_of() as pool:
        with pytest.raises(CertificateNotAccepted, match="certificate was not accepted"):
            await pool.send(call(origin))
