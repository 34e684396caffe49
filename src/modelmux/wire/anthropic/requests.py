"""The Messages request of Vertex AI. Exact: fields are in wire order, and only fields that were set are sent.

Source of the shapes: the types of the ``anthropic`` SDK (``types/message_create_params.py``, ``types/beta``).
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from modelmux.errors import InvalidRequest, PayloadTooLarge
from modelmux.wire.sliced_json import SLICE, encode_long_texts

VERTEX_VERSION: Final = "vertex-2023-10-16"
#: The largest request body Vertex AI accepts (docs: build-with-claude/claude-on-vertex-ai).
MAX_BODY_BYTES: Final = 30 * 1024 * 1024


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


class URLSource(Struct, tag_field="type", tag="url"):
    """Part of Messages, but not accepted by Vertex AI: replaced by the downloaded file before a request is sent."""

    url: str


class ImageBlock(Struct, tag_field="type", tag="image", omit_defaults=True):
    source: Base64Source | URLSource
    cache_control: CacheControl | None = None


class DocumentBlock(Struct, tag_field="type", tag="document", omit_defaults=True):
    source: Base64Source | TextSource | URLSource
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
    """One turn. A raw block came from the upstream and is sent back unchanged."""

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
    """The web search tool, which runs upstream and adds citations to the reply. ``user_location`` is approximate."""

    name: Literal["web_search"]
    max_uses: int | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    user_location: dict[str, Any] | None = None
    cache_control: CacheControl | None = None


class ToolChoice(Struct, omit_defaults=True):
    """``name`` only with type ``tool``; ``disable_parallel_tool_use`` never with ``none``."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class BlockBinding(Struct):
    """How the upstream handles a thinking block whose prefix differs. Requires the beta ``BETA_BINDING``."""

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
    """Body of ``:rawPredict`` and ``:streamRawPredict``. The model is in the URL."""

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


def encode_large_request(request: MessagesRequest) -> bytes:
    """The same as ``encode_request``, with long strings encoded in slices."""
    encoded = replace(
        request,
        messages=[_with_encoded_texts(message) for message in request.messages],
        system=request.system and encode_long_texts(request.system),
        tools=request.tools and encode_long_texts(request.tools),
    )
    return encode_request(encoded)


def _with_encoded_texts(message: InputMessage) -> InputMessage:
    if all(type(block) is TextBlock and len(block.text) <= SLICE for block in message.content):
        return message
    return InputMessage(message.role, encode_long_texts(message.content))


def encode_request(request: MessagesRequest) -> bytes:
    """The bytes to send to the upstream; equal requests give equal bytes.

    :raises InvalidRequest: nested too deeply; the client's request was just below the limit of the decoder.
    :raises PayloadTooLarge: larger than Vertex AI accepts, which files downloaded from URLs can cause.
    """
    try:
        encoded = _encoder.encode(request)
    except RecursionError:
        raise InvalidRequest(
            "The request is nested too deeply.", hint="Flatten it: no client needs more than a few hundred levels."
        ) from None
    if len(encoded) > MAX_BODY_BYTES:
        raise PayloadTooLarge(
            f"The request with its images and documents exceeds Vertex AI's limit of {MAX_BODY_BYTES // 2**20} MiB.",
            param="messages",
            hint="Send fewer or smaller images and documents.",
        )
    return encoded
