"""Requests of OpenAI Responses. Items stay raw here: ``responses_items.py`` decodes them, and their bytes are stored.

Source of the shapes: the ``openai`` SDK (``types/responses``: ``response_create_params.py``, ``tool_param.py``).
Lenient: unknown fields are tolerated, and a field that nothing is done with is not read at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from modelmux.wire.openai import common
from modelmux.wire.openai.common import CacheControlParam


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
_web_search_decoder: Final = msgspec.json.Decoder(WebSearchTool)
_FIELDS: Final = frozenset(ResponsesRequest.__struct_fields__)


def decode_request(body: bytes) -> tuple[ResponsesRequest, dict[str, Raw]]:
    """Decode a request body, but not its items and tools.

    :returns: the request, and all its fields as the client wrote them.
    :raises InvalidRequest: with the name of the field.
    """
    common.check_encoding(body)
    request = common.decode_body(_request_decoder, body)
    return request, common.decode_body(_keys_decoder, body)


def unknown_fields(fields: Iterable[str]) -> list[str]:
    """The names of fields that ``ResponsesRequest`` does not have, in order."""
    return [name for name in fields if name not in _FIELDS]


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


def decode_web_search(raw: bytes, path: str) -> WebSearchTool:
    """A web search tool. :raises InvalidRequest: with the name of the field."""
    return common.decode_body(_web_search_decoder, raw, path)
