"""Public reports that need a running gateway: each file's steps and prose, with real processes."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from support.http_servers import Authority
from support.processes import START_SECONDS, Process, free_port
from support.reports import body_of, report
from support.token_endpoint import private_key, private_pem
from support.vertex_server import Reply, VertexServer, hello, vertex_server

Serve = Callable[..., Process]


def post(url: str, body: bytes) -> tuple[int, Mapping[str, str], Any]:
    """Status, headers and JSON of a chat completion."""
    call = urllib.request.Request(f"{url}/v1/chat/completions", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(call, timeout=START_SECONDS) as response:
            return response.status, response.headers, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.loads(error.read())


def until(condition: Callable[[], Any]) -> Any:
    """The first true value of ``condition``."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not become true")


def is_served(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/livez", timeout=100).close()
    except OSError:
        return False
    return True


def service_account(folder: Path, server: VertexServer, which: int) -> Path:
    """A key file that replaces the one before it at once."""
    key = {
        "type": "service_account", "project_id": "p", "private_key_id": str(which), "private_key": private_pem(which),
        "client_email": "gateway@p.iam.gserviceaccount.com", "token_uri": f"{server.url}/token",
    }  # fmt: skip
    path, new = folder / "key.json", folder / "new.json"
    new.write_text(json.dumps(key))
    new.chmod(0o600)
    new.replace(path)
    return path


def is_signed_by(which: int, form: Mapping[str, str]) -> bool:
    head, claims, signature = form["assertion"].split(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    try:
        signed = f"{head}.{claims}".encode()
        private_key(which).public_key().verify(raw, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def tokens_of(which: int) -> Callable[[dict[str, str]], Reply]:
    """A token endpoint that knows one key only."""

    def token(form: dict[str, str]) -> Reply:
        if not is_signed_by(which, form):
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, {}
        return 200, {"access_token": f"token-{which}", "expires_in": 3600, "token_type": "Bearer"}, {}

    return token


def test_g_busy_minute_after_a_start_taken_for_zero_quota(serve: Serve) -> None:
    case = report("g-busy-minute-after-a-start-taken-for-zero-quota")
    began: list[float] = []

    def answer(token: str) -> Reply:
        began.append(time.monotonic())
        said = case["upstream_for_3_seconds"]
        return (said["status"], said["json"], {}) if began[-1] < began[0] + 3.0 else hello(token)

    with vertex_server() as server:
        server.answer = answer
        process = serve(server.url)
        while True:
            calls = len(began)
            status, headers, body = post(process.url, body_of(case))
            assert len(began) > calls, "no request is rejected without being sent"
            if status == 200:
                break
            assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
            assert "x-should-retry" not in headers
            assert int(headers["retry-after"]) >= 1
        assert body["choices"][0]["message"]["content"] == "hello"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", None])
def test_j_certificate_authority_of_an_inspecting_proxy(tmp_path: Path, variable: str | None, serve: Serve) -> None:
    case, authority = report("j-certificate-authority-of-an-inspecting-proxy"), Authority(tmp_path)
    side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    side.load_cert_chain(*authority.certificate("localhost"))
    variables = {} if variable is None else {variable: authority.file}
    with vertex_server(side) as server:
        server.token = tokens_of(1)
        key = service_account(tmp_path, server, 1)
        setting = "" if variable else f'[tls]\nca_file = "{authority.file}"\n'
        process = serve(server.url, auth=f'service_account_file = "{key}"', more=setting, **variables)
        status, _, body = post(process.url, body_of(case))
        assert (status, server.calls) == (200, ["token-1"]), body


def test_o_client_that_left_is_logged_as_200(serve: Serve) -> None:
    case, left = report("o-client-that-left-is-logged-as-200"), threading.Event()

    def answer(token: str) -> Reply:
        left.wait(START_SECONDS)
        return hello(token)

    with vertex_server() as server:
        server.answer = answer
        process = serve(server.url)
        host, _, port = process.url.removeprefix("http://").partition(":")
        client = http.client.HTTPConnection(host, int(port))
        client.request("POST", "/v1/chat/completions", body_of(case), {"content-type": "application/json"})
        assert server.called.wait(START_SECONDS)
        client.close()
        line = until(lambda: next((line for line in process.output().splitlines() if "client_gone" in line), ""))
        left.set()
    assert re.search(r"\bstatus=(\S+)", line)[1] == "499", line  # type: ignore[index]
    assert "response_bytes=0" in line


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can become a user that does not exist",
)
def test_p_no_home_for_the_user(tmp_path: Path) -> None:
    case, port = report("p-no-home-for-the-user"), free_port()
    with vertex_server() as server:
        environment = {
            "PATH": os.environ["PATH"], "VERTEX_PROJECT": "p", "VERTEX_LOCATION": "global",
            "MODELMUX_AUTH_ACCESS_TOKEN": "t",
        }  # fmt: skip
        become = ["setpriv", "--reuid", "10001", "--regid", "10001", "--clear-groups"]
        settings = [f"server.port={port}", f"vertex.base_url={server.url}"]
        command = [sys.executable, "-m", "modelmux", "serve", *(word for each in settings for word in ("--set", each))]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen([*become, *command], env=environment, cwd="/", stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: process.poll() is not None or is_served(url))
            status, _, body = post(url, body_of(case))
            assert status == 200, body
        finally:
            process.kill()
            process.wait(START_SECONDS)
    assert "went wrong" not in (tmp_path / "log").read_text()


def test_q_service_account_key_rotated_on_disk(tmp_path: Path, serve: Serve) -> None:
    case = report("q-service-account-key-rotated-on-disk")
    with vertex_server() as server:
        server.token = tokens_of(1)
        key = service_account(tmp_path, server, 1)
        process = serve(server.url, auth=f'service_account_file = "{key}"')
        assert post(process.url, body_of(case))[0] == 200
        service_account(tmp_path, server, 2)
        server.token = tokens_of(2)
        unauthenticated = {"error": {"code": 401, "message": "Request had invalid authentication credentials.",
                                     "status": "UNAUTHENTICATED"}}  # fmt: skip
        server.answer = lambda token: hello(token) if token == "token-2" else (401, unauthenticated, {})
        for _ in range(3):
            status, _, body = post(process.url, body_of(case))
            assert status == 200, body
        assert server.calls[-1] == "token-2"
