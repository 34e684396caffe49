"""Risk: text of a request or file is run, rendered, opened, or served to a browser."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from modelmux.upstream.google_auth.loaders import service_account_info
from support.asgi import request
from support.chat import chat
from support.fakes import FakeUpstream, message_reply
from support.gateway import PATH, ask, gateway
from support.security import BEARER, called, guarded, imported, routes, send, syntax


async def test_s4_text_of_clients_is_never_a_template() -> None:
    text = "{{7*7}} ${7*7} <%= 7*7 %> {% import os %} #{7*7} {0.__class__} %(x)s $HOME {env:HOME}"
    got = await chat(
        messages=[{"role": "system", "content": text}, {"role": "user", "content": text}],
        tools=[{"type": "function", "function": {"name": "f", "description": text, "parameters": {"title": text}}}],
    )
    sent = got.sent
    assert sent["system"] in (text, [{"type": "text", "text": text}])
    assert sent["messages"][0]["content"] in (text, [{"type": "text", "text": text}])
    assert sent["tools"][0]["description"] == text
    assert [line.partition(":")[0] for line in imported("jinja2", "mako", "chevron")] == ["dashboard/rendering.py"]
    assert not list(called("Template", "jinja2.Template"))
    tree = next(tree for file, tree in syntax() if str(file).endswith("dashboard/rendering.py"))
    assert "from_string" not in ast.unparse(tree), "templates are files of the package"


def test_s5_serving_code_starts_no_process() -> None:
    starters = {"subprocess", "multiprocessing", "pty"}
    calls = {"os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.fork", "os.spawnv"}
    serving = (
        "server/",
        "gateway/",
        "routing/",
        "claude/",
        "dialects/",
        "providers/",
        "wire/",
        "upstream/",
        "catalog/",
        "telemetry/",
        "app.py",
    )
    assert not [line for line in (*imported(*starters), *called(*calls)) if line.startswith(serving)]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)"])
async def test_s13_no_response_is_html(text: str) -> None:
    subject = guarded()
    for method, path in [*routes(subject.app), ("GET", f"/{text}"), ("GET", f"/v1/models/{text}")]:
        body = json.dumps(ask() | {"model": text}).encode()
        response = await send(subject.app, method, path, BEARER, body)
        if not response.body:
            assert "content-type" not in response.headers
            continue
        kind = response.headers["content-type"].partition(";")[0]
        assert kind in {"application/json", "text/plain", "text/event-stream"}, (path, kind)


_EXECUTABLE = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
}


class _Never:
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("nothing is to be asked")


def test_s17_programs_in_credential_files_are_not_run(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", raising=False)
    ran = tmp_path / "ran"
    source = {"executable": {"command": f"/usr/bin/touch {ran}", "timeout_millis": 5000}}
    loaded = service_account_info(json.dumps(_EXECUTABLE | {"credential_source": source}))(_Never())
    with pytest.raises(Exception, match=r"[Ee]xecutables? (?:need|not allowed|must)|explicitly allowed"):
        loaded.credentials.refresh(_Never())
    assert not ran.exists()


async def test_s22_no_path_writes_settings() -> None:
    subject = guarded()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in (
            "/config",
            "/config/update",
            "/v1/config",
            "/admin/config",
            "/key/generate",
            "/v1/models",
            "/metrics",
        ):
            assert (await send(subject.app, method, path, BEARER, b"{}")).status in (404, 405)


def test_s25_no_eval_exec_or_pickle() -> None:
    forbidden = (
        "eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "pickle.dumps", "marshal.loads",
        "shelve.open",
        "yaml.load", "yaml.unsafe_load", "yaml.full_load", "dill.loads", "jsonpickle.decode", "os.system", "os.popen",
        "subprocess.getoutput", "tempfile.mktemp", "ssl._create_unverified_context",
    )  # fmt: skip
    assert not list(called(*forbidden))


def test_s25_no_shell_and_no_unchecked_certificate() -> None:
    for file, tree in syntax():
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg in ("shell", "verify", "check_hostname"):
                value = node.value
                off = isinstance(value, ast.Constant) and value.value is (node.arg == "shell")
                assert not off, f"{file}:{value.lineno}: {node.arg}={ast.unparse(value)}"
            if isinstance(node, ast.Attribute) and node.attr == "CERT_NONE":
                pytest.fail(f"{file}:{node.lineno}: certificates go unchecked")


def test_s25_yaml_is_read_by_the_safe_loader() -> None:
    for file, tree in syntax():
        loaders = [
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.Attribute) and n.attr.endswith("Loader") and ast.unparse(n.value) == "yaml"
        ]
        assert all("Safe" in n.attr for n in loaders), file


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/v1/models/../../etc/passwd", "/v1/models/..%2f..%2fetc%2fpasswd", "//etc/passwd",
             "/v1/models//etc/passwd", "/v1/models/\x00", "/static/../app.py", "/v1/files/../../x",
             "/v1/models/" + "../" * 500]
)  # fmt: skip
async def test_s27_request_paths_are_not_file_paths(path: str) -> None:
    subject = guarded()
    response = await send(subject.app, "GET", path, BEARER)
    assert response.status == 404
    assert "root:" not in response.body.decode()


async def test_s27_file_names_of_requests_are_not_opened(tmp_path: Any) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("canary of the disk")
    for file in ({"file_data": str(secret)}, {"file_data": f"file://{secret}"}, {"file_id": f"../../{secret}"},
                 {"filename": str(secret), "file_data": "data:text/plain;base64,aGk="}):  # fmt: skip
        upstream = FakeUpstream([message_reply()])
        message = {"role": "user", "content": [{"type": "file", "file": file}]}
        await request(gateway(upstream), "POST", PATH, ask() | {"messages": [message]})
        assert all(b"canary of the disk" not in call.body for call in upstream.calls)


def test_s27_serving_code_opens_no_files() -> None:
    serving = (
        "server/",
        "gateway/",
        "routing/",
        "claude/",
        "dialects/",
        "providers/",
        "wire/",
        "upstream/downloads",
        "upstream/http1",
    )
    opened = list(called("open", "Path", "pathlib.Path", "os.open", "io.open"))
    assert not [line for line in opened if line.startswith(serving)]
