"""Requests of OpenAI Responses. Items stay raw here: ``responses_items.py`` decodes them, and their bytes are stored.

Source of the shapes: the ``openai`` SDK (``types/responses``: ``response_create_params.py``, ``tool_param.py``).
Lenient: unknown fields are tolerated, and a field that nothing is done with is not read at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from modelmux.wire.openai import common
from modelmux.wire.openai.common import CacheControlParam
from modelmux.wire.openai.members import check_unknown, remove_unknown, shape_of


class NamedTool(Struct):
    name: str | None = None
    namespace: str | None = None


class AllowedTool(Struct):
    type: str = "function"
    name: str | None = None
    namespace: str | None = None
    #: The form of Chat Completions.
    function: NamedTool | None = None
    custom: NamedTool | None = None


class AllowedTools(Struct):
    mode: str | None = None
    tools: list[AllowedTool] | None = None


class ToolChoice(Struct):
    type: str = "function"
    name: str | None = None
    namespace: str | None = None
    mode: str | None = None
    tools: list[AllowedTool] | None = None
    #: The form of Chat Completions.
    function: NamedTool | None = None
    custom: NamedTool | None = None
    allowed_tools: AllowedTools | None = None
    #: Anthropic's.
    disable_parallel_tool_use: bool | None = None


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


class _InnerTool(Struct):
    """The definition of a tool in the form of Chat Completions."""

    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


_request_decoder: Final = msgspec.json.Decoder(ResponsesRequest)
_keys_decoder: Final = msgspec.json.Decoder(dict[str, Raw])
_tool_decoder: Final = msgspec.json.Decoder(Tool)
_tool_inner_decoder: Final = msgspec.json.Decoder(_InnerTool)
_options_decoder: Final = msgspec.json.Decoder(dict[str, Any])
_FIELDS: Final = frozenset(ResponsesRequest.__struct_fields__)
_NULL: Final = Raw(b"null")


class _StreamOptions(Struct):
    include_obfuscation: Any = None


class _Grammar(Struct):
    definition: Any = None
    syntax: Any = None


class _Format(_Grammar):
    """``grammar`` is the form of Chat Completions."""

    type: Any = None
    grammar: _Grammar | None = None


class _Environment(Struct):
    type: Any = None


class _AnyTool(Struct):
    type: Any = None
    allowed_callers: Any = None
    cache_control: CacheControlParam | None = None


class _Defined(_AnyTool):
    name: Any = None
    description: Any = None
    defer_loading: Any = None
    async_: Any = msgspec.field(default=None, name="async")


class _Function(_Defined):
    parameters: Any = None
    strict: Any = None
    output_schema: Any = None
    function: _InnerTool | None = None


class _Custom(_Defined):
    format: _Format | None = None


class _Namespace(Struct):
    type: Any = None
    name: Any = None
    description: Any = None
    tools: Any = None


class _Shell(_AnyTool):
    environment: _Environment | None = None


_SHAPES: Final = {
    "stream_options": shape_of(_StreamOptions),
    "tool_choice": shape_of(ToolChoice),
    "reasoning": shape_of(Reasoning),
    "text": shape_of(TextConfig),
}
#: What each type of tool may hold. Web search has options of its own.
_TOOL_SHAPES: Final = {
    "function": shape_of(_Function),
    "custom": shape_of(_Custom),
    "namespace": shape_of(_Namespace),
    "shell": shape_of(_Shell),
    "local_shell": shape_of(_AnyTool),
    "apply_patch": shape_of(_AnyTool),
}
_PLAIN_FIELDS: Final = {
    kind: frozenset(name for name, inner in (shape.members or {}).items() if inner is None)
    for kind, shape in _TOOL_SHAPES.items()
}


def decode_request(body: bytes) -> tuple[ResponsesRequest, dict[str, Raw]]:
    """Decode a request body, but not its items and tools.

    :returns: the request, and all its fields as the client wrote them.
    :raises InvalidRequest: with the name of the field.
    """
    common.check_encoding(body)
    request = common.decode_struct(_request_decoder, body)
    return request, common.decode_body(_keys_decoder, body)


def unknown_fields(fields: Mapping[str, Raw]) -> list[str]:
    """The names of fields that ``ResponsesRequest`` does not have, and those inside of its objects, in order."""
    unknown = [name for name, raw in fields.items() if name not in _FIELDS and bytes(raw) != b"null"]
    for name, shape in _SHAPES.items():
        raw = bytes(fields.get(name, _NULL))
        if raw.startswith(b"{"):
            unknown += [f"{name}.{member}" for member in remove_unknown(msgspec.json.decode(raw), shape)]
    check_unknown(unknown)
    return unknown


def unknown_tool_fields(raw: bytes, kind: str, path: str) -> list[str]:
    """The paths, inside a tool, of members that nothing reads.

    :param kind: its type.
    :raises InvalidRequest: it is nested too deeply.
    """
    plain = _PLAIN_FIELDS.get(kind)
    if plain is None or _keys_decoder.decode(raw).keys() <= plain:
        return []
    return remove_unknown(common.decode_any(raw, path), _TOOL_SHAPES[kind])


def decode_tool(raw: bytes, path: str) -> Tool:
    """A tool; the definition of one in the form of Chat Completions is inside ``function``.

    :raises InvalidRequest: with the name of the field.
    """
    tool = common.decode_struct(_tool_decoder, raw, path)
    if bytes(tool.function).startswith(b"{"):
        inner = common.decode_struct(_tool_inner_decoder, bytes(tool.function), f"{path}.function")
        for field in _InnerTool.__struct_fields__:
            if getattr(tool, field) is None:
                setattr(tool, field, getattr(inner, field))
    return tool


def nested_members(raw: bytes) -> list[str]:
    """The names of what ``decode_tool`` reads from inside ``function``."""
    tool = _tool_decoder.decode(raw)
    if not bytes(tool.function).startswith(b"{"):
        return []
    inner = _keys_decoder.decode(bytes(tool.function))
    return [field for field in _InnerTool.__struct_fields__ if field in inner and getattr(tool, field) is None]


def decode_web_search(raw: bytes, path: str) -> dict[str, Any]:
    """The options of a web search tool. :raises InvalidRequest: not an object."""
    options = common.decode_body(_options_decoder, raw, path)
    return {name: value for name, value in options.items() if name not in ("type", "name")}
