"""Building blocks of a conversation: messages and tools as clients send them, blocks and events as Claude replies."""

from __future__ import annotations

import json
from typing import Any

from support.fakes import FakeReply, event, message_reply, stream_reply
from support.gateway import MODEL

Json = dict[str, Any]
USER: Json = {"role": "user", "content": "Hi"}
#: A model with the newest rules, one with adaptive thinking and budgets, one with budgets only, and one that has
#: neither thinking with forced tools nor structured output.
NEW, SONNET, BUDGET, BARE = "claude-opus-5-5", MODEL, "claude-sonnet-4-5", "claude-opus-4-1"
WEATHER: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
#: A picture of one point.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)  # fmt: skip


def user(content: Any, **fields: Any) -> Json:
    return {"role": "user", "content": content, **fields}


def assistant(content: Any = None, **fields: Any) -> Json:
    return {"role": "assistant", "content": content, **fields}


def json_schema(schema: Json, **fields: Any) -> Json:
    """A ``response_format``."""
    return {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, **fields}}


def tool(name: str = "get_weather", parameters: Any = None, **fields: Any) -> Json:
    """A function tool; ``fields`` are added next to its name."""
    return {
        "type": "function",
        "function": {"name": name, "parameters": parameters if parameters is not None else WEATHER, **fields},
    }


def tool_call(id: str = "toolu_1", name: str = "get_weather", arguments: str | None = '{"city":"Paris"}') -> Json:
    """A tool call as clients send it back."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool_result(id: str = "toolu_1", content: Any = "20 degrees") -> Json:
    return {"role": "tool", "tool_call_id": id, "content": content}


def text(value: str, **fields: Any) -> Json:
    return {"type": "text", "text": value, **fields}


def tool_use(id: str = "toolu_1", name: str = "get_weather", value: Any = None) -> Json:
    return {"type": "tool_use", "id": id, "name": name, "input": {"city": "Paris"} if value is None else value}


def thinking_block(value: str = "Let me see.", signature: str = "c2lnbmF0dXJl") -> Json:
    return {"type": "thinking", "thinking": value, "signature": signature}


def message_start(usage: Json | None = None) -> bytes:
    """``message_start``."""
    counts = {"input_tokens": 7, "output_tokens": 1} if usage is None else usage
    return event("message_start", message={"id": "msg_1", "type": "message", "content": [], "usage": counts})


def block_start(index: int, block: Json) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def block_stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


def message_end(stop_reason: str | None = "end_turn", usage: Json | None = None, **fields: Any) -> list[bytes]:
    """``message_delta`` and ``message_stop``."""
    counts = {"output_tokens": 3} if usage is None else usage
    return [event("message_delta", delta={"stop_reason": stop_reason, **fields}, usage=counts), event("message_stop")]


def block_events(index: int, block: Json) -> list[bytes]:
    """The events of one block, as Claude sends them: in two pieces, a tool's input after an empty one."""
    kind = block["type"]
    if kind == "text":
        value = block["text"]
        pieces = [delta(index, "text_delta", text=piece) for piece in split_in_two(value)]
        pieces += [delta(index, "citations_delta", citation=c) for c in block.get("citations") or ()]
        return [block_start(index, text("")), *pieces, block_stop(index)]
    if kind == "thinking":
        pieces = [delta(index, "thinking_delta", thinking=piece) for piece in split_in_two(block["thinking"])]
        signed = delta(index, "signature_delta", signature=block["signature"])
        return [block_start(index, {**block, "thinking": "", "signature": ""}), *pieces, signed, block_stop(index)]
    if kind in ("tool_use", "server_tool_use"):
        pieces = ["", *split_in_two(json.dumps(block["input"]))]
        inputs = [delta(index, "input_json_delta", partial_json=piece) for piece in pieces]
        return [block_start(index, {**block, "input": {}}), *inputs, block_stop(index)]
    return [block_start(index, block), block_stop(index)]


def split_in_two(value: str) -> list[str]:
    middle = len(value) // 2
    return [piece for piece in (value[:middle], value[middle:]) if piece]


def reply_of(*blocks: Json, stop_reason: str | None = "end_turn", stream: bool = False, **fields: Any) -> FakeReply:
    """A reply of the upstream with these blocks, as one message or as a stream."""
    if not stream:
        return message_reply(content=list(blocks), stop_reason=stop_reason, **fields)
    usage = fields.pop("usage", None)
    pieces = [piece for index, block in enumerate(blocks) for piece in block_events(index, block)]
    return stream_reply(message_start(usage), *pieces, *message_end(stop_reason, usage, **fields))
