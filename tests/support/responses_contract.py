"""Streamed responses as the contract describes them, made by hand."""

from __future__ import annotations

from typing import Any

from support.responses_frames import Json
from support.responses_mutations import renumbered
from support.responses_object import RESPONSE_KEYS

USAGE = {
    "input_tokens": 5, "output_tokens": 2, "total_tokens": 7, "output_tokens_details": {"reasoning_tokens": 0},
    "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2},
}  # fmt: skip


def response(status: str = "in_progress", **fields: Any) -> Json:
    body: Json = dict.fromkeys(RESPONSE_KEYS, None)
    body |= {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": [], "tools": [],
        "tool_choice": "auto", "parallel_tool_calls": True, "temperature": 1.0, "top_p": 1.0, "top_logprobs": 0,
        "presence_penalty": 0.0, "frequency_penalty": 0.0,
    }  # fmt: skip
    return body | {"status": status} | fields


def stream(*middle: Json, end: str = "completed", items: list[Json] | None = None, **fields: Any) -> list[Json]:
    begin = [{"type": f"response.{name}", "response": response()} for name in ("created", "in_progress")]
    result: Json = {"output": items or [], "usage": USAGE}
    if end == "completed":
        result["completed_at"] = 2
    last = {"type": f"response.{end}", "response": response(end, **(result | fields))}
    return renumbered([*begin, *middle, last])


REPEATED: Json = {"type": "response.in_progress", "response": response()}
CALL: Json = {"id": "fc_1", "type": "function_call", "call_id": "toolu_1", "name": "wait", "namespace": "agents"}
CUT_CALL = CALL | {"arguments": '{"a', "status": "incomplete"}
CALL_EVENTS: list[Json] = [
    {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": CALL | {"arguments": "", "status": "in_progress"},
    },
    REPEATED,
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 0, "delta": '{"a'},
    REPEATED,
    {"type": "response.function_call_arguments.done", "item_id": "fc_1", "output_index": 0, "arguments": '{"a'},
]
CALL_DONE: Json = {"type": "response.output_item.done", "output_index": 0, "item": CUT_CALL}
CUT: Json = {"incomplete_details": {"reason": "max_output_tokens"}}
BROKEN: Json = {"error": {"code": "server_error", "message": "The upstream stream broke off."}}

REFUSAL = {"type": "refusal", "refusal": "No."}
WHERE: Json = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
REFUSED: Json = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [REFUSAL]}
REFUSED_BEGINS = REFUSED | {"status": "in_progress", "content": []}
REFUSAL_EVENTS: list[Json] = [
    {"type": "response.output_item.added", "output_index": 0, "item": REFUSED_BEGINS},
    {"type": "response.content_part.added", **WHERE, "part": REFUSAL | {"refusal": ""}},
    {"type": "response.refusal.delta", **WHERE, "delta": "No."},
    {"type": "response.refusal.done", **WHERE, "refusal": "No."},
    {"type": "response.content_part.done", **WHERE, "part": REFUSAL},
    {"type": "response.output_item.done", "output_index": 0, "item": REFUSED},
]

RIGHT = {
    "empty": stream(),
    "refusal": stream(*REFUSAL_EVENTS, items=[REFUSED]),
    "cut": stream(*CALL_EVENTS, CALL_DONE, end="incomplete", items=[CUT_CALL], **CUT),
    "broken": stream(*CALL_EVENTS[:3], end="failed", **BROKEN),
    "broken at once": stream(end="failed", **BROKEN, usage=None),
    "nothing stored": stream(store=False),
}
