"""What the events of a stream say, in each of the three APIs: text, thinking, tokens, why it ended.

A reader looks at what the playground shows and skips all else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol


class Piece(NamedTuple):
    """A part of an answer."""

    kind: Literal["text", "thinking"]
    text: str


class Answer:
    """What is known of an answer besides its text.

    :ivar tokens: ``input`` with what was read from the cache, ``cached`` of them, ``output``.
    :ivar error: what the stream said that went wrong.
    :ivar is_complete: it had its regular end.
    """

    def __init__(self) -> None:
        self.tokens: dict[str, int] = {}
        self.reason: str | None = None
        self.error: str | None = None
        self.is_complete = False


class Reader(Protocol):
    def __call__(self, data: bytes, answer: Answer) -> Piece | None:
        """Read the data of an event into the answer; the piece of text that it has, if any."""
        ...


def read_chat(data: bytes, answer: Answer) -> Piece | None:
    """See ``Reader``: OpenAI Chat Completions."""
    if data == b"[DONE]":
        answer.is_complete = answer.error is None
        return None
    chunk = _object(data)
    _note_error(chunk, answer)
    usage = chunk.get("usage")
    if isinstance(usage, dict):
        cached = _dict(usage.get("prompt_tokens_details")).get("cached_tokens")
        _note_tokens(answer, input=usage.get("prompt_tokens"), output=usage.get("completion_tokens"), cached=cached)
    for choice in _list(chunk.get("choices")):
        answer.reason = choice.get("finish_reason") or answer.reason
        delta = _dict(choice.get("delta"))
        if thinking := delta.get("reasoning_content"):
            return Piece("thinking", str(thinking))
        if text := delta.get("content") or delta.get("refusal"):
            return Piece("text", str(text))
    return None


#: Types of events of OpenAI Responses that have text.
_DELTAS: Final[Mapping[str, Literal["text", "thinking"]]] = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.reasoning_summary_text.delta": "thinking",
    "response.reasoning_text.delta": "thinking",
}
_ENDS: Final = ("response.completed", "response.incomplete", "response.failed")


def read_responses(data: bytes, answer: Answer) -> Piece | None:
    """See ``Reader``: OpenAI Responses."""
    event = _object(data)
    kind = str(event.get("type"))
    if kind in _DELTAS:
        return Piece(_DELTAS[kind], str(event.get("delta", "")))
    if kind == "error":
        _note_error(event if "error" in event else {"error": event}, answer)
    if kind in _ENDS:
        response = _dict(event.get("response"))
        _note_error(response, answer)
        usage = _dict(response.get("usage"))
        cached = _dict(usage.get("input_tokens_details")).get("cached_tokens")
        _note_tokens(answer, input=usage.get("input_tokens"), output=usage.get("output_tokens"), cached=cached)
        answer.reason = _dict(response.get("incomplete_details")).get("reason") or response.get("status")
        answer.is_complete = kind != "response.failed"
    return None


def read_messages(data: bytes, answer: Answer) -> Piece | None:
    """See ``Reader``: Anthropic Messages, whose input does not count what was read from the cache or written to it."""
    event = _object(data)
    _note_error(event, answer)
    match event.get("type"):
        case "message_start":
            _note_usage(_dict(_dict(event.get("message")).get("usage")), answer)
        case "message_delta":
            _note_usage(_dict(event.get("usage")), answer)
            answer.reason = _dict(event.get("delta")).get("stop_reason") or answer.reason
        case "message_stop":
            answer.is_complete = answer.error is None
        case "content_block_delta":
            delta = _dict(event.get("delta"))
            if thinking := delta.get("thinking"):
                return Piece("thinking", str(thinking))
            if text := delta.get("text"):
                return Piece("text", str(text))
    return None


def _note_usage(usage: dict[str, Any], answer: Answer) -> None:
    """What is in the last event counts."""
    parts = [usage.get(name) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")]
    if isinstance(parts[0], int):
        _note_tokens(answer, input=sum(part for part in parts if isinstance(part, int)), cached=parts[1])
    _note_tokens(answer, output=usage.get("output_tokens"))


def _note_tokens(answer: Answer, **counts: Any) -> None:
    answer.tokens |= {name: count for name, count in counts.items() if isinstance(count, int)}


def _note_error(event: dict[str, Any], answer: Answer) -> None:
    error = event.get("error")
    if error:
        message = error.get("message") if isinstance(error, dict) else error
        answer.error = str(message or "The stream ended with an error.")


def error_message(body: bytes) -> tuple[str, str | None]:
    """Message and code of an error that is a response: all APIs have them at the same place."""
    error = _dict(_object(body).get("error"))
    message = error.get("message") or body.decode("utf-8", "replace").strip() or "There is no message."
    code = error.get("code") or error.get("type")
    return str(message), None if code is None else str(code)


def _object(data: bytes) -> dict[str, Any]:
    try:
        return _dict(json.loads(data))
    except (ValueError, RecursionError):
        return {}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
