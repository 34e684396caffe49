"""Risk: one client's key gives access to what another one's responses left in memory."""

from __future__ import annotations

from typing import Any

from modelmux.app import Gateway
from support.asgi import request
from support.blocks import NEW, USER, reply_of, thinking_block, tool, tool_call, tool_result, tool_use
from support.fakes import FakeUpstream, message_reply
from support.gateway import PATH, ask, gateway


async def _second_turn(app: Gateway, upstream: FakeUpstream, key: str) -> list[Any]:
    body = ask(model=NEW, tools=[tool()], reasoning_effort="high") | {
        "messages": [USER, {"role": "assistant", "content": None, "tool_calls": [tool_call()]}, tool_result()]
    }
    await request(app, "POST", PATH, body, {"x-api-key": key})
    blocks = upstream.body()["messages"][1]["content"]
    return [block["type"] for block in blocks]


async def test_s19_stored_thinking_belongs_to_its_key() -> None:
    first = reply_of(thinking_block("a secret of A"), tool_use(), stop_reason="tool_use", stream=True)
    upstream = FakeUpstream([first, message_reply(), message_reply(), message_reply()])
    app = gateway(upstream, server={"api_keys": ["sk-tenant-a", "sk-tenant-b"]})
    body = ask(model=NEW, tools=[tool()], reasoning_effort="high", stream=True)
    await request(app, "POST", PATH, body, {"x-api-key": "sk-tenant-a"})
    assert "thinking" in await _second_turn(app, upstream, "sk-tenant-a")
    assert "thinking" not in await _second_turn(app, upstream, "sk-tenant-b")
    assert b"a secret of A" not in upstream.calls[-1].body


async def test_s21_keys_with_a_common_prefix_are_different_owners() -> None:
    stem = "sk-modelmux-" + "a" * 60
    keys = [f"{stem}1", f"{stem}2", f"1{stem}"]
    app = gateway(FakeUpstream([]), server={"api_keys": keys})
    for wrong in (stem, stem + "3", stem + "12", "2" + stem, keys[0][:-1], keys[0].upper(), keys[0] + "\u00a0"):
        assert (await request(app, "GET", "/v1/models", headers={"x-api-key": wrong})).status == 401
    for right in keys:
        assert (await request(app, "GET", "/v1/models", headers={"x-api-key": right})).status == 200
    first = reply_of(thinking_block("of the first"), tool_use(), stop_reason="tool_use", stream=True)
    upstream = FakeUpstream([first, message_reply(), message_reply()])
    app = gateway(upstream, server={"api_keys": keys})
    body = ask(model=NEW, tools=[tool()], reasoning_effort="high", stream=True)
    await request(app, "POST", PATH, body, {"x-api-key": keys[0]})
    assert "thinking" not in await _second_turn(app, upstream, keys[1])
