"""Requests of OpenAI Chat Completions. Responses are in ``chat_response.py``.

Source of the shapes: the ``openai`` SDK (``types/chat/completion_create_params.py``, ``chat_completion*.py``,
``completion_usage.py``) plus the extensions that common clients send (``cache_control``, ``reasoning_content``,
``thinking_blocks``). Unknown fields are tolerated here; the dialect decides what happens to them.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Raw, Struct

from modelmux.wire.openai import common
from modelmux.wire.openai.common import CacheControlParam


class TextPart(Struct, tag_field="type", tag="text"):
    text: str
    cache_control: CacheControlParam | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class ImageURL(Struct):
    url: str
    detail: str | None = None


class ImagePart(Struct, tag_field="type", tag="image_url"):
    image_url: ImageURL | str
    cache_control: CacheControlParam | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class File(Struct):
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class FilePart(Struct, tag_field="type", tag="file"):
    file: File
    cache_control: CacheControlParam | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class AudioPart(Struct, tag_field="type", tag="input_audio"):
    input_audio: Any = None


class RefusalPart(Struct, tag_field="type", tag="refusal"):
    refusal: str


class ThinkingPart(Struct, tag_field="type", tag="thinking"):
    """Thinking that some clients send back inside content. Other providers' thinking may not be text."""

    thinking: Any = ""
    signature: Any = None


class RedactedThinkingPart(Struct, tag_field="type", tag="redacted_thinking"):
    data: Any = ""


Part = TextPart | ImagePart | FilePart | AudioPart | RefusalPart | ThinkingPart | RedactedThinkingPart
Content = str | list[Part] | None


class FunctionCall(Struct):
    name: str
    arguments: str | None = None


class FunctionToolCall(Struct, tag_field="type", tag="function"):
    function: FunctionCall
    id: str = ""


class CustomCall(Struct):
    name: str
    input: str = ""


class CustomToolCall(Struct, tag_field="type", tag="custom"):
    custom: CustomCall
    id: str = ""


class SystemMessage(Struct, tag_field="role", tag="system"):
    content: Content = None
    name: str | None = None
    cache_control: CacheControlParam | None = None


class DeveloperMessage(Struct, tag_field="role", tag="developer"):
    content: Content = None
    name: str | None = None
    cache_control: CacheControlParam | None = None


class UserMessage(Struct, tag_field="role", tag="user"):
    content: Content = None
    name: str | None = None
    cache_control: CacheControlParam | None = None


class AssistantMessage(Struct, tag_field="role", tag="assistant"):
    content: Content = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[FunctionToolCall | CustomToolCall] | None = None
    function_call: FunctionCall | None = None
    audio: dict[str, Any] | None = None
    cache_control: CacheControlParam | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: list[dict[str, Any]] | None = None
    thinking_blocks: list[dict[str, Any]] | None = None


class ToolMessage(Struct, tag_field="role", tag="tool"):
    tool_call_id: str
    content: Content = None
    name: str | None = None
    cache_control: CacheControlParam | None = None


class FunctionMessage(Struct, tag_field="role", tag="function"):
    name: str
    content: Content = None


ChatMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


class FunctionDefinition(Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    eager_input_streaming: bool | None = None
    cache_control: CacheControlParam | None = None


class CustomDefinition(Struct):
    name: str
    description: str | None = None
    format: dict[str, Any] | None = None


class Tool(Struct):
    """One tool. ``type`` says which of the other fields is set; some clients omit it for functions."""

    type: str = "function"
    function: FunctionDefinition | None = None
    custom: CustomDefinition | None = None
    cache_control: CacheControlParam | None = None
    eager_input_streaming: bool | None = None


class NamedFunction(Struct):
    name: str


class FunctionChoice(Struct, tag_field="type", tag="function"):
    function: NamedFunction


class CustomChoice(Struct, tag_field="type", tag="custom"):
    custom: NamedFunction


class AllowedTools(Struct):
    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


class AllowedToolsChoice(Struct, tag_field="type", tag="allowed_tools"):
    allowed_tools: AllowedTools


class StreamOptions(Struct):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class JSONSchemaFormat(Struct):
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Struct):
    type: str
    json_schema: JSONSchemaFormat | None = None


class ChatRequest(Struct):
    """Body of ``POST /v1/chat/completions``. ``dialects.openai_chat`` decides what happens to each field."""

    model: str
    messages: list[ChatMessage]
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: str | FunctionChoice | CustomChoice | AllowedToolsChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionDefinition] | None = None
    function_call: str | NamedFunction | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Any = None
    reasoning: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    verbosity: str | None = None
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, Any] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    prediction: Any = None
    modalities: list[str] | None = None
    audio: Any = None
    web_search_options: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    cache_control: CacheControlParam | None = None


class _StrictFunction(FunctionDefinition, forbid_unknown_fields=True):
    """As its base, but rejects unknown fields; so do the next two."""


class _StrictTool(Tool, forbid_unknown_fields=True):
    function: _StrictFunction | None = None


class _StrictRequest(ChatRequest, forbid_unknown_fields=True):
    """Fast path: a request that decodes as this has no unknown fields, nor have its tools."""

    tools: list[_StrictTool] | None = None  # type: ignore[assignment]  # narrower; used for decoding only


_request_decoder: Final = msgspec.json.Decoder(ChatRequest)
_strict_decoder: Final = msgspec.json.Decoder(_StrictRequest)
_keys_decoder: Final = msgspec.json.Decoder(dict[str, Raw])
_tools_decoder: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_FIELDS: Final = frozenset(ChatRequest.__struct_fields__)
_TOOL_FIELDS: Final = frozenset(Tool.__struct_fields__)
_FUNCTION_FIELDS: Final = frozenset(FunctionDefinition.__struct_fields__)


def decode_request(body: bytes) -> ChatRequest:
    """Decode and validate a request body.

    :raises InvalidRequest: with the name of the field.
    """
    return common.decode_body(_request_decoder, body)


def decode_request_with_unknown(body: bytes) -> tuple[ChatRequest, list[str]]:
    """Decode a request body; also return the names of unknown fields of the request and its tools, in order.

    :raises InvalidRequest: with the name of the field.
    """
    try:
        return _strict_decoder.decode(body), []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        request = decode_request(body)
    keys = common.decode_body(_keys_decoder, body)  # may still fail: names of unknown fields can be invalid UTF-8
    unknown = [name for name in keys if name not in _FIELDS]
    return request, unknown + (_unknown_tool_fields(keys["tools"]) if request.tools else [])


def _unknown_tool_fields(raw: Raw) -> list[str]:
    """Paths of unknown fields of tools, such as ``tools.0.function.defer_loading``."""
    paths: list[str] = []
    for index, tool in enumerate(_tools_decoder.decode(raw)):
        paths += [f"tools.{index}.{name}" for name in tool if name not in _TOOL_FIELDS]
        if "function" in tool:
            inner = msgspec.json.decode(tool["function"], type=dict[str, Raw] | None) or {}
            paths += [f"tools.{index}.function.{name}" for name in inner if name not in _FUNCTION_FIELDS]
    return paths
