"""Law: whatever a client's schema says, what goes up is legal, and a call of it comes back as it would have without
renamed keys, streamed or whole, wherever the upstream cuts it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from modelmux.claude.property_keys import renamed_keys, to_legal_key
from modelmux.claude.reply_keys import ReplyKeys, with_client_keys
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import Block, Delta, Message, StreamEvent
from support.odd_schemas import NAMES, SCHEMA_VALUES, SCHEMAS, valid_by_jsonschema
from support.translation import translate

INPUTS = st.dictionaries(NAMES, SCHEMA_VALUES, max_size=5)


def tool(schema: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": schema}}


@given(SCHEMAS, st.lists(NAMES, max_size=4))
def test_what_goes_up_is_legal(schema: dict[str, Any], keys: list[str]) -> None:
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    try:
        made = translate({"tools": [tool(schema | {"properties": {**known, **{key: {} for key in keys}}})]})
    except InvalidRequest as error:
        assert error.param == "tools.0.function.parameters"
        return
    assert made.body.tools is not None
    sent = made.body.tools[0].input_schema
    assert valid_by_jsonschema(sent)
    assert renamed_keys(sent) == {}
    assert {to_legal_key(key) for key in keys if to_legal_key(key) != key} <= set(sent["properties"])


@given(INPUTS, st.lists(st.integers(1, 12), min_size=1), st.booleans())
def test_a_call_comes_back_with_the_clients_keys(value: dict[str, Any], sizes: list[int], ascii_only: bool) -> None:
    schema = {"type": "object", "properties": {key: {} for key in value}}
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": json.dumps(value)}}
    history = [
        {"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t", "content": "ok"},
    ]  # fmt: skip
    made = translate({"tools": [tool(schema)], "messages": history})
    (sent,) = [b.input for turn in made.body.messages for b in turn.content if getattr(b, "name", "") == "f"]
    text, names = json.dumps(sent, ensure_ascii=ascii_only), made.plan.property_names
    assert list(sent.values()) == list(value.values())
    whole = with_client_keys(Message(content=[Block("tool_use", name="f", input=Raw(text.encode()))]), names)
    assert whole.content is not None
    shown = bytes(whole.content[0].input).decode()  # type: ignore[arg-type]
    assert list(json.loads(shown).items()) == list(value.items())
    assert "".join(streamed(text, sizes, names)) == shown
    assert msgspec.json.encode(made.body) == msgspec.json.encode(
        translate({"tools": [tool(schema)], "messages": history}).body
    )


def streamed(text: str, sizes: list[int], names: Any) -> list[str]:
    """The arguments of a call whose pieces have these sizes, in turn."""
    keys, at = ReplyKeys(names), 0
    block = Block("tool_use", name="f", input=Raw(b"{}"))
    keys.feed(StreamEvent("content_block_start", 0, content_block=block))
    shown: list[StreamEvent] = []
    while at < len(text):
        size = sizes[at % len(sizes)]
        delta = Delta("input_json_delta", partial_json=text[at : at + size])
        shown += keys.feed(StreamEvent("content_block_delta", 0, delta=delta))
        at += size
    shown += keys.feed(StreamEvent("content_block_stop", 0))
    return [event.delta.partial_json or "" for event in shown if event.delta is not None]
