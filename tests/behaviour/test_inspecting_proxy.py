"""Risk: behind a proxy that inspects TLS, one part of the gateway trusts its authority and another does not, or nobody
says what to set, or a certificate that is not accepted is tried again and again."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from modelmux import Config
from modelmux.app import Gateway
from modelmux.config.errors import ConfigError
from modelmux.upstream.google_auth.loaders import fetch_token, service_account_info
from modelmux.upstream.google_auth.tokens import GoogleTokens
from modelmux.upstream.trust import VARIABLES, Trust, configured_trust, read_trust, tls_context
from support.asgi import request
from support.cli import run
from support.clock import current_runtime
from support.exchange_world import RecordingLog
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


@pytest.fixture
def system_store(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authority is the system's alone: OpenSSL's directory, with the hash of its subject as the file's name."""
    subject = x509.load_pem_x509_certificate(Path(authority.file).read_bytes()).subject
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    store = tmp_path / "store"
    store.mkdir()
    (store / f"{_subject_hash(subject):08x}.0").write_text(Path(authority.file).read_text())
    monkeypatch.setenv("SSL_CERT_DIR", str(store))


def _subject_hash(subject: x509.Name) -> int:
    """X509_NAME_hash: of the DER of the name's parts with their strings as UTF-8, in lower case."""
    parts = b""
    for rdn in subject.rdns:
        attributes = x509.Name([x509.NameAttribute(a.oid, " ".join(str(a.value).lower().split())) for a in rdn])
        parts += attributes.public_bytes()[2:]  # without the head of the sequence: the names are short
    return int.from_bytes(hashlib.sha1(parts, usedforsecurity=False).digest()[:4], "little")


@pytest.mark.usefixtures("system_store")
async def test_the_systems_authorities_hold_for_vertex_and_for_googles_tokens(
    authority: Authority, endpoint: TokenEndpoint
) -> None:
    async with peer(always(OK), tls=server_side(authority)) as (origin, _), pool_of() as pool:
        assert await fetch(pool, call(origin)) == (200, b"hello")
    source = GoogleTokens(service_account_info(json.dumps(key(endpoint))))
    assert await source.token() == endpoint.tokens[0]
    await source.aclose()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.usefixtures("system_store")
async def test_a_variable_whose_file_cannot_be_used_is_left_out_for_googles_tokens(
    endpoint: TokenEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "missing.pem"))
    source = GoogleTokens(service_account_info(json.dumps(key(endpoint))), trust=read_trust(None, os.environ))
    assert await source.token() == endpoint.tokens[0]
    await source.aclose()


@pytest.mark.parametrize("exists", [True, False])
def test_a_file_of_openssls_variable_does_not_take_the_place_of_the_systems(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    system = {certificate["serialNumber"] for certificate in tls_context().get_ca_certs()}
    if not system:
        pytest.skip("this system has no file of certificate authorities")
    monkeypatch.setenv("SSL_CERT_FILE", authority.file if exists else "/nonexistent/ca.pem")
    context = read_trust(None, os.environ).context() or tls_context()
    found = {certificate["serialNumber"] for certificate in context.get_ca_certs()}
    assert system <= found
    assert len(found - system) == exists


def test_serving_logs_a_variable_that_is_not_used(tmp_path: Path) -> None:
    log = RecordingLog()
    settings = {"vertex": {"project": "p", "location": "global"}, "auth": {"access_token": "t"}}
    Gateway(Config.from_dict(settings), log=log, environment={"CURL_CA_BUNDLE": str(tmp_path / "missing.pem")})
    assert [event for event, line in log.lines if "CURL_CA_BUNDLE is not used" in str(line.get("message"))]


async def test_a_reload_rejects_a_file_that_a_restart_would_not_take(tmp_path: Path, authority: Authority) -> None:
    settings: dict[str, Any] = {"vertex": {"project": "p", "location": "global"}, "auth": {"access_token": "t"}}
    app = Gateway(Config.from_dict(settings), environment={})
    missing = {**settings, "tls": {"ca_file": str(tmp_path / "missing.pem")}}
    with pytest.raises(ConfigError, match=r"tls\.ca_file"):
        await app.reload(Config.from_dict(missing))
    good = {**settings, "tls": {"ca_file": authority.file}}
    assert await app.reload(Config.from_dict(good)) == ["tls"]
    await app.aclose()


def test_the_setting_is_read_in_the_home_directory(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ca.pem").write_text(Path(authority.file).read_text())
    assert read_trust("~/ca.pem", {}).sources == (("tls.ca_file", str(tmp_path / "ca.pem")),)


def test_an_empty_setting_is_named_as_such() -> None:
    with pytest.raises(ConfigError, match=r"tls\.ca_file: names no file") as refused:
        configured_trust("", {})
    assert "PEM file" in (refused.value.hint or "")


def test_validating_and_serving_agree_about_the_setting(tmp_path: Path) -> None:
    file = tmp_path / "modelmux.toml"
    file.write_text('[vertex]\nproject = "p"\nlocation = "global"\n[tls]\nca_file = "/nonexistent/ca.pem"\n')
    said = run("config", "validate", str(file), home=tmp_path)
    assert said.code == 1
    assert "tls.ca_file: /nonexistent/ca.pem: No such file" in said.stderr


@pytest.mark.parametrize("command", ["chat", "connect"])
@pytest.mark.parametrize("by", ["tls.ca_file", "NODE_EXTRA_CA_CERTS", None])
def test_the_clients_of_a_gateway_trust_the_same_authorities(
    authority: Authority, tmp_path: Path, command: str, by: str | None
) -> None:
    variables = {by: authority.file} if by == "NODE_EXTRA_CA_CERTS" else {}
    options = ["--set", f"tls.ca_file={authority.file}"] if by == "tls.ca_file" else []
    with TokenEndpoint() as server:  # any server that speaks TLS: what it answers is no matter
        server._server.socket = server_side(authority).wrap_socket(server._server.socket, server_side=True)
        url = f"https://localhost:{server._server.server_address[1]}"
        words = ["chat", "hi"] if command == "chat" else ["connect", "codex", "--model", "claude-sonnet-4-6", "--check"]
        said = run(*words, "--url", url, *options, home=tmp_path, **variables)
    printed = said.stdout + said.stderr
    assert "no gateway responds" not in printed
    assert ("certificate" in printed) is (by is None), printed
    assert ("tls.ca_file" in printed) is (by is None), printed


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


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_requests_variables_may_name_a_directory_that_was_rehashed(
    authority: Authority, tmp_path: Path, variable: str
) -> None:
    folder = tmp_path / "hashed"
    folder.mkdir()
    (folder / "0a1b2c3d.0").write_text(Path(authority.file).read_text())
    assert read_trust(None, {variable: str(folder)}) == Trust(((variable, str(folder)),))
    assert tls_context(str(folder)).verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_directory_that_adds_nothing_is_not_taken_for_a_file(
    authority: Authority, tmp_path: Path, variable: str
) -> None:
    (tmp_path / "more.pem").write_text(Path(authority.file).read_text())  # OpenSSL does not look at such names
    trust = read_trust(None, {variable: str(tmp_path)})
    assert trust == Trust((), ((variable, f"{tmp_path}: is a directory; name a PEM file"),))
    with pytest.raises(ConfigError, match=r"tls\.ca_file: .*: is a directory; name a PEM file") as refused:
        configured_trust(str(tmp_path), {})
    assert str(tmp_path) in refused.value.problems[0]


def test_validating_refuses_a_directory(tmp_path: Path) -> None:
    file = tmp_path / "modelmux.toml"
    file.write_text(f'[vertex]\nproject = "p"\nlocation = "global"\n[tls]\nca_file = "{tmp_path}"\n')
    said = run("config", "validate", str(file), home=tmp_path)
    assert (said.code, f"tls.ca_file: {tmp_path}: is a directory; name a PEM file" in said.stderr) == (1, True)


async def test_a_pool_without_it_does_not_trust_the_authority(authority: Authority) -> None:
    from modelmux.errors import CertificateNotAccepted

    async with peer(always(OK), tls=server_side(authority)) as (origin, _), pool_of() as pool:
        with pytest.raises(CertificateNotAccepted, match="certificate was not accepted"):
            await pool.send(call(origin))
