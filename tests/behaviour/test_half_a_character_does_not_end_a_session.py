"""Risk: a client cut a text in the middle of an emoji, and every later turn of the session gets a 400.

Reported as anthropics/claude-code#69927 and #68325.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.asgi import request
from support.blocks import Json, reply_of, text
from support.chat import assert_legal
from support.fakes import FakeUpstream
from support.gateway import PATH, gateway
from support.reports import body_of, report

pytestmark = pytest.mark.usefixtures("no_waiting")

HALF = "a \ud83d\u2026 cut"
MENDED = "a \ufffd\u2026 cut"
MODEL = "claude-sonnet-4-6"
VERTEX = f"/v1/projects/p/locations/global/publishers/anthropic/models/{MODEL}:rawPredict"
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": HALF}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": HALF}
TURNS = [
    {"role": "user", "content": HALF}, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]},
]  # fmt: skip
TOOLS = [{"name": "f", "input_schema": {"type": "object"}}]
ITEMS = [
    {"role": "user", "content": [{"type": "input_text", "text": HALF}]},
    {"type": "custom_tool_call", "call_id": "c1", "name": "f", "input": HALF},
    {"type": "custom_tool_call_output", "call_id": "c1", "output": HALF},
    {"type": "function_call", "call_id": "c2", "name": "g", "arguments": '{"a":"\\ud83d"}'},
    {"type": "function_call_output", "call_id": "c2", "output": "ok"},
]
REQUESTS: dict[str, tuple[str, Json]] = {
    "chat": (PATH, {"messages": [{"role": "user", "content": HALF}]}),
    "responses": ("/v1/responses", {"input": ITEMS, "store": False}),
    "messages": ("/v1/messages", {"max_tokens": 9, "messages": TURNS, "tools": TOOLS}),
    "vertex": (VERTEX, {"max_tokens": 9, "messages": TURNS, "tools": TOOLS}),
}


async def post(path: str, body: bytes) -> tuple[Any, bytes]:
    """The response, and the body of the call upstream, which the emulator's rules accept."""
    upstream = FakeUpstream([reply_of(text("Hello"))])
    response = await request(gateway(upstream), "POST", path, body)
    assert response.status == 200, response.body
    assert_legal(upstream.calls[-1])
    return response, upstream.calls[-1].body


@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "bytes"])
@pytest.mark.parametrize("name", REQUESTS)
async def test_every_dialect_answers_with_a_notice(name: str, escaped: bool) -> None:
    path, fields = REQUESTS[name]
    body = json.dumps({"model": MODEL, **fields}, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    response, sent = await post(path, body)
    texts = sent.decode()
    assert "\\ud8" not in texts
    whole = json.dumps(json.loads(texts), ensure_ascii=False)
    assert whole.count(MENDED) == json.dumps(fields, ensure_ascii=False).count(HALF)
    assert "changed=" in response.headers["x-modelmux-notices"]


async def test_a_native_request_changes_in_nothing_else() -> None:
    raw = rb'{ "max_tokens":9, "stream":false,"messages" : [{"role":"user","content":"\ud83d \ud83d\ude00 \\ud83d"}]}'
    _, sent = await post(VERTEX, raw)
    assert rb'"content":"\ufffd \ud83d\ude00 \\ud83d"}]}' in sent
    assert sent.endswith(raw.replace(rb'"\ud83d ', rb'"\ufffd ').partition(b"{ ")[2])


async def test_report_a_tool_result_that_was_cut() -> None:
    response, sent = await post(PATH, body_of(report("c-lone-surrogate-in-tool-result")))
    (result,) = [b for t in json.loads(sent)["messages"] for b in t["content"] if b["type"] == "tool_result"]
    assert result["content"] == "deploy \ufffd\u2026 cut"
    assert "messages.2.content" in response.headers["x-modelmux-notices"]


async def test_report_arguments_that_were_cut() -> None:
    response, sent = await post(PATH, body_of(report("c-lone-surrogate-inside-arguments")))
    assert json.loads(sent)["messages"][1]["content"][0]["input"] == {"d": "\ufffd x"}
    assert "messages.1.tool_calls.0.function.arguments" in response.headers["x-modelmux-notices"]
