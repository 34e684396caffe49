"""Payloads of the benchmarks: requests of several sizes, and replies framed as Vertex AI frames them."""

from __future__ import annotations

import json
from typing import Any

MODEL = "claude-sonnet-4-6"
_SENTENCE = "The quick brown fox jumps over the lazy dog while the harbour sleeps. "
_USAGE = {
    "input_tokens": 25, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, "output_tokens": 1,
}  # fmt: skip


def request(size: int, *, stream: bool, messages: int = 1) -> bytes:
    """A Chat Completions request of about ``size`` bytes, in a conversation of ``messages`` messages."""
    message_size = max(1, size // messages)
    text = (_SENTENCE * (message_size // len(_SENTENCE) + 1))[:message_size]
    history = [{"role": "assistant" if n % 2 else "user", "content": text} for n in range(messages - messages % 2 + 1)]
    system = {"role": "system", "content": "You are a helpful assistant."}
    body: dict[str, Any] = {"model": MODEL, "max_tokens": 500, "messages": [system, *history]}
    return json.dumps(body | ({"stream": True} if stream else {})).encode()


def messages_request(size: int, *, stream: bool) -> bytes:
    """A Messages request of about ``size`` bytes."""
    text = (_SENTENCE * (size // len(_SENTENCE) + 1))[:size]
    body: dict[str, Any] = {
        "model": MODEL, "max_tokens": 500, "system": "You are a helpful assistant.",
        "messages": [{"role": "user", "content": text}],
    }  # fmt: skip
    return json.dumps(body | ({"stream": True} if stream else {})).encode()


def responses_request(size: int, *, stream: bool, store: bool) -> bytes:
    """A Responses request of about ``size`` bytes."""
    text = (_SENTENCE * (size // len(_SENTENCE) + 1))[:size]
    body: dict[str, Any] = {
        "model": MODEL, "max_output_tokens": 500, "instructions": "You are a helpful assistant.", "input": text,
        "store": store,
    }  # fmt: skip
    return json.dumps(body | ({"stream": True} if stream else {})).encode()


def message() -> bytes:
    """A complete reply."""
    return _compact(
        {
            "id": "msg_vrtx_01AbCdEfGhIjKlMnOpQrStUv", "type": "message", "role": "assistant", "model": MODEL,
            "content": [{"type": "text", "text": _SENTENCE * 4}], "stop_reason": "end_turn", "stop_sequence": None,
            "usage": {**_USAGE, "output_tokens": 64},
        }
    )  # fmt: skip


def opening() -> bytes:
    """The events before the first delta."""
    start: dict[str, Any] = {
        "id": "msg_vrtx_01AbCdEfGhIjKlMnOpQrStUv", "type": "message", "role": "assistant", "model": MODEL,
        "content": [], "stop_reason": None, "stop_sequence": None, "usage": _USAGE,
    }  # fmt: skip
    block = {"type": "text", "text": ""}
    return (
        event("message_start", message=start)
        + event("content_block_start", index=0, content_block=block)
        + event("ping")
    )


def delta(number: int) -> bytes:
    """One text delta."""
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": f" word{number}"})


def closing(deltas: int) -> bytes:
    """The events after the last delta."""
    return (
        event("content_block_stop", index=0)
        + event(
            "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": deltas}
        )
        + event("message_stop")
    )


def stream(deltas: int) -> bytes:
    """A complete streamed reply."""
    return opening() + b"".join(map(delta, range(deltas))) + closing(deltas)


def event(kind: str, **fields: Any) -> bytes:
    """One framed event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _compact({"type": kind, **fields}))


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
