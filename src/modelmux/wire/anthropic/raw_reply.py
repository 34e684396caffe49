"""A reply of the Messages API as one body, and as a stream: both ways without losing a field, known or not."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from modelmux.wire import sse
from modelmux.wire.json_prefix import completed

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode
#: Type of a delta -> the field of a block that its text is appended to.
_APPENDED: Final = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
#: Fields of a message that only its end knows.
_ENDING: Final = ("stop_reason", "stop_sequence", "stop_details")


def to_stream(body: bytes) -> bytes:
    """A reply in one piece as the shortest stream: each block arrives with its start."""
    message = _decode(body)
    ending = {key: message[key] for key in _ENDING if key in message}
    usage, content = message.get("usage") or {}, message.get("content") or []
    start: dict[str, Any] = {**message, "content": [], **dict.fromkeys(ending)}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(content):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": ending, "usage": usage})
    events.append({"type": "message_stop"})
    return b"".join(sse.encode_named(event["type"].encode(), _encode(event)) for event in events)


def to_body(stream: bytes) -> bytes:
    """A complete stream as the reply in one piece, by the rules of the SDK's ``accumulate_event``.

    Fields of ``message_delta`` become fields of the message; events of other types have no part in it.
    """
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, list[str]] = {}
    for data in sse.SSEDecoder().feed_data(stream):
        event = _decode(data)
        kind, index = event.get("type"), event.get("index", -1)
        if kind == "message_start":
            message = dict(event["message"])
            blocks = dict(enumerate(message.get("content") or ()))  # a turn that continues has its blocks so far
        elif kind == "content_block_start":
            blocks[index] = dict(event["content_block"])
        elif kind == "content_block_delta" and index in blocks:
            _add_delta(blocks[index], event["delta"], inputs.setdefault(index, []))
        elif kind == "message_delta":
            _end(message, event)
    for index, parts in inputs.items():
        if text := "".join(parts):
            blocks[index]["input"] = _input(text.encode())
    return _encode({**message, "content": [blocks[index] for index in sorted(blocks)]})


def _add_delta(block: dict[str, Any], delta: dict[str, Any], inputs: list[str]) -> None:
    kind = delta.get("type")
    if kind in _APPENDED:
        field = _APPENDED[kind]
        block[field] = (block.get(field) or "") + (delta.get(field) or "")
    elif kind == "input_json_delta":
        inputs.append(delta.get("partial_json") or "")
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
    else:
        block.update((key, value) for key, value in delta.items() if key != "type")


def _input(text: bytes) -> Any:
    """The input of a tool in its own bytes. A reply may stop inside it; what is not even the beginning of an object is
    shown as the string that it is."""
    try:
        _decode(text)
    except (msgspec.DecodeError, RecursionError):
        beginning = completed(text)
        return text.decode() if beginning is None else msgspec.Raw(beginning)
    return msgspec.Raw(text)


def _end(message: dict[str, Any], event: dict[str, Any]) -> None:
    message.update(event.get("delta") or {})
    counts = {key: value for key, value in (event.get("usage") or {}).items() if value is not None}
    message["usage"] = {**(message.get("usage") or {}), **counts}
    message.update((key, value) for key, value in event.items() if key not in ("type", "delta", "usage"))
