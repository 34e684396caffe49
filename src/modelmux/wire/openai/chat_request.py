"""Requests of OpenAI Chat Completions. Responses are in ``chat_response.py``.

Source of the shapes: the ``openai`` SDK (``types/chat/completion_create_params.py``, ``chat_completion*.py``,
``completion_usage.py``) plus the extensions that common clients send (``cache_control``, ``reasoning_content``,
``thinking_blocks``). Unknown fields are reported; the dialect decides what happens to them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw, Struct

from modelmux.errors import InvalidRequest
from modelmux.wire.openai import common
from modelmux.wire.openai.common import BreakpointMarker, CacheMarker
from modelmux.wire.openai.members import remove_unknown, shape_of
from modelmux.wire.openai.sliced_list import SlicedList
from modelmux.wire.sliced_json import SLICE, decode_sliced, needs_slices


class Closed(Struct, forbid_unknown_fields=True):
    """Refuses members that it does not have: ``decode_request`` then reports them, at the cost of a second pass."""


class TextPart(Closed, tag_field="type", tag="text"):
    text: str
    cache_control: CacheMarker | None = None
    prompt_cache_breakpoint: BreakpointMarker | None = None


class ImageURL(Closed):
    """``format`` is the media type that LiteLLM's clients add; the bytes are looked at instead."""

    url: str
    detail: str | None = None
    format: Any = None


class ImagePart(Closed, tag_field="type", tag="image_url"):
    image_url: ImageURL | str
    cache_control: CacheMarker | None = None
    prompt_cache_breakpoint: BreakpointMarker | None = None


class File(Closed):
    """A file. ``file_url``, ``mime_type`` and ``format`` (a media type, too) are extensions."""

    file_data: str | None = None
    file_url: str | None = None
    mime_type: Any = None
    format: Any = None
    filename: str | None = None
    file_id: str | None = None


class FilePart(Closed, tag_field="type", tag="file"):
    file: File
    cache_control: CacheMarker | None = None
    prompt_cache_breakpoint: BreakpointMarker | None = None


class AudioPart(Closed, tag_field="type", tag="input_audio"):
    input_audio: Any = None


class RefusalPart(Closed, tag_field="type", tag="refusal"):
    refusal: str


class ThinkingPart(Closed, tag_field="type", tag="thinking"):
    """Thinking that some clients send back inside content. Other providers' thinking may not be text."""

    thinking: Any = ""
    signature: Any = None


class RedactedThinkingPart(Closed, tag_field="type", tag="redacted_thinking"):
    data: Any = ""


Part = TextPart | ImagePart | FilePart | AudioPart | RefusalPart | ThinkingPart | RedactedThinkingPart
Content = str | list[Part] | None


class FunctionCall(Closed):
    name: str
    arguments: str | None = None


class FunctionToolCall(Closed, tag_field="type", tag="function"):
    function: FunctionCall
    id: str = ""
    index: Any = None
    cache_control: CacheMarker | None = None


class CustomCall(Closed):
    name: str
    input: str = ""


class CustomToolCall(Closed, tag_field="type", tag="custom"):
    custom: CustomCall
    id: str = ""
    index: Any = None


class SystemMessage(Closed, tag_field="role", tag="system"):
    content: Content = None
    name: str | None = None
    cache_control: CacheMarker | None = None


class DeveloperMessage(Closed, tag_field="role", tag="developer"):
    content: Content = None
    name: str | None = None
    cache_control: CacheMarker | None = None


class UserMessage(Closed, tag_field="role", tag="user"):
    content: Content = None
    name: str | None = None
    cache_control: CacheMarker | None = None


class AssistantMessage(Closed, tag_field="role", tag="assistant"):
    content: Content = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[FunctionToolCall | CustomToolCall] | None = None
    function_call: FunctionCall | None = None
    audio: dict[str, Any] | None = None
    annotations: Any = None
    cache_control: CacheMarker | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: list[dict[str, Any]] | None = None
    thinking_blocks: list[dict[str, Any]] | None = None


class ToolMessage(Closed, tag_field="role", tag="tool"):
    """The id is OpenAI's own; where it is missing, the name or the order may tell which call was answered."""

    tool_call_id: str | None = None
    content: Content = None
    is_error: bool | None = None
    name: str | None = None
    cache_control: CacheMarker | None = None


class FunctionMessage(Closed, tag_field="role", tag="function"):
    name: str
    content: Content = None


ChatMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


class FunctionDefinition(Closed):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    eager_input_streaming: bool | None = None
    cache_control: CacheMarker | None = None


class CustomFormat(Closed):
    """``grammar`` is not looked at: formats that have one are refused."""

    type: Any = "text"
    grammar: Any = None


class CustomDefinition(Closed):
    name: str
    description: str | None = None
    format: CustomFormat | None = None


class Tool(Closed):
    """One tool. ``type`` says which of the other fields is set; some clients omit it for functions."""

    type: str = "function"
    function: FunctionDefinition | None = None
    custom: CustomDefinition | None = None
    cache_control: CacheMarker | None = None
    eager_input_streaming: bool | None = None


class NamedFunction(Closed):
    name: str


class FunctionChoice(Closed, tag_field="type", tag="function"):
    function: NamedFunction


class CustomChoice(Closed, tag_field="type", tag="custom"):
    custom: NamedFunction


class AllowedTools(Closed):
    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


class AllowedToolsChoice(Closed, tag_field="type", tag="allowed_tools"):
    allowed_tools: AllowedTools


class StreamOptions(Closed):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class JSONSchemaFormat(Closed):
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Closed):
    type: str
    json_schema: JSONSchemaFormat | None = None


class OutputConfig(Closed):
    """Anthropic's ``output_config``; its format is ``response_format`` here."""

    effort: Any = None


class ChatRequest(Closed):
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
    output_config: OutputConfig | None = None
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
    cache_control: CacheMarker | None = None


_decoder: Final = msgspec.json.Decoder(ChatRequest)
_object_decoder: Final = msgspec.json.Decoder(dict[str, Any])
_SHAPE: Final = shape_of(ChatRequest)
_CALL_SHAPES: Final = {"function": shape_of(FunctionToolCall), "custom": shape_of(CustomToolCall)}
_members_decoder: Final = msgspec.json.Decoder(dict[str, Raw])
_arrays: Final = msgspec.json.Decoder(list[Raw])
_EMPTY: Final = Raw(b"[]")
#: Fields that are decoded in slices.
_SLICED: Final = {"messages": SlicedList(ChatMessage, Part), "tools": SlicedList(Tool)}


def decode_plain(body: bytes) -> ChatRequest | None:
    """Decode a request body that is Chat Completions and nothing else; None if anything else is in it."""
    try:
        return _decode_sliced(body) if needs_slices(body) else _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _decode_sliced(body: bytes) -> ChatRequest:
    """:raises msgspec.DecodeError, UnicodeDecodeError, RecursionError:"""
    members = _members_decoder.decode(body)
    lists = {
        name: _arrays.decode(members[name])
        for name in _SLICED
        if bytes(members.get(name, b""))[:1] == b"[" and memoryview(members[name]).nbytes > SLICE
    }
    request = _decoder.decode(msgspec.json.encode({**members, **dict.fromkeys(lists, _EMPTY)}))
    for name, items in lists.items():
        setattr(request, name, _SLICED[name].decode(items))
    return request


def decode_object(body: bytes) -> dict[str, Any]:
    """Decode a request body without regard to what is in it.

    :raises InvalidRequest: not a JSON object; if msgspec says so, with the name of the field.
    """
    if needs_slices(body):
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = decode_sliced(body)
            if isinstance(value, dict):
                return value
    try:
        return _object_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:  # the types give the better path
            common.decode_body(_decoder, body)
        except InvalidRequest as error:
            if "unknown field" not in error.message:
                raise
        return common.decode_body(_object_decoder, body)


def convert_request(value: dict[str, Any], *, is_large: bool = False) -> tuple[ChatRequest, list[str]]:
    """A decoded body as a request, and the paths of unknown fields, which are taken out of ``value``; those of an
    object come before those of what it holds.

    :param is_large: it is longer than a slice.
    :raises InvalidRequest: with the name of the field.
    """
    unknown = remove_unknown(value, _SHAPE)
    try:
        if is_large:
            with suppress(msgspec.ValidationError):  # the other way names the item
                return _convert_sliced(value), unknown
        return msgspec.convert(value, ChatRequest), unknown
    except msgspec.ValidationError as error:
        raise common.invalid_field(str(error)) from None


def _convert_sliced(value: dict[str, Any]) -> ChatRequest:
    """:raises msgspec.ValidationError:"""
    lists = {name: items for name in _SLICED if isinstance(items := value.get(name), list)}
    request = msgspec.convert({**value, **{name: [] for name in lists}}, ChatRequest)
    for name, items in lists.items():
        setattr(request, name, _SLICED[name].convert(items))
    return request


def convert_call(value: dict[str, Any], path: str) -> tuple[FunctionToolCall | CustomToolCall, list[str]]:
    """A decoded call of a tool, and the paths of its unknown fields, which are taken out of ``value``.

    :param path: of the call, for errors.
    :raises InvalidRequest: with the name of the field.
    """
    unknown = remove_unknown(value, _CALL_SHAPES[value["type"]])
    try:
        return msgspec.convert(value, FunctionToolCall | CustomToolCall), unknown
    except msgspec.ValidationError as error:
        raise common.invalid_field(str(error), path) from None


def decode_request(body: bytes) -> ChatRequest:
    """Decode and validate a request body.

    :raises InvalidRequest: with the name of the field.
    """
    return decode_request_with_unknown(body)[0]


def decode_request_with_unknown(body: bytes) -> tuple[ChatRequest, list[str]]:
    """Decode a request body; also return the paths of unknown fields, such as ``messages.0.new``.

    :raises InvalidRequest: with the name of the field.
    """
    request = decode_plain(body)
    return (request, []) if request is not None else convert_request(decode_object(body), is_large=len(body) > SLICE)
