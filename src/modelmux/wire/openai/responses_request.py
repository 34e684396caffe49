"""Requests of OpenAI Responses. Items stay raw at first: each is decoded by its type, and its bytes are what is stored.

Source of the shapes: the ``openai`` SDK (``types/responses``: ``response_create_params.py``,
``response_input_item_param.py``, ``tool_param.py``). Lenient: unknown fields are tolerated, and a field that nothing is
done with is not read at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from modelmux.errors import InvalidRequest
from modelmux.wire.openai import common
from modelmux.wire.openai.common import CacheControlParam

#: Nested lists and objects of one item. Clients need a dozen; what decodes and encodes items recurses.
MAX_ITEM_DEPTH: Final = 128


class TextPart(Struct):
    text: str
    cache_control: CacheControlParam | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class RefusalPart(Struct):
    refusal: str


class ImageURL(Struct):
    url: str
    detail: str | None = None


class ImagePart(Struct):
    image_url: str | ImageURL | None = None
    file_id: str | None = None
    detail: str | None = None
    cache_control: CacheControlParam | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class FilePart(Struct):
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    cache_control: CacheControlParam | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class AudioPart(Struct):
    """Not read: nothing is done with audio."""


Part = TextPart | RefusalPart | ImagePart | FilePart | AudioPart
Content = str | list[Part] | None

_PARTS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "input_text": msgspec.json.Decoder(TextPart),
    "output_text": msgspec.json.Decoder(TextPart),
    "text": msgspec.json.Decoder(TextPart),
    "refusal": msgspec.json.Decoder(RefusalPart),
    "input_image": msgspec.json.Decoder(ImagePart),
    "input_file": msgspec.json.Decoder(FilePart),
    "input_audio": msgspec.json.Decoder(AudioPart),
}
#: The types of content parts that can be decoded.
PART_TYPES: Final = frozenset(_PARTS)


class Head(Struct):
    """What says which item an object is."""

    type: str | None = None
    role: str | None = None
    id: str | None = None


class MessageItem(Struct):
    role: str
    content: str | list[Raw] | None = None


class AgentMessageItem(Struct):
    content: str | list[Raw] | None = None


class FunctionCallItem(Struct):
    name: str
    call_id: str = ""
    arguments: str | None = None
    namespace: str | None = None


class CustomCallItem(Struct):
    name: str
    call_id: str = ""
    input: str | None = None
    namespace: str | None = None


class OutputItem(Struct):
    """The output of a call: a text or a list of parts by OpenAI's types, any JSON from clients."""

    call_id: str | None = None
    id: str | None = None
    output: Raw = Raw(b"null")
    status: Any = None


class ReasoningItem(Struct):
    id: str | None = None
    encrypted_content: Any = None


class ReferenceItem(Struct):
    id: str


class AdditionalToolsItem(Struct):
    tools: list[Raw] | None = None


class ConfigurationUpdateItem(Struct):
    reasoning: dict[str, Any] | None = None


class CompactionItem(Struct):
    encrypted_content: Any = None


class LocalCallItem(Struct):
    """A call of a tool that runs at the client: ``action`` of shells, ``operation`` of ``apply_patch``."""

    call_id: str | None = None
    id: str | None = None
    action: dict[str, Any] | None = None
    operation: dict[str, Any] | None = None


class IgnoredItem(Struct):
    """An item of which nothing is read."""


class AllowedTool(Struct):
    type: str = "function"
    name: str | None = None
    namespace: str | None = None


class ToolChoice(Struct):
    type: str = "function"
    name: str | None = None
    namespace: str | None = None
    mode: str | None = None
    tools: list[AllowedTool] | None = None
    #: The form of Chat Completions.
    function: AllowedTool | None = None


class Tool(Struct):
    """One tool; which fields are set depends on its type."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    defer_loading: bool | None = None
    output_schema: Any = None
    async_: Any = msgspec.field(default=None, name="async")
    allowed_callers: Any = None
    format: dict[str, Any] | None = None
    tools: list[Raw] | None = None
    environment: dict[str, Any] | None = None
    function: Raw = Raw(b"")
    cache_control: CacheControlParam | None = None


class ToolHead(Struct):
    type: str


class WebSearchTool(Struct):
    type: str
    filters: dict[str, Any] | None = None
    user_location: dict[str, Any] | None = None
    external_web_access: bool | None = None
    search_context_size: str | None = None


class TextFormat(Struct):
    type: str
    name: str | None = None
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class TextConfig(Struct):
    format: TextFormat | None = None
    verbosity: str | None = None


class Reasoning(Struct):
    effort: Any = None
    summary: Any = None
    generate_summary: Any = None
    mode: Any = None
    context: Any = None


class ResponsesRequest(Struct):
    """Body of ``POST /v1/responses``. ``dialects.openai_responses`` decides what happens to each field."""

    model: str
    input: str | list[Raw] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    tools: list[Raw] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    text: TextConfig | None = None
    include: list[str] | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = None
    background_options: Any = None
    truncation: str | None = None
    context_management: Any = None
    metadata: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    user: str | None = None
    service_tier: str | None = None
    prompt: Any = None
    moderation: Any = None
    access_programs: Any = None
    image: Any = None
    top_logprobs: int | None = None
    client_metadata: Any = None
    stream_id: Any = None
    generate: bool | None = None
    messages: Any = None


_request_decoder: Final = msgspec.json.Decoder(ResponsesRequest)
_keys_decoder: Final = msgspec.json.Decoder(dict[str, Raw])
_head_decoder: Final = msgspec.json.Decoder(Head)
_part_decoder: Final = msgspec.json.Decoder(ToolHead)
_any_decoder: Final = msgspec.json.Decoder()
_tool_decoder: Final = msgspec.json.Decoder(Tool)
_tool_head_decoder: Final = msgspec.json.Decoder(ToolHead)
_web_search_decoder: Final = msgspec.json.Decoder(WebSearchTool)
_FIELDS: Final = frozenset(ResponsesRequest.__struct_fields__)
_decoders: Final[dict[type[Any], msgspec.json.Decoder[Any]]] = {}


def decode_request(body: bytes) -> tuple[ResponsesRequest, dict[str, Raw]]:
    """Decode a request body, but not its items and tools.

    :returns: the request, and all its fields as the client wrote them.
    :raises InvalidRequest: with the name of the field.
    """
    request = common.decode_body(_request_decoder, body)
    return request, common.decode_body(_keys_decoder, body)


def unknown_fields(fields: Iterable[str]) -> list[str]:
    """The names of fields that ``ResponsesRequest`` does not have, in order."""
    return [name for name in fields if name not in _FIELDS]


def decode_head(raw: bytes, path: str) -> Head:
    """What says which item an object is.

    :raises InvalidRequest: not an object, or nested beyond ``MAX_ITEM_DEPTH``.
    """
    head = common.decode_body(_head_decoder, raw, path)
    if raw.count(b"{") + raw.count(b"[") > MAX_ITEM_DEPTH and _is_too_deep(decode_any(raw, path)):
        raise InvalidRequest("The item is nested too deeply.", param=path, hint=f"At most {MAX_ITEM_DEPTH} levels.")
    return head


def decode_item(shape: type[Any], raw: bytes, path: str) -> Any:
    """An item as one of the structs above.

    :raises InvalidRequest: with the name of the field.
    """
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = msgspec.json.Decoder(shape)
    return common.decode_body(decoder, raw, path)


def decode_any(raw: bytes, path: str) -> Any:
    """Any JSON. :raises InvalidRequest: nested too deeply."""
    return common.decode_body(_any_decoder, raw, path)


def decode_parts(content: str | list[Raw] | None, path: str) -> Content:
    """Content with its parts decoded.

    :raises InvalidRequest: a part of unknown type, or with the name of the field.
    """
    if not isinstance(content, list):
        return content
    return [_decode_part(bytes(raw), f"{path}.{index}") for index, raw in enumerate(content)]


def _decode_part(raw: bytes, path: str) -> Part:
    kind = common.decode_body(_part_decoder, raw, path).type
    decoder = _PARTS.get(kind)
    if decoder is None:
        raise InvalidRequest(
            f"Unknown type of content at '{path}'.", param=f"{path}.type", hint=f"Use one of {', '.join(_PARTS)}."
        )
    part: Part = common.decode_body(decoder, raw, path)
    return part


def decode_output(raw: bytes, path: str) -> Content:
    """The output of a call: content, or the text of any other JSON.

    :raises InvalidRequest: with the name of the field.
    """
    raw = raw.strip()
    if raw == b"null":
        return None
    if raw.startswith(b'"'):
        text: str = common.decode_body(_text_decoder, raw, path)
        return text
    if raw.startswith(b"["):
        members = common.decode_body(_members_decoder, raw, path)
        if all(_is_part(bytes(member)) for member in members):
            return decode_parts(members, path)
    return raw.decode("utf-8", "replace")


_text_decoder: Final = msgspec.json.Decoder(str)
_members_decoder: Final = msgspec.json.Decoder(list[Raw])


def _is_part(raw: bytes) -> bool:
    try:
        return _part_decoder.decode(raw).type in _PARTS
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def decode_tool_type(raw: bytes, path: str) -> str:
    """The type of a tool. :raises InvalidRequest: it has none."""
    return common.decode_body(_tool_head_decoder, raw, path).type


def decode_tool(raw: bytes, path: str) -> Tool:
    """A tool; the definition of one in the form of Chat Completions is inside ``function``.

    :raises InvalidRequest: with the name of the field.
    """
    tool = common.decode_body(_tool_decoder, raw, path)
    if bytes(tool.function).startswith(b"{"):
        inner = common.decode_body(_tool_inner_decoder, bytes(tool.function), f"{path}.function")
        for field in _InnerTool.__struct_fields__:
            if getattr(tool, field) is None:
                setattr(tool, field, getattr(inner, field))
    return tool


class _InnerTool(Struct):
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


_tool_inner_decoder: Final = msgspec.json.Decoder(_InnerTool)


def decode_web_search(raw: bytes, path: str) -> WebSearchTool:
    """A web search tool. :raises InvalidRequest: with the name of the field."""
    return common.decode_body(_web_search_decoder, raw, path)


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_ITEM_DEPTH):
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, list | dict))
        level = [v for held in inner for v in held]
    return bool(level)
