"""Recorded replies: as an upstream sends them, and as the message that they hold, read in a naive way that shares
nothing with the translation."""

from __future__ import annotations

import json
import random
from typing import Any

from support.fakes import JSON_HEADERS, SSE_HEADERS, FakeReply


def recorded_message(recording: dict[str, Any]) -> dict[str, Any]:
    """The message of a recording, streamed or not."""
    message: dict[str, Any] = recording["body"] if recording["kind"] == "message" else folded(recording["sse"])
    return message


def folded(sse: str) -> dict[str, Any]:
    """The message of a recorded stream, the naive way."""
    blocks: dict[int, dict[str, Any]] = {}
    usage: dict[str, Any] = {}
    stop = details = None
    for line in sse.splitlines():
        if not line.startswith("data:"):
            continue
        event = json.loads(line[5:])
        if event["type"] == "message_start":
            usage.update(event["message"].get("usage") or {})
        elif event["type"] == "content_block_start":
            blocks[event["index"]] = {**event["content_block"], "json": ""}
        elif event["type"] == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            for field in ("text", "thinking", "signature"):
                if field in delta:
                    block[field] = block.get(field, "") + delta[field]
            block["json"] += delta.get("partial_json", "")
        elif event["type"] == "message_delta":
            stop = event["delta"].get("stop_reason") or stop
            details = event["delta"].get("stop_details") or details
            usage.update({k: v for k, v in (event.get("usage") or {}).items() if v is not None})
    for block in blocks.values():
        if block["type"] == "tool_use" and block["json"]:
            block["input"] = arguments(block["json"])
    return {"content": list(blocks.values()), "stop_reason": stop, "stop_details": details, "usage": usage}


def arguments(text: str) -> Any:
    """Arguments as a value; as they came where the recording was cut in the middle of them."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def replay(recording: dict[str, Any], seed: int) -> FakeReply:
    """The recorded reply, its bytes cut at random."""
    if recording["kind"] == "stream":
        raw, headers = recording["sse"].encode(), SSE_HEADERS
    else:
        raw, headers = json.dumps(recording["body"], ensure_ascii=False).encode(), JSON_HEADERS
    dice, pieces = random.Random(seed), []
    while raw:
        size = dice.choice((1, 2, 3, 7, 40, 300, len(raw)))
        pieces.append(raw[:size])
        raw = raw[size:]
    return FakeReply(recording["status"], headers, pieces)
