"""The Anthropic Messages API as Vertex AI speaks it: what we send, what we read.

Requests are exact: one struct a shape, fields in wire order, nothing sent that was not set. Replies are tolerant:
one flat struct for every block, delta and event, because the API grows new ones and an unknown one must not break a
stream. Source of the shapes: the types of the ``anthropic`` SDK (``types/message_create_params.py``,
``types/raw_*_event.py``, ``types/beta``).
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from modelmux.errors import InvalidRequest, PayloadTooLarge
from modelmux.wire.halves import without_halves

VERTEX_VERSION: Final = "vertex-2023-10-16"
#: The largest body Vertex AI takes (docs: build-with-claude/claude-on-vertex-ai).
MAX_BODY_BYTES: Final = 30 * 1024 * 1024

# --- requests ---------------------------------------------------------------------------------------------------


class CacheControl(Struct, omit_defaults=True, frozen=True):
    """A prompt-cache breakpoint. ``ttl`` is ``5m`` (the default) or ``1h``."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


EPHEMERAL: Final = CacheControl("ephemeral")


class TextBlock(Struct, tag_field="type", tag="text", omit_defaults=True):
    text: str
    cache_control: CacheControl | None = None


class Base64Source(Struct, tag_field="type", tag="base64"):
    media_type: str
    data: str


class TextSource(Struct, tag_field="type", tag="text"):
    media_type: str
    data: str


class ImageBlock(Struct, tag_field="type", tag="image", omit_defaults=True):
    source: Base64Source
    cache_control: CacheControl | None = None


class DocumentBlock(Struct, tag_field="type", tag="document", omit_defaults=True):
    source: Base64Source | TextSource
    title: str | None = None
    cache_control: CacheControl | None = None


class ToolUseBlock(Struct, tag_field="type", tag="tool_use", omit_defaults=True):
    id: str
    name: str
    input: dict[str, Any] | Raw
    cache_control: CacheControl | None = None


class ToolResultBlock(Struct, tag_field="type", tag="tool_result", omit_defaults=True):
    tool_use_id: str
    content: str | list[TextBlock | ImageBlock | DocumentBlock] | None = None
    is_error: bool = False
    cache_control: CacheControl | None = None


class ThinkingBlock(Struct, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class RedactedThinkingBlock(Struct, tag_field="type", tag="redacted_thinking"):
    data: str


ContentBlock = (
    TextBlock | ImageBlock | DocumentBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock
)


class InputMessage(Struct):
    """One turn. A raw block is one of the upstream's own, handed back as it came."""

    role: Literal["user", "assistant", "system"]
    content: list[Any]  # ContentBlock or Raw


class Tool(Struct, omit_defaults=True):
    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None
    eager_input_streaming: bool | None = None


class WebSearch(Struct, tag_field="type", tag="web_search_20250305", omit_defaults=True):
    """The server tool: Vertex AI searches and answers with citations. ``user_location`` is approximate."""

    name: Literal["web_search"]
    max_uses: int | None = None
    user_location: dict[str, Any] | None = None
    cache_control: CacheControl | None = None


class ToolChoice(Struct, omit_defaults=True):
    """``name`` only with type ``tool``; ``disable_parallel_tool_use`` never with ``none``."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class BlockBinding(Struct):
    """What becomes of a thinking block whose prefix is another one. Needs the beta ``BETA_BINDING``."""

    prefix_mismatch_behavior: Literal["drop_block"] = "drop_block"


BETA_BINDING: Final = "thinking-binding-controls-2026-08-01"


class Thinking(Struct, omit_defaults=True):
    type: Literal["adaptive", "enabled", "disabled", "between_tools"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None
    block_binding: BlockBinding | None = None


class OutputConfig(Struct, omit_defaults=True):
    effort: str | None = None
    format: dict[str, Any] | None = None


class Metadata(Struct):
    user_id: str


class MessagesRequest(Struct, omit_defaults=True):
    """Body of ``:rawPredict`` and ``:streamRawPredict``. The model is in the URL, never here."""

    anthropic_version: str
    max_tokens: int
    messages: list[InputMessage]
    system: list[TextBlock] | None = None
    tools: list[Any] | None = None  # Tool and WebSearch
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: Metadata | None = None
    stream: bool | None = None


_encoder: Final = msgspec.json.Encoder()


def encode_request(request: MessagesRequest) -> bytes:
    """The exact bytes for the upstream; the same struct always gives the same bytes.

    :raises InvalidRequest: what the client sent could just be decoded, but one level more cannot be encoded.
    :raises PayloadTooLarge: it grew beyond what Vertex AI takes: what was fetched for URLs is in it.
    """
    try:
        encoded = _encoder.encode(request)
    except RecursionError:
        raise InvalidRequest(
            "The request is nested too deeply.", hint="Flatten it: no client needs more than a few hundred levels."
        ) from None
    if len(encoded) > MAX_BODY_BYTES:
        raise PayloadTooLarge(
            f"With its images and documents the request is larger than {MAX_BODY_BYTES // 2**20} MiB, the most "
            "Vertex AI takes.",
            param="messages",
            hint="Send fewer or smaller ones.",
        )
    return encoded


# --- replies ----------------------------------------------------------------------------------------------------


class OutputTokensDetails(Struct, omit_defaults=True):
    thinking_tokens: int | None = None


class Usage(Struct, omit_defaults=True):
    """Token counts. None means *not said*, which in a later event must not erase what was said before."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: OutputTokensDetails | None = None


class StopDetails(Struct, omit_defaults=True):
    type: str | None = None
    category: str | None = None
    explanation: str | None = None


class Block(Struct, omit_defaults=True):
    """Any content block of a reply. Only the fields of its ``type`` are set.

    ``input`` stays raw: it is the text of the tool call's arguments, passed on as it came.
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
    # of server tools and their results; kept only to be handed back
    tool_use_id: str | None = None
    content: Raw | UnsetType = UNSET
    caller: Raw | UnsetType = UNSET


class Message(Struct):
    """A complete reply of ``:rawPredict``, and the opening of a stream."""

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
    """Any delta: of a content block, or (without ``type``) of the message."""

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
    status: Any = None  # where Google's front end speaks: its name for the error


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


class ErrorReply(Struct):
    """``{"type":"error","error":{...},"request_id":...}``"""

    error: ErrorBody
    type: str = "error"
    request_id: str | None = None


class _TypeOnly(Struct):
    type: str = ""


class _LooseEvent(_TypeOnly):
    """A block event of which only the kinds are read."""

    index: int = -1
    content_block: _TypeOnly | None = None
    delta: _TypeOnly | None = None


class _LooseMessage(Message):
    content: list[Raw] | None = None  # type: ignore[assignment]  # the blocks are decoded one by one


#: Events the translator reads. One of these that does not decode is a broken upstream; any other is news to skip.
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
#: The same for blocks and deltas: what others call ``text`` or ``data`` need not be what we take it for.
KNOWN_BLOCKS: Final = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
KNOWN_DELTAS: Final = frozenset({"text_delta", "input_json_delta", "thinking_delta", "signature_delta"})

_event_decoder: Final = msgspec.json.Decoder(StreamEvent)
_loose_event_decoder: Final = msgspec.json.Decoder(_LooseEvent)
_type_decoder: Final = msgspec.json.Decoder(_TypeOnly)
_message_decoder: Final = msgspec.json.Decoder(Message)
_loose_message_decoder: Final = msgspec.json.Decoder(_LooseMessage)
_block_decoder: Final = msgspec.json.Decoder(Block)


def decode_event(data: bytes) -> StreamEvent:
    """Decode one event's data. An unknown event, block or delta whose fields clash with ours comes back with its
    type alone; half a character in a text as the replacement character; an error of Google's own as an error.

    :raises msgspec.DecodeError: not JSON, or something known with fields of the wrong type.
    :raises UnicodeDecodeError: not UTF-8.
    :raises RecursionError: nested too deeply.
    """
    try:
        event = _event_decoder.decode(data)
    except msgspec.DecodeError:
        return _mended_event(data)
    return event if event.type or event.error is None else _event(data)


def _mended_event(data: bytes) -> StreamEvent:
    try:
        return _event(data)
    except msgspec.DecodeError:
        mended = without_halves(data)
        if mended is data:
            raise
    return _event(mended)


def _event(data: bytes) -> StreamEvent:
    try:
        event = _event_decoder.decode(data)
        if event.type or event.error is None:
            return event
        named = event.error.status if isinstance(event.error.status, str) else ""
        return StreamEvent("error", error=ErrorBody(named or event.error.type, event.error.message))
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


def decode_message(body: bytes) -> Message:
    """Decode a whole reply. An unknown block whose fields clash with ours comes back with its type alone; half a
    character in a text comes back as the replacement character.

    :raises msgspec.DecodeError: not JSON, or something known with fields of the wrong type.
    :raises UnicodeDecodeError: not UTF-8.
    :raises RecursionError: nested too deeply.
    """
    try:
        return _message(body)
    except msgspec.DecodeError:
        mended = without_halves(body)
        if mended is body:
            raise
    return _message(mended)


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
