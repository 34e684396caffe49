"""Replies of the Messages API: whole messages and stream events.

Decoding is tolerant: one flat struct covers every block, delta and event, because the API gains new ones and an unknown
one must not break a stream. Source of the shapes: the types of the ``anthropic`` SDK (``types/message.py``,
``types/raw_*_event.py``, ``types/beta``).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from modelmux.wire.lone_surrogates import replace_lone_surrogates


class OutputTokensDetails(Struct, omit_defaults=True):
    thinking_tokens: int | None = None


class CacheCreation(Struct, omit_defaults=True):
    """Tokens written to the cache, by how long they stay there."""

    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class ServerToolUse(Struct, omit_defaults=True):
    web_search_requests: int | None = None


class Usage(Struct, omit_defaults=True):
    """Token counts. None means absent: a later event without a count does not reset an earlier one.

    :param cache_creation: what ``cache_creation_input_tokens`` consists of.
    :param speed: ``fast`` where fast mode served the reply.
    :param iterations: a list of ``Iteration``, see ``decode_iterations``. Raw, because only the bill needs it: a shape
        that is not known must not break a reply.
    """

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: OutputTokensDetails | None = None
    cache_creation: CacheCreation | None = None
    server_tool_use: ServerToolUse | None = None
    speed: str | None = None
    iterations: Raw | UnsetType = UNSET


class Iteration(Usage, omit_defaults=True):
    """One round of the model that a reply consists of (``types/beta/beta_iterations_usage.py``).

    :param type: ``message``, ``compaction``, ``advisor_message`` or ``fallback_message``.
    :param model: absent in rounds of the model that was asked.
    """

    type: str = ""
    model: str | None = None


class StopDetails(Struct, omit_defaults=True):
    type: str | None = None
    category: str | None = None
    explanation: str | None = None


class Block(Struct, omit_defaults=True):
    """Any content block of a reply. Only the fields of its ``type`` are set.

    ``input`` is raw: the arguments of a tool call are passed on unchanged.
    """

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw | UnsetType = UNSET
    citations: list[Raw] | None = None
    # of server tools and their results: only sent back to the upstream
    tool_use_id: str | None = None
    content: Raw | UnsetType = UNSET
    caller: Raw | UnsetType = UNSET


class Message(Struct):
    """A complete reply of ``:rawPredict``, or the message in ``message_start``."""

    id: str = ""
    type: str = "message"
    role: str = "assistant"
    model: str = ""
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: Usage | None = None


class Delta(Struct, omit_defaults=True):
    """Any delta: of a content block or, without ``type``, of the message."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: Raw | UnsetType = UNSET
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class ErrorBody(Struct, omit_defaults=True):
    type: str = "api_error"
    message: str = ""
    status: Any = None  # set in errors of Google's front end: the name of the error


class StreamEvent(Struct, omit_defaults=True):
    """Any event of a stream; ``type`` says which fields to read."""

    type: str = ""
    index: int = -1
    message: Message | None = None
    content_block: Block | None = None
    delta: Delta | None = None
    usage: Usage | None = None
    error: ErrorBody | None = None
    request_id: str | None = None


class _TypeOnly(Struct):
    type: str = ""


class _LooseEvent(_TypeOnly):
    """A block event of which only the types are decoded."""

    index: int = -1
    content_block: _TypeOnly | None = None
    delta: _TypeOnly | None = None


class _LooseMessage(Message):
    content: list[Raw] | None = None  # type: ignore[assignment]  # the blocks are decoded one by one


#: Event types the gateway reads. One of these that cannot be decoded is an upstream error; others are skipped.
KNOWN_EVENTS: Final = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
    }
)
#: Every documented value of ``stop_reason``. Any other value is treated as a normal end.
KNOWN_STOP_REASONS: Final = frozenset(
    {
        "end_turn", "stop_sequence", "max_tokens", "model_context_window_exceeded", "compaction", "tool_use",
        "pause_turn", "refusal",
    }
)  # fmt: skip
#: Types the gateway reads. In other types, fields such as ``text`` or ``data`` may have another meaning.
KNOWN_BLOCKS: Final = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
KNOWN_DELTAS: Final = frozenset({"text_delta", "input_json_delta", "thinking_delta", "signature_delta"})

_event_decoder: Final = msgspec.json.Decoder(StreamEvent)
_loose_event_decoder: Final = msgspec.json.Decoder(_LooseEvent)
_type_decoder: Final = msgspec.json.Decoder(_TypeOnly)
_message_decoder: Final = msgspec.json.Decoder(Message)
_loose_message_decoder: Final = msgspec.json.Decoder(_LooseMessage)
_block_decoder: Final = msgspec.json.Decoder(Block)
_iterations_decoder: Final = msgspec.json.Decoder(list[Iteration] | None)


def decode_event(data: bytes) -> StreamEvent:
    """Decode the data of one event.

    An unknown event, block or delta with conflicting fields keeps only its type. Lone surrogates become U+FFFD. An
    error of Google's front end becomes an ``error`` event.

    :raises msgspec.DecodeError: not JSON, or a known type with fields of the wrong type.
    :raises UnicodeDecodeError: not UTF-8.
    :raises RecursionError: nested too deeply.
    """
    try:
        event = _event_decoder.decode(data)
    except msgspec.DecodeError:
        return _tolerant_event(data)
    return event if event.type or event.error is None else _event(data)


def _tolerant_event(data: bytes) -> StreamEvent:
    try:
        return _event(data)
    except msgspec.DecodeError:
        replaced = replace_lone_surrogates(data)
        if replaced is data:
            raise
    return _event(replaced)


def _event(data: bytes) -> StreamEvent:
    try:
        event = _event_decoder.decode(data)
        if event.type or event.error is None:
            return event
        google_status = event.error.status if isinstance(event.error.status, str) else ""
        return StreamEvent("error", error=ErrorBody(google_status or event.error.type, event.error.message))
    except msgspec.ValidationError:
        kind = _type_decoder.decode(data).type
        if kind not in KNOWN_EVENTS:
            return StreamEvent(type=kind)
        if kind == "content_block_start":
            loose = _loose_event_decoder.decode(data)
            if loose.content_block is not None and loose.content_block.type not in KNOWN_BLOCKS:
                return StreamEvent(kind, loose.index, content_block=Block(loose.content_block.type))
        elif kind == "content_block_delta":
            loose = _loose_event_decoder.decode(data)
            if loose.delta is not None and loose.delta.type not in KNOWN_DELTAS:
                return StreamEvent(kind, loose.index, delta=Delta(loose.delta.type))
        raise


def decode_iterations(usage: Usage) -> list[Iteration]:
    """The rounds of a reply; none where the upstream reported none.

    :raises msgspec.DecodeError: another shape.
    """
    return [] if usage.iterations is UNSET else _iterations_decoder.decode(usage.iterations) or []


def decode_message(body: bytes) -> Message:
    """Decode a complete reply.

    An unknown block with conflicting fields keeps only its type. Lone surrogates become U+FFFD.

    :raises msgspec.DecodeError: not JSON, or a known type with fields of the wrong type.
    :raises UnicodeDecodeError: not UTF-8.
    :raises RecursionError: nested too deeply.
    """
    try:
        return _message(body)
    except msgspec.DecodeError:
        replaced = replace_lone_surrogates(body)
        if replaced is body:
            raise
    return _message(replaced)


def _message(body: bytes) -> Message:
    try:
        return _message_decoder.decode(body)
    except msgspec.ValidationError:
        loose = _loose_message_decoder.decode(body)
        fields = msgspec.structs.asdict(loose)
        return Message(**{**fields, "content": [_decode_block(raw) for raw in loose.content or ()]})


def _decode_block(raw: Raw) -> Block:
    try:
        return _block_decoder.decode(raw)
    except msgspec.ValidationError:
        kind = _type_decoder.decode(raw).type
        if kind in KNOWN_BLOCKS:
            raise
        return Block(kind)
