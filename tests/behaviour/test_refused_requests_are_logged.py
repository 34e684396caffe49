"""Risk: "my client does not work", and the log says nothing: a request that is refused leaves no line.

Every dialect, through the gateway; what HTTP itself refuses, over a socket.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from modelmux.app import Gateway
from modelmux.config.values import Secret
from support.asgi import request
from support.fakes import FakeUpstream, error_reply, message_reply
from support.gateway import MODEL, PROJECT, ask, gateway
from support.log_lines import Lines
from support.served import Served

KEY = "sk-modelmux-first"
VERTEX = f"/v1/projects/{PROJECT}/locations/global/publishers/anthropic/models"
VERTEX_PATTERN = "/{prefix}/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:rawPredict"
#: Dialect -> a path, the path as it is logged, and a body without its model.
DIALECTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    "responses": ("/v1/responses", "/v1/responses", {"input": "Hi"}),
    "messages": (
        "/v1/messages", "/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
    ),
    "vertex": (
        f"{VERTEX}/nothing-5:rawPredict", VERTEX_PATTERN,
        {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "anthropic_version": "vertex-2023-10-16"},
    ),
}  # fmt: skip
HEADERS = {"authorization": f"Bearer {KEY}", "content-type": "application/json", "user-agent": "OpenAI/Python 1.99.0"}


def logged(*replies: Any, **settings: Any) -> tuple[Gateway, Lines]:
    app, log = gateway(FakeUpstream(list(replies)), server={"api_keys": [KEY]}, **settings), Lines()
    app._log = app.refused._log = log
    app._current = app._build(app._current.config, None)
    return app, log


def refusals(log: Lines) -> list[dict[str, Any]]:
    return [fields for event, fields in log.lines if event == "request_refused"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("status", "code", "changes", "headers"),
    [
        (401, "invalid_api_key", {}, {"authorization": "Bearer sk-wrong"}),
        (401, "invalid_api_key", {}, {"authorization": ""}),
        (404, "model_not_found", {}, {}),
        (415, "unsupported_media_type", {}, {"content-type": "text/plain"}),
        (400, "bad_request", {"messages": 7, "input": 7, "stream": 7}, {}),
        (400, "bad_request", {}, {"x-modelmux-strict": "perhaps"}),
    ],
)
async def test_a_refused_request_has_a_line_in_every_dialect(
    dialect: str, status: int, code: str, changes: dict[str, Any], headers: dict[str, str]
) -> None:
    path, shown, body = DIALECTS[dialect]
    app, log = logged()
    sent: Any = {"model": "nothing-5", **body, **changes}
    if dialect == "vertex" and "stream" in changes:
        sent = [sent]  # wrong fields are Claude's to refuse here
    response = await request(app, "POST", path, sent, {**HEADERS, **headers})
    assert response.status == status
    (line,) = refusals(log)
    assert (line["status"], line["method"], line["path"]) == (status, "POST", shown)
    assert (line["user_agent"], line["client"]) == ("OpenAI/Python", "127.0.0.1")
    assert line["request_id"] == response.headers["x-request-id"]
    if (status, code) != (400, "bad_request"):  # a field's own code may be more exact
        assert line["code"] == code
    was_read = status == 404 or "stream" in changes
    assert line["requested_model"] == ("nothing-5" if was_read or dialect == "vertex" else "-")
    assert PROJECT not in repr(log.lines)
    assert "sk-wrong" not in repr(log.lines)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_normal_line_names_the_model_that_was_asked_for(dialect: str) -> None:
    path, _, body = DIALECTS[dialect]
    app, log = logged(message_reply())
    asked = "claude-opus-4-5" if dialect == "vertex" else "anthropic/claude-opus-4-5"
    response = await request(app, "POST", path.replace("nothing-5", asked), {**body, "model": asked}, HEADERS)
    assert response.status == 200
    (line,) = [fields for event, fields in log.lines if event == "request"]
    assert line["requested_model"] == asked
    assert refusals(log) == []


@pytest.mark.parametrize(
    ("model", "shown"),
    [("gpt-9", "gpt-9"), ("two words", "-"), ("x" * 65, "-"), ("a\nb", "-"), (f"projects/{PROJECT}/x", "projects/-/x")],
)
async def test_a_model_that_could_forge_a_line_is_not_quoted(model: str, shown: str) -> None:
    app, log = logged()
    assert (await request(app, "POST", "/v1/chat/completions", ask(model=model), HEADERS)).status == 404
    (line,) = refusals(log)
    assert line["requested_model"] == shown
    (normal,) = [fields for event, fields in log.lines if event == "request"]
    assert normal["requested_model"] == shown
    assert normal["refused"] is True


async def test_an_error_of_the_upstream_is_not_a_refusal_of_the_gateway() -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}
    app, log = logged(error_reply(400, error))
    assert (await request(app, "POST", "/v1/chat/completions", ask(model=MODEL), HEADERS)).status == 400
    (normal,) = [fields for event, fields in log.lines if event == "request"]
    assert (normal["status"], normal["refused"]) == (400, None)
    assert refusals(log) == []


@pytest.mark.parametrize(
    ("method", "path", "status", "shown"),
    [
        ("POST", "/v1/embeddings", 404, "/v1/embeddings"),
        ("GET", "/" + "long" * 50, 404, "/" + ("long" * 50)[:63]),
        ("GET", "/v1/responses/resp_secret", 404, "/v1/responses/{id}"),
        ("GET", "/v1/chat/completions", 405, "/v1/chat/completions"),
        ("PUT", "/v1/responses/resp_secret", 405, "/v1/responses/{id}"),
        ("GET", "/v1/models/gpt-9", 404, "/v1/models/{name}"),
        ("GET", f"/v1/projects/{PROJECT}/locations", 404, "/v1/projects/-/locations"),
        ("GET", f"/{KEY}/v1", 404, "/-/v1"),
        ("GET", "/v1/responses", 426, "/v1/responses"),
    ],
)
async def test_paths_are_logged_without_what_clients_put_into_them(
    method: str, path: str, status: int, shown: str
) -> None:
    app, log = logged()
    assert (await request(app, method, path, headers=HEADERS, query="key=AIza-secret")).status == status
    (line,) = refusals(log)
    assert (line["status"], line["method"], line["path"]) == (status, method, shown)
    assert "secret" not in repr(line)


@pytest.mark.parametrize("dialect", ["chat", "responses", "messages"])
@pytest.mark.parametrize(
    "extra", [{}, {"tools": [{}] * 20_000}, {"tools": [{}] * 260_000}, {"user": "x" * 3_000_000}],
    ids=["small", "many objects", "more than any model reads", "long"],
)  # fmt: skip
async def test_a_body_of_any_size_that_cannot_be_decoded_says_which_model(dialect: str, extra: dict[str, Any]) -> None:
    path, _, body = DIALECTS[dialect]
    app, log = logged()
    response = await request(app, "POST", path, {**body, **extra, "stream": 7, "model": "nothing-5"}, HEADERS)
    assert response.status == 400
    (line,) = refusals(log)
    (normal,) = [fields for event, fields in log.lines if event == "request"]
    assert line["requested_model"] == normal["requested_model"] == "nothing-5"


@pytest.mark.parametrize("own", ["team-key-0001", "pass/word+0001"])
async def test_the_gateways_own_keys_are_in_no_line_wherever_a_client_writes_them(own: str) -> None:
    app, log = logged(message_reply(), message_reply())
    config = app._current.config
    keys = [*config.server.api_keys, Secret(own)]
    await app.reload(msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, api_keys=keys)))
    headers = {**HEADERS, "user-agent": f"tool/{own}", "x-request-id": f"my-{own}", "x-claude-code-session-id": own}
    assert (await request(app, "GET", f"/{own}/v1", headers=headers)).status == 404
    assert (await request(app, "POST", "/v1/chat/completions", ask(model=own), headers)).status == 404
    served = await request(app, "POST", "/v1/chat/completions", ask(model=MODEL), headers)
    assert served.status == 200
    assert served.headers["x-request-id"].startswith("req_")
    assert [line["path"] for line in refusals(log)] == ["/-/v1", "/v1/chat/completions"]
    assert {line["user_agent"] for _, line in log.lines if "user_agent" in line} <= {"tool/-", "-"}
    assert own not in repr(log.lines)
    await app.aclose()


async def test_a_path_with_the_name_of_a_model_says_which() -> None:
    app, log = logged()
    await request(app, "GET", "/v1/models/gpt-9", headers=HEADERS)
    assert refusals(log)[0]["requested_model"] == "gpt-9"


async def test_a_flood_of_wrong_keys_is_ten_lines() -> None:
    app, log = logged()
    app.refused._clock = lambda: 5.0
    for _ in range(40):
        assert (await request(app, "GET", "/v1/models", headers={"authorization": "Bearer no"})).status == 401
    assert len(refusals(log)) == 10
    await app.aclose()
    assert refusals(log)[10:] == [{"message": "30 more refused requests were not logged", "dropped": 30}]


async def test_the_limit_outlives_a_reload() -> None:
    app, log = logged()
    app.refused._clock = lambda: 5.0
    for _ in range(10):
        await request(app, "GET", "/v1/odd", headers=HEADERS)
    await app.reload(app._current.config)
    await request(app, "GET", "/v1/odd", headers=HEADERS)
    assert len(refusals(log)) == 10
    await app.aclose()


@pytest.mark.parametrize(
    ("data", "status", "shown"),
    [
        (b"nonsense\r\n\r\n", 400, {"method": "-", "path": "-", "user_agent": "-"}),
        (
            b"GET / HTTP/1.1\r\nuser-agent: scanner/1 x\r\nhost: a\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", 431,
            {"method": "GET", "path": "/", "user_agent": "scanner/1"},
        ),
        (
            b"DELETE /v1/responses/resp_secret?key=k HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400,
            {"method": "DELETE", "path": "/v1/responses/{id}"},
        ),
        (b"GET http:// HTTP/1.1\r\nhost: a\r\n\r\n", 400, {"method": "GET", "path": "-"}),
        (
            b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nuser-agent: odd/2\r\nauthorization: Bearer "
            + KEY.encode() + b"\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400,
            {"method": "POST", "path": "/v1/messages", "user_agent": "odd/2"},
        ),
    ],
    ids=["not HTTP", "large head", "two hosts", "no target", "wrong chunk"],
)  # fmt: skip
async def test_what_is_not_http_has_a_line_too(data: bytes, status: int, shown: dict[str, str]) -> None:
    app, log = logged()
    async with Served(app).listening() as served:
        answer = await served.talk(data)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
    (line,) = refusals(log)
    assert line.items() >= {**shown, "status": status, "client": "127.0.0.1"}.items()


async def test_what_is_not_http_does_not_take_the_path_of_the_request_before() -> None:
    app, log = logged()
    async with Served(app).listening() as served:
        client = await served.connect()
        await client.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await client.response())[0] == 200
        await client.send(b"\x00nonsense\r\n\r\n")
        assert (await client.response())[0] == 400
        client.close()
    (line,) = refusals(log)
    assert (line["method"], line["path"]) == ("-", "-")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x00nonsense\r\n\r\n", {"method": "-", "path": "-", "user_agent": "-"}),
        (
            b"DELETE /v1/odd HTTP/1.1\r\nuser-agent: odd/2\r\nhost: a\r\nhost: b\r\n\r\n",
            {"method": "DELETE", "path": "/v1/odd", "user_agent": "odd/2"},
        ),
        (
            b"POST /v1/odd HTTP/1.1\r\nuser-agent: odd/2\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            {"method": "POST", "path": "/v1/odd", "user_agent": "odd/2"},
        ),
    ],
    ids=["not HTTP", "two hosts", "wrong chunk"],
)
async def test_a_malformed_request_that_was_sent_ahead_has_a_line(data: bytes, shown: dict[str, str]) -> None:
    app, log = logged()
    async with Served(app).listening() as served:
        got = await served.talk(b"GET /healthz HTTP/1.1\r\nuser-agent: good/1\r\nhost: localhost\r\n\r\n" + data)
    assert got.count(b"HTTP/1.1 ") == 1
    assert got.startswith(b"HTTP/1.1 200 ")
    (line,) = refusals(log)
    assert line.items() >= {**shown, "status": 400, "client": "127.0.0.1"}.items()
    assert sum(app.metrics.errors.values.values()) == 0, "no error was sent"


CHUNKED = (
    b"\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nauthorization: Bearer "
)


@pytest.mark.parametrize("at_once", [True, False], ids=["in one piece", "after the head was handled"])
@pytest.mark.parametrize(("key", "runs"), [(KEY, True), ("sk-wrong", False)], ids=["with a key", "with a wrong key"])
async def test_a_body_that_cannot_be_read_is_logged_once_with_the_status_that_was_sent(
    key: str, runs: bool, at_once: bool
) -> None:
    app, log = logged()
    head = b"POST /v1/messages HTTP/1.1" + CHUNKED + key.encode() + b"\r\n\r\n"
    async with Served(app).listening() as served:
        client = await served.connect()
        await client.send(head + (b"zz\r\n" if at_once else b""))
        if not at_once:
            await asyncio.sleep(0.1)
            await client.send(b"zz\r\n")
        status = (await client.response())[0]
        client.close()
    assert status == (400 if runs or at_once else 401)
    assert [line["status"] for line in refusals(log)] == [status]
    normal = [fields for event, fields in log.lines if event == "request"]
    assert [(line["status"], line["outcome"]) for line in normal] == [(400, "client_error")] * runs
    assert sum(app.metrics.errors.values.values()) == 1


async def test_served_requests_have_no_such_line_and_do_not_ask_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    app, log = logged(message_reply())
    monkeypatch.setattr(app.refused, "note", None)
    body = json.dumps(ask(model=MODEL)).encode()
    assert (await request(app, "POST", "/v1/chat/completions", body, HEADERS)).status == 200
    assert refusals(log) == []
