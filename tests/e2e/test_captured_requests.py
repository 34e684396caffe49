"""Risk: what two workers captured is not found, is shown as something else, or is sent again as another request.

With real processes: two workers with accounts, an emulator, the commands.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.cli import run_process
from support.processes import Process
from support.workers import until

MODEL, OTHER = "claude-sonnet-4-6", "claude-haiku-4-5"
STATIC = "sk-a-static-key-0123"
MORE = f"""
[capture]
enabled = true
max_body_bytes = "100KiB"
[accounts]
enabled = true
store = "sqlite:STATE/accounts.db"
[[vertex.models]]
name = "{MODEL}"
[[vertex.models]]
name = "{OTHER}"
"""
PATHS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "say exactly: one two three"}]}),
    "responses": ("/v1/responses", {"input": "say exactly: one two three"}),
    "messages": (
        "/v1/messages",
        {"max_tokens": 200, "messages": [{"role": "user", "content": "say exactly: one two three"}]},
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def gateway(serve: Callable[..., Process], emulate: Callable[..., Process], folder: Path) -> Process:
    server = f'workers = 2\nstate_dir = "{folder}"\napi_keys = ["{STATIC}"]'
    return serve(emulate().url, server=server, more=MORE.replace("STATE", str(folder)))


def run(folder: Path, *arguments: str, **variables: str) -> Any:
    settings = (f"server.state_dir={folder}", "accounts.enabled=true", f"accounts.store=sqlite:{folder}/accounts.db")
    flags = [part for one in settings for part in ("--set", one)]
    return run_process(*arguments, *flags, home=folder, **variables)


@pytest.fixture(scope="module")
def key(gateway: Process, folder: Path) -> str:
    made = run(folder, "keys", "create", "--name", "laptop", "--capture")
    assert made.code == 0, made.stderr
    return str(made.stdout.strip())


def send(gateway: Process, key: str, path: str, body: dict[str, Any]) -> tuple[Any, bytes]:
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}", "connection": "close"}
    request = urllib.request.Request(gateway.url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=100) as response:
            return response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.headers, error.read()


def shown(folder: Path, id: str) -> dict[str, Any]:
    """What the command says, once the worker has written it."""

    known: list[dict[str, Any]] = []

    def look() -> bool:
        answer = run(folder, "trace", id, "--json")
        known.append((json.loads(answer.stdout) if answer.code == 0 else {}).get("bodies"))
        return known[-1] is not None

    until(look)
    return known[-1]


def replay(folder: Path, gateway: Process, key: str, *arguments: str) -> Any:
    return run(folder, "replay", *arguments, "--url", gateway.url, "--key-env", "THE_KEY", THE_KEY=key)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", PATHS)
def test_a_request_is_shown_in_both_dialects_and_sent_again(
    dialect: str, stream: bool, gateway: Process, folder: Path, key: str
) -> None:
    path, fields = PATHS[dialect]
    body = {"model": MODEL, **fields, "stream": stream}
    headers, response = send(gateway, key, path, body)
    assert headers["x-modelmux-capture"] == "bodies"
    id = headers["x-request-id"]
    bodies = shown(folder, id)
    assert (bodies["path"], json.loads(bodies["request"]["text"])) == (path, body)
    assert bodies["response"]["text"].encode() == response
    (attempt,) = bodies["attempts"]
    assert json.loads(attempt["request"]["text"])["anthropic_version"] == "vertex-2023-10-16"
    assert "one two three" in attempt["request"]["text"]
    text = run(folder, "trace", id).stdout
    assert f"--- client's request, POST {path}" in text
    assert "--- attempt 1, request to the upstream" in text

    again = json.loads(replay(folder, gateway, key, id, "--json").stdout)
    assert (again["status"], again["response"]) == (200, "one two three")
    assert again["request_id"] != id
    assert again["replay"]["model"] == again["original"]["model"] == MODEL
    assert again["differences"]["output"] == 0
    twin = shown(folder, again["request_id"])
    assert twin["request"] == bodies["request"]
    assert twin["path"] == bodies["path"]

    other = replay(folder, gateway, key, id, "--model", OTHER)
    assert other.code == 0, other.stderr
    assert other.stdout.startswith("one two three\n")
    assert f"model        {MODEL}" in other.stdout
    assert OTHER in other.stdout
    assert "-$0.0" in other.stdout  # it costs less


def test_a_replay_is_charged_to_the_key_that_sends_it(gateway: Process, folder: Path, key: str) -> None:
    headers, _ = send(gateway, key, *_chat("charged"))
    shown(folder, headers["x-request-id"])
    second = run(folder, "keys", "create", "--name", "second").stdout.strip()
    answer = json.loads(replay(folder, gateway, second, headers["x-request-id"], "--json").stdout)
    assert answer["status"] == 200
    usage = run(folder, "usage", "--by", "key", "--json")
    assert '"second"' in usage.stdout


def test_what_cannot_be_sent_again_says_why(gateway: Process, folder: Path, key: str) -> None:
    headers, _ = send(gateway, STATIC, *_chat("not captured"))
    assert "x-modelmux-capture" not in headers
    id = headers["x-request-id"]
    until(lambda: run(folder, "trace", id).code == 0)
    answer = replay(folder, gateway, key, id)
    assert (answer.code, "its bodies were not captured" in answer.stderr) == (1, True)
    assert "keys edit KEY --capture" in answer.stderr

    headers, _ = send(gateway, key, *_chat("long " * 40_000))
    shown(folder, headers["x-request-id"])
    answer = replay(folder, gateway, key, headers["x-request-id"])
    assert (answer.code, "was too large, and only 102,400 bytes" in answer.stderr) == (1, True)
    assert "Raise capture.max_body_bytes" in answer.stderr

    headers, _ = send(gateway, key, *_chat("again"))
    id = headers["x-request-id"]
    shown(folder, id)
    unset = run(folder, "replay", id, "--url", gateway.url, "--key-env", "NOTHING")
    assert "the variable NOTHING is not set" in unset.stderr
    nowhere = run(folder, "replay", id, "--url", "http://127.0.0.1:1", "--key-env", "THE_KEY", THE_KEY=key)
    assert "no gateway responds at http://127.0.0.1:1" in nowhere.stderr
    wrong = replay(folder, gateway, "sk-mmx-wrong", id)
    assert (wrong.code, "is not valid here" in wrong.stdout) == (1, True)
    assert "its record" not in wrong.stdout, "it has none, and is not waited for"
    unknown = replay(folder, gateway, key, id, "--model", "no-such-model")
    assert (unknown.code, "no-such-model" in unknown.stdout) == (1, True)


def test_nothing_of_others_is_in_any_file(gateway: Process, folder: Path) -> None:
    """Of a static key, and of a virtual key that has not opted in."""
    quiet = run(folder, "keys", "create", "--name", "quiet").stdout.strip()
    for key in (STATIC, quiet):
        headers, response = send(gateway, key, *_chat("xylophone canary"))
        assert b"canary" in response
        until(lambda id=headers["x-request-id"]: run(folder, "trace", id).code == 0)
    for path in folder.rglob("*"):
        assert not path.is_file() or b"xylophone" not in path.read_bytes(), path
    assert (folder / "captures.db").stat().st_mode & 0o777 == 0o600


def _chat(text: str) -> tuple[str, dict[str, Any]]:
    path, _ = PATHS["chat"]
    return path, {"model": MODEL, "messages": [{"role": "user", "content": f"say exactly: {text}"}]}
