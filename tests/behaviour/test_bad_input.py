"""Bad input gets a clear 4xx envelope naming the field, at once, costs no upstream call, and the server continues."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.asgi import request
from support.clock import loop_time
from support.fakes import FakeUpstream, message_reply
from support.gateway import PATH, ask, gateway

DEEP = b'{"model":"claude-sonnet-4-6","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
DEEP_SCHEMA = json.dumps(ask()).encode()[:-1] + b',"metadata":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}"

CASES: list[tuple[str, Any, int, str | None, str]] = [
    ("nothing", b"", 400, None, "empty"),
    ("white space", b"  \n ", 400, None, "empty"),
    ("not JSON", b"model=claude", 400, None, "not valid JSON"),
    ("cut JSON", b'{"model": "claude', 400, None, "not valid JSON"),
    ("two values", json.dumps(ask()).encode() * 2, 400, None, "not valid JSON"),
    ("an array", b"[]", 400, None, "object"),
    ("null", b"null", 400, None, "object"),
    ("NaN", b'{"model":"a","messages":[],"temperature":NaN}', 400, None, "not valid JSON"),
    ("1e400", b'{"model":"a","messages":[],"temperature":1e400}', 400, "temperature", "range"),
    ("bad UTF-8", b'{"model":"\xff\xfe","messages":[]}', 400, None, "UTF-8"),
    ("lone surrogate outside of a string", rb'{"model":"a","messages":[],\ud800}', 400, None, "not valid JSON"),
    ("deep", DEEP, 400, "messages.0", "object"),
    ("deep in a free field", DEEP_SCHEMA, 400, None, "nested too deeply"),
    ("no model", {"messages": []}, 400, "model", "Missing"),
    ("no messages", {"model": "claude-sonnet-4-6"}, 400, "messages", "Missing"),
    ("model of a wrong type", {"model": 5, "messages": []}, 400, "model", "str"),
    ("messages of a wrong type", {"model": "a", "messages": "hi"}, 400, "messages", "array"),
    ("a message that is none", {"model": "a", "messages": ["hi"]}, 400, "messages.0", "object"),
    ("no role", ask() | {"messages": [{"content": "x"}]}, 400, "messages.0.role", "Missing"),
    ("unknown role", ask() | {"messages": [{"role": "boss", "content": "x"}]}, 400, "messages.0.role", "nknown"),
    ("content of a wrong type", ask() | {"messages": [{"role": "user", "content": 5}]},
     400, "messages.0.content", "str"),
    ("unknown part", ask() | {"messages": [{"role": "user", "content": [{"type": "hologram"}]}]},
     400, "messages.0.content.0.type", "nknown"),
    ("part without text", ask() | {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
     400, "messages.0.content.0.text", "Missing"),
    ("no messages at all", ask() | {"messages": []}, 400, "messages", "at least one"),
    ("temperature too high", ask(temperature=2.5), 400, "temperature", "between 0 and 2"),
    ("temperature as text", ask(temperature="hot"), 400, "temperature", "number"),
    ("max_tokens zero", ask(max_tokens=0), 400, "max_tokens", "at least 1"),
    ("max_tokens as text", ask(max_tokens="many"), 400, "max_tokens", "int"),
    ("n", ask(n=2), 400, "n", "n times"),
    ("two tools of one name", ask(tools=[{"type": "function", "function": {"name": "f"}}] * 2),
     400, "tools.1.function.name", "unique"),
    ("tool choice without tools", ask(tool_choice="required"), 400, "tool_choice", "tools"),
    ("unknown tool choice", ask(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice="maybe"),
     400, "tool_choice", "auto"),
    ("an audio part", ask() | {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
     400, "messages.0.content.0.type", "does not accept audio"),
    ("an image that is none", ask() | {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}]}]},
     400, "messages.0.content.0.image_url", "PNG"),
    ("unknown model", ask() | {"model": "gpt-4o"}, 404, "model", "does not exist"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "param", "says"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
@pytest.mark.virtual_time
async def test_says_what_is_wrong(body: Any, status: int, param: str | None, says: str) -> None:
    upstream = FakeUpstream([message_reply("fine")])
    app = gateway(upstream)
    began = loop_time()
    response = await request(app, "POST", PATH, body)
    took = loop_time() - began
    error = response.json()["error"]
    assert response.status == status, error
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert says in error["message"]
    assert took == 0
    assert not upstream.calls
    # and the server continues
    assert (await request(app, "POST", PATH, ask())).status == 200


async def test_a_body_over_the_limit_is_413() -> None:
    upstream = FakeUpstream([])
    response = await request(gateway(upstream), "POST", PATH, ask("x" * 33 * 1024 * 1024))
    assert response.status == 413
    assert response.json()["error"]["code"] == "request_too_large"
    assert not upstream.calls


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"content-type": "multipart/form-data; boundary=x"}, "application/json"),
        ({"content-type": "text/plain"}, "application/json"),
        ({"content-encoding": "gzip"}, "uncompressed"),
    ],
)
async def test_what_is_not_json_is_415_unread(headers: dict[str, str], says: str) -> None:
    response = await request(gateway(FakeUpstream([])), "POST", PATH, ask(), headers)
    assert response.status == 415
    assert says in response.json()["error"]["message"]


async def test_an_error_never_quotes_the_body() -> None:
    canary = "canary-7f3a"
    for body in (
        {"model": 5, "messages": canary},
        ask() | {"messages": [{"role": canary, "content": canary}]},
        ask(tool_choice=canary, tools=[{"type": "function", "function": {"name": "f"}}]),
        ask() | {"messages": [{"role": "user", "content": [{"type": canary}]}]},
        f'{{"model": "{canary}'.encode(),
    ):
        response = await request(gateway(FakeUpstream([])), "POST", PATH, body)
        assert response.status == 400
        assert canary not in response.body.decode()
