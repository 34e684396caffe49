"""Risk: the name of a field that no API has, which may be anything a client holds, is logged; or one whose bytes are
not UTF-8 ends in a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.fakes import message_reply
from support.gateway import MODEL
from support.security import BEARER, guarded, send

CANARY = "canary_field_e5"
_SCHEMA = {"type": "object", "properties": {}}
_FUNCTION = {"name": "f", "parameters": _SCHEMA, CANARY: 1}
_CHAT: dict[str, Any] = {
    "model": MODEL, CANARY: 1, "thinking": {"type": "disabled", CANARY: 1},
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", CANARY: 1}], CANARY: 1}],
    "tools": [{"type": "function", "function": _FUNCTION, CANARY: 1}, {"type": "web_search", CANARY: 1}],
    "text": {CANARY: 1},
}  # fmt: skip
_RESPONSES: dict[str, Any] = {
    "model": MODEL, CANARY: 1, "input": [{"type": "message", "role": "user", "content": "Hi", CANARY: 1}],
    "tools": [{"type": "function", **_FUNCTION}, {"type": "web_search", CANARY: 1, "filters": {CANARY: 1}}],
    "reasoning": {CANARY: 1},
}  # fmt: skip
_MESSAGES: dict[str, Any] = {
    "model": MODEL, "max_tokens": 9, CANARY: 1, "messages": [{"role": "user", "content": "Hi", CANARY: 1}],
    "tools": [{"name": "f", "input_schema": _SCHEMA, CANARY: 1}],
}  # fmt: skip
BODIES = {"/v1/chat/completions": _CHAT, "/v1/responses": _RESPONSES, "/v1/messages": _MESSAGES}


@pytest.mark.parametrize("path", BODIES)
async def test_names_of_unknown_fields_are_counted(path: str) -> None:
    subject = guarded(message_reply())
    response = await send(subject.app, "POST", path, BEARER, json.dumps(BODIES[path]).encode())
    assert response.status == 200, response.body
    (event,) = [event for event in subject.events if event["event"] == "request"]
    assert CANARY not in subject.out.getvalue()
    if path != "/v1/messages":  # whose fields pass as they came
        assert CANARY in response.headers["x-modelmux-notices"], "the client is told by name"
        assert "unknown_fields=" in event["notices"]


@pytest.mark.parametrize("path", BODIES)
async def test_they_are_not_logged_in_strict_mode_either(path: str) -> None:
    subject = guarded(message_reply(), server={"strict": True})
    response = await send(subject.app, "POST", path, BEARER, json.dumps(BODIES[path]).encode())
    assert response.status == (200 if path == "/v1/messages" else 400)
    assert CANARY not in subject.out.getvalue()


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\x80", b"\xff\\ud800"])
@pytest.mark.parametrize("strict", [False, True])
async def test_a_name_that_is_not_utf_8_is_a_400(path: str, bad: bytes, strict: bool) -> None:
    """Wherever it is: each place in turn."""
    parts = json.dumps(BODIES[path]).encode().split(CANARY.encode())
    for number in range(1, len(parts)):
        body = b"x".join([b"x".join(parts[:number]) + b"x" + bad, b"x".join(parts[number:])])
        subject = guarded(server={"strict": strict})
        response = await send(subject.app, "POST", path, BEARER, body)
        assert response.status == 400, (number, response.body)
        assert "UTF-8" in response.body.decode()


_KEY = "canary_key"  # it looks like the name of a field
_HALF = "\ud83d"


@pytest.mark.parametrize("value", [_HALF, {_KEY: _HALF}, {_HALF: 1}], ids=["string", "below", "key"])
@pytest.mark.parametrize("place", ["body", "metadata", "message", "tool", "schema"])
@pytest.mark.parametrize("path", BODIES)
async def test_places_of_half_a_surrogate_pair_are_counted(path: str, place: str, value: Any) -> None:
    body: dict[str, Any] = json.loads(json.dumps(BODIES[path]).replace(CANARY, "other"))
    tool = body["tools"][0].get("function", body["tools"][0])
    schema = tool.get("parameters") or tool["input_schema"]
    message = (body.get("messages") or body["input"])[0]
    target = {
        "body": body, "metadata": body.setdefault("metadata", {}), "message": message, "tool": tool, "schema": schema,
    }[place]  # fmt: skip
    target[_KEY] = _HALF if place == "metadata" else value  # whose values are strings
    subject = guarded(message_reply())
    response = await send(subject.app, "POST", path, BEARER, json.dumps(body).encode())
    assert response.status == 200, response.body
    assert "changed=" in response.headers["x-modelmux-notices"], "the client is told where"
    assert _KEY not in subject.out.getvalue()
    (event,) = [event for event in subject.events if event["event"] == "request"]
    assert "lone_surrogates=1" in event["notices"]
