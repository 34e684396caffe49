"""What a model wrote, from a response in any dialect, streamed or not: text, and calls of tools. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from modelmux.wire.sse import SSEDecoder


def response_text(body: bytes, content_type: str) -> str | None:
    """The text; None for a response of another form, such as an error."""
    if content_type.startswith("text/event-stream"):
        events = (event.data for event in SSEDecoder(len(body) + 1).feed(body) if event.data != b"[DONE]")
        pieces = [piece for data in events for piece in _of_event(_decoded(data))]
    else:
        pieces = list(_of_message(_decoded(body)))
    return "".join(pieces).strip("\n") or None


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _of_event(event: dict[str, Any]) -> Iterator[str]:
    """Of one event of a stream: a chunk of Chat Completions, or an event with a type."""
    for choice in _list(event.get("choices")):
        delta = choice.get("delta") or {}
        yield delta.get("content") or ""
        for call in _list(delta.get("tool_calls")):
            yield from _call_begin((call.get("function") or {}).get("name"))
            yield (call.get("function") or {}).get("arguments") or ""
    match event.get("type"):
        case "content_block_start":
            block = event.get("content_block") or {}
            yield from _call_begin(block.get("name"))
        case "content_block_delta":
            delta = event.get("delta") or {}
            yield delta.get("text") or delta.get("partial_json") or ""
        case "response.output_item.added":
            yield from _call_begin((event.get("item") or {}).get("name"))
        case "response.output_text.delta" | "response.function_call_arguments.delta" | "response.refusal.delta":
            yield event.get("delta") or ""


def _of_message(message: dict[str, Any]) -> Iterator[str]:
    for choice in _list(message.get("choices")):  # Chat Completions
        answer = choice.get("message") or {}
        yield answer.get("content") or ""
        for call in _list(answer.get("tool_calls")):
            yield from _call((call.get("function") or {}).get("name"), (call.get("function") or {}).get("arguments"))
    for block in _list(message.get("content")):  # Messages
        yield block.get("text") or ""
        if "input" in block:
            yield from _call(block.get("name"), msgspec.json.encode(block["input"]).decode())
    for item in _list(message.get("output")):  # Responses
        for part in _list(item.get("content")):
            yield part.get("text") or part.get("refusal") or ""
        if "arguments" in item:
            yield from _call(item.get("name"), item["arguments"])


def _call_begin(name: Any) -> Iterator[str]:
    if name:
        yield f"\n[call of {name}] "


def _call(name: Any, arguments: Any) -> Iterator[str]:
    yield from _call_begin(name)
    yield str(arguments or "")


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
