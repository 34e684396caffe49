"""Risk: a secret leaks where no single test looks (S14, S15, S31, S44). On real processes, secrets are planted in every
place a person can put one, everything that can fail does, and all output is searched.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.cli import run_process
from support.processes import Process, free_port

PROJECT = "canary-project-33"


PROMPT = "canary prompt 44"


URL_PASSWORD = "canary-url-password-00"


SPOKEN = "canary answer 34"


KEY = "sk-modelmux-canary-key-11"


OTHER_KEY = "sk-modelmux-canary-key-22"


SYSTEM = "canary system 55"


TOOL = "canary_tool_66"


PERSON = "canary.person.77@example.com"


WRONG_KEY = "sk-canary-wrong-88"


COOKIE = "canary-cookie-99"


URL_PATH = "canary-signed-path-12"


#: What may come out nowhere. The last part of a PEM key and of a token are added when they are made.
CANARIES = [KEY, OTHER_KEY, PROMPT, SYSTEM, TOOL, PERSON, WRONG_KEY, COOKIE, URL_PASSWORD, URL_PATH]


_CONFIG = """
[server]
port = {port}
api_keys = ["{key}", "{other}"]
log_level = "trace"
log_format = "console"

[retries]
max = 0

[logs]
directory = "{logs}"

[vertex]
project = "{project}"
location = "global"
base_url = "{upstream}"

[auth]
service_account_json = {credential}
"""


def _credential(token_uri: str) -> tuple[str, str]:
    """A service account as JSON, and a line out of the middle of its key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    info = {
        "type": "service_account", "project_id": PROJECT, "private_key_id": "canary-key-id",
        "private_key": pem.decode(),
        "client_email": f"gateway@{PROJECT}.iam.gserviceaccount.com", "token_uri": token_uri,
    }  # fmt: skip
    return json.dumps(info), pem.decode().splitlines()[5]


class Case:
    """A gateway before an emulator, and what was heard of both. Its console is for people, its files are JSON."""

    def __init__(self, folder: Path) -> None:
        upstream, self.port = free_port(), free_port()
        self.folder, self.heard = folder, list[str]()
        (folder / "emulator").mkdir()
        self.emulator = Process(
            folder / "emulator" / "log", "emulate", "--port", str(upstream), "--tokens-per-second", "0",
            "--require-token", port=upstream,
        )  # fmt: skip
        credential, self.pem = _credential(f"{self.emulator.url}/token")
        self.config = folder / "config.toml"
        self.config.write_text(
            _CONFIG.format(
                port=self.port, key=KEY, other=OTHER_KEY, logs=folder / "logs", project=PROJECT,
                upstream=self.emulator.url, credential=json.dumps(credential),
            )
        )  # fmt: skip
        self.config.chmod(0o600)
        self.gateway = Process(folder / "console", "serve", "--config", str(self.config), port=self.port)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=100)
        pairs = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, raw, {"content-type": "application/json", **pairs})
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
            self.heard.append(f"{path.partition('?')[0]} -> {response.status} {response.headers} {text}")
            return response.status
        finally:
            connection.close()


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    running = Case(tmp_path)
    try:
        running.emulator.wait_ready("/healthz")
        running.gateway.wait_ready()
        yield running
    finally:
        running.gateway.stop()
        running.emulator.stop()


_FAULTS = [
    "", "status=529 times=1", "status=500 shape=html", "status=429 shape=google_array", "status=403 shape=google",
    "status=404 shape=google", "status=400", "status=401 shape=google times=1", "reset=true", "close=true",
    "reset_after_event=1", "reset_after_event=4", "close_after_event=3", "truncate_after_byte=300",
    "error_after_event=4",
    "garbage=true", "empty=true", "bad_json=true", "unknown_event=true", "unknown_block=true",
    "content_length_mismatch=true",
    f'status=400 message="{PROMPT}: projects/{PROJECT}/locations/global refused"',
]  # fmt: skip


def _body(fault: str, *, stream: bool) -> dict[str, Any]:
    directive = f" [[emulator: {fault}]]" if fault else ""
    return {
        "model": "claude-sonnet-4-6", "max_tokens": 60, "stream": stream, "user": PERSON, "metadata": {"who": PERSON},
        "tools": [{"type": "function", "function": {"name": TOOL, "description": PROMPT,
        "parameters": {"title": PROMPT}}}],
        "tool_choice": "none",
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f"{PROMPT}: say exactly: {SPOKEN}{directive}"},
        ],
    }  # fmt: skip


def _provoke_every_failure(case: Case) -> None:
    hidden = {"authorization": f"Bearer {KEY}", "cookie": f"s={COOKIE}", "proxy_authorization": f"Basic {COOKIE}"}
    for fault in _FAULTS:
        for stream in (False, True):
            case.ask("POST", "/v1/chat/completions", _body(fault, stream=stream), **hidden)
    for headers in ({"x_api_key": WRONG_KEY}, {"authorization": f"Bearer {WRONG_KEY}"}, {}):
        assert case.ask("POST", "/v1/chat/completions", _body("", stream=False), **headers) == 401
    good = {"x_api_key": OTHER_KEY}
    image = {
        "type": "image_url",
        "image_url": {"url": f"http://user:{URL_PASSWORD}@127.0.0.1/{URL_PATH}?sig={URL_PATH}"},
    }
    local = {"type": "image_url", "image_url": {"url": f"http://169.254.169.254/{URL_PATH}"}}
    unread = {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PROMPT.encode()).decode()}"},
    }
    for part in (image, local, unread, {"type": PROMPT}, {"type": "text", "text": 5, "x": PROMPT}):
        body = _body("", stream=False)
        body["messages"] = [{"role": "user", "content": [{"type": "text", "text": PROMPT}, part]}]
        assert case.ask("POST", "/v1/chat/completions", body, **good) == 400
    for raw in (
        f'{{"model": "{PROMPT}'.encode(),
        json.dumps({"messages": PROMPT, "model": 5}).encode(),
        PROMPT.encode(),
    ):
        assert case.ask("POST", "/v1/chat/completions", raw, **good) == 400
    for path in ("/metrics", "/health", "/v1/models", f"/nowhere?key={KEY}", "/readyz"):
        case.ask("GET", path, **good)


def _around(text: str, canary: str) -> str:
    at = text.index(canary)
    return text[max(0, at - 200) : at + 100]


def test_s14_s15_s31_s44_no_output_holds_a_secret(case: Case) -> None:
    _provoke_every_failure(case)
    assert any(SPOKEN in heard for heard in case.heard), "nothing was answered, so nothing was tested"
    case.gateway.stop()
    written = case.gateway.output() + "".join(file.read_text("utf-8") for file in (case.folder / "logs").iterdir())
    assert written.count("attempt_failed") > 10, "nothing failed, so nothing was tested"
    case.emulator.stop()  # what commands say of an upstream that is gone
    arguments = ("--config", str(case.config))
    commands = [
        run_process(*command, *arguments, home=case.folder, HTTPS_PROXY=f"http://me:{URL_PASSWORD}@127.0.0.1:9")
        for command in (
            ("config", "show"),
            ("config", "show", "--origin"),
            ("config", "validate"),
            ("doctor",),
            ("models",),
        )
    ]
    printed = "".join(f"{one.arguments}: {one.stdout}{one.stderr}" for one in commands)
    assert len(printed) > 1000
    everywhere = {"client": "\n".join(case.heard), "logs": written, "commands": printed}
    for where, text in everywhere.items():
        for canary in [*CANARIES, case.pem, "BEGIN PRIVATE KEY", "ya29."]:
            if (where, canary) == ("client", PROMPT):
                continue  # a message of the upstream is passed on to the client who caused it, and only to that one
            assert canary not in text, f"{canary} came out in the {where}: …{_around(text, canary)}…"
    for where in ("client", "logs"):
        assert PROJECT not in everywhere[where], _around(everywhere[where], PROJECT)
    assert SPOKEN not in written
    assert "Traceback" not in written + printed
