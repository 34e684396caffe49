"""Risk: ``--check`` passes where the client would fail, or does not say what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelmux.cli.connect.table import Client, clients
from support.cli import CommandResult, run
from support.processes import free_port
from support.stub_gateway import EVENTS, MODEL, Answer, StubGateway, as_json, stream, stub_gateway

KEY = "sk-canary-key-111"
ALL = [pytest.param(client, id=f"{client.name}-{client.api}") for client in clients().client]


def check(home: Path, stub: StubGateway | str, *arguments: str) -> CommandResult:
    url = stub if isinstance(stub, str) else f"{stub.url}/llm/v1"
    return run("connect", "--model", MODEL, *arguments, "--check", "--url", url, "--api-key", KEY, home=home)


def checks(home: Path, answers: dict[str, Answer], *arguments: str) -> dict[str, Any]:
    with stub_gateway(answers) as stub:
        result = check(home, stub, *arguments, "--json")
    printed = json.loads(result.stdout)
    assert result.code == (0 if printed["ok"] else 1)
    for step in printed["checks"]:
        assert step["status"] == "ok" or step["hint"], step
    return {step["check"]: step for step in printed["checks"]}


@pytest.mark.parametrize("client", ALL)
def test_every_client_passes_at_a_good_gateway(client: Client, tmp_path: Path) -> None:
    with stub_gateway() as stub:
        result = check(tmp_path, stub, client.name, "--mode", client.api)
    assert result.code == 0, result.stdout + result.stderr
    assert "  fail  " not in result.stdout
    assert KEY not in result.stdout + result.stderr
    for request in stub.received:
        assert request.path.startswith("/llm/")
        offered = {name: value for name, value in request.headers.items() if KEY in value}
        if request.method == "HEAD":
            assert offered == {}
        elif client.auth == "bearer":
            assert offered == {"authorization": f"Bearer {KEY}"}
        else:
            assert offered == {"x-api-key": KEY}


def test_claude_code_is_imitated(tmp_path: Path) -> None:
    with stub_gateway() as stub:
        check(tmp_path, stub, "claude-code", "--model", f"{MODEL}[1m]")
    assert [f"{request.method} {request.path}" for request in stub.received] == [
        "HEAD /llm/api/hello",
        "GET /llm/v1/models?limit=1000",
        "POST /llm/v1/messages?beta=true",
        "POST /llm/v1/messages?beta=true",
        "POST /llm/v1/messages/count_tokens?beta=true",
    ]
    unary = stub.received[2]
    assert unary.body["model"] == MODEL
    assert "claude-code-20250219" in unary.headers["anthropic-beta"]
    assert unary.headers["anthropic-version"] == "2023-06-01"


def test_vertex_mode_is_imitated(tmp_path: Path) -> None:
    with stub_gateway() as stub:
        check(tmp_path, stub, "anthropic-vertex-python", "--model", "claude-haiku-4-5@20251001")
    models = "/llm/v1/projects/modelmux/locations/global/publishers/anthropic/models"
    assert [request.path for request in stub.received[1:]] == [
        f"{models}/claude-haiku-4-5%4020251001:rawPredict",
        f"{models}/claude-haiku-4-5%4020251001:streamRawPredict",
        f"{models}/count-tokens:rawPredict",
    ]
    assert all(request.body["anthropic_version"] for request in stub.received[1:])
    assert "model" not in stub.received[1].body


@pytest.mark.parametrize("name", ["claude-code", "openai-python"])
def test_no_gateway_at_all(name: str, tmp_path: Path) -> None:
    result = check(tmp_path, f"http://127.0.0.1:{free_port()}", name)
    assert result.code == 1
    assert result.stdout.count("  fail  ") == 1
    assert "modelmux serve" in result.stdout


ERROR = {"type": "error", "error": {"type": "not_found_error", "message": "model: x"}}
CUT = EVENTS.partition(b"event: message_stop")[0]
FAILED = CUT + b'event: error\ndata: {"type": "error", "error": {"message": "Overloaded"}}\n\n'


@pytest.mark.parametrize(
    ("answers", "step", "status", "text"),
    [
        ({"POST": as_json(ERROR, 401)}, "unary", "fail", "the key is not accepted"),
        ({"GET": as_json(ERROR, 401)}, "models", "fail", "the key is not accepted"),
        ({"POST": as_json(ERROR, 404)}, "unary", "fail", "model: x"),
        ({"POST": Answer(404, b"<html>", "text/html")}, "unary", "fail", "is it that of a gateway"),
        ({"POST": Answer(403, b"<html>", "text/html")}, "unary", "fail", "web application firewall"),
        ({"POST": Answer(413)}, "stream", "fail", "30 MB"),
        ({"POST": as_json(ERROR, 429)}, "unary", "fail", "quota"),
        ({"POST": as_json(ERROR, 400)}, "unary", "fail", "rejects the request: model: x"),
        ({"POST": Answer(502, b"<html>")}, "unary", "fail", "doctor --live"),
        ({"POST": Answer(308, headers=(("location", "https://other/"),))}, "unary", "fail", "use the final URL"),
        ({"POST": Answer(200, b"<html>", "text/html")}, "unary", "fail", "not one of this API (text/html)"),
        ({" stream": stream(CUT)}, "stream", "fail", "ended early"),
        ({" stream": stream(FAILED)}, "stream", "fail", "Overloaded"),
        ({" stream": stream(b"data: x\n\n")}, "stream", "fail", "not JSON"),
        ({"HEAD": Answer(404)}, "hello", "warn", "clients work without it"),
        ({"count": as_json(ERROR, 501)}, "count tokens", "warn", "estimates"),
        ({"count": as_json({"input_tokens": 0})}, "count tokens", "warn", "not a number of tokens"),
        ({"GET": as_json({"data": [{"id": MODEL}]})}, "models", "warn", "shape of OpenAI's API"),
        ({"GET": as_json({"data": [{"id": "x", "display_name": "x"}]})}, "models", "warn", "no name contains `claude`"),
        ({"GET": as_json({"data": [{"id": "claude-x", "display_name": "x"}]})}, "models", "warn", "is not listed"),
        ({"GET": Answer(200, b"[]")}, "models", "warn", "not a list of models"),
    ],
)
def test_what_goes_wrong_is_named(
    answers: dict[str, Answer], step: str, status: str, text: str, tmp_path: Path
) -> None:
    result = checks(tmp_path, answers, "claude-code")[step]
    assert result["status"] == status
    assert text in f"{result['detail']} {result['hint']}"


def test_a_refused_key_is_tried_once(tmp_path: Path) -> None:
    answers = {"GET": as_json(ERROR, 401), "POST": as_json(ERROR, 401)}
    with stub_gateway(answers) as stub:
        result = check(tmp_path, stub, "claude-code")
    assert [request.method for request in stub.received] == ["HEAD", "GET"]
    assert result.code == 1
    assert result.stdout.splitlines()[-1] == f"Claude Code cannot use {stub.url}/llm."


@pytest.mark.parametrize(
    ("variables", "hint"),
    [
        ({}, "server.api_keys with --api-key, or in $MODELMUX_KEY"),
        ({"MODELMUX_KEY": "unused"}, "$MODELMUX_KEY is not one of the gateway's server.api_keys"),
        ({"MODELMUX_KEY": "unused", "MODELMUX_API_KEYS": KEY}, "$MODELMUX_KEY is not one of"),
        ({"MODELMUX_API_KEYS": KEY}, "other keys than this configuration"),
    ],
)
def test_a_refused_key_is_traced_to_where_it_is_from(variables: dict[str, str], hint: str, tmp_path: Path) -> None:
    with stub_gateway({"GET": as_json(ERROR, 401)}) as stub:
        port = stub.url.rpartition(":")[2]
        result = run("connect", "openai-python", "--check", "--set", f"server.port={port}", home=tmp_path,
                     VERTEX_PROJECT="p", VERTEX_LOCATION="global", **variables)  # fmt: skip
    assert result.code == 1
    assert hint in result.stdout
    assert ("warning: MODELMUX_KEY is set, but not" in result.stderr) == (len(variables) == 2)
    sent = stub.received[0].headers.get("authorization", "")
    assert sent == (f"Bearer {next(iter(variables.values()))}" if variables else ""), "as the client would"


@pytest.mark.parametrize(
    ("answers", "step", "text"),
    [
        ({" stream": stream(b'data: {"choices": []}\n\n')}, "stream", "ended early"),
        ({" stream": stream(b'data: {"error": {"message": "It broke."}}\n\n')}, "stream", "It broke."),
        ({"chat/completions": as_json({"choices": []})}, "unary", "not one of this API"),
    ],
)
def test_what_goes_wrong_with_chat(answers: dict[str, Answer], step: str, text: str, tmp_path: Path) -> None:
    result = checks(tmp_path, answers, "openai-python")[step]
    assert result["status"] == "fail"
    assert text in result["detail"]


RESPONSE_FAILED = stream(
    b'event: response.failed\ndata: {"type": "response.failed", "response": {"error": {"message": "It broke."}}}\n\n'
)


@pytest.mark.parametrize(
    ("answers", "step", "text"),
    [
        ({" stream": stream(b'event: response.created\ndata: {"response": {"error": null}}\n\n')}, "stream", "early"),
        ({" stream": RESPONSE_FAILED}, "stream", "It broke."),
        ({"/responses": as_json({"object": "chat.completion", "usage": {}})}, "unary", "not one of this API"),
        ({"/responses": as_json({"error": {"message": "no such path"}}, 404)}, "unary", "no such path"),
    ],
)
def test_what_goes_wrong_with_responses(answers: dict[str, Answer], step: str, text: str, tmp_path: Path) -> None:
    result = checks(tmp_path, answers, "codex")[step]
    assert result["status"] == "fail"
    assert text in result["detail"]


def test_responses_are_checked_without_storing_them(tmp_path: Path) -> None:
    with stub_gateway() as stub:
        check(tmp_path, stub, "codex")
    assert [f"{request.method} {request.path}" for request in stub.received] == [
        "GET /llm/v1/models",
        "POST /llm/v1/responses",
        "POST /llm/v1/responses",
    ]
    assert [request.body["store"] for request in stub.received[1:]] == [False, False]


def test_a_stream_that_comes_as_one_message_is_read_like_one(tmp_path: Path) -> None:
    """Some proxies and `streaming.mode = "json"` answer so; the client then gets something that it did not ask for."""
    result = checks(tmp_path, {" stream": as_json({"x": 1})}, "anthropic-js")["stream"]
    assert result["status"] == "fail"


def test_a_gateway_that_repeats_the_key_does_not_get_it_shown(tmp_path: Path) -> None:
    answers = {"POST": as_json({"error": {"message": f"bad key {KEY}\x1b[2J"}}, 400)}
    with stub_gateway(answers) as stub:
        result = check(tmp_path, stub, "claude-code")
    assert "bad key ***" in result.stdout
    assert KEY not in result.stdout
    assert "\x1b" not in result.stdout
