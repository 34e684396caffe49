"""Risk: a request of an odd shape that crashes the gateway instead of being refused."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelmux.dialects.base import Inbound
from modelmux.dialects.openai_chat.dialect import OpenAIChat
from modelmux.dialects.openai_shared.foreign.parts import PART_TYPES
from modelmux.errors import InvalidRequest

WORDS = st.sampled_from([
    *PART_TYPES, "user", "assistant", "tool", "system", "function", "custom", "function_call", "function_call_output",
    "message", "auto", "any", "web_search", "base64", "url", "json_schema", "json_object", "c", "f", "{}", "",
    "enabled",
])  # fmt: skip
NAMES = st.sampled_from([
    "type", "role", "content", "text", "image_url", "url", "source", "data", "media_type", "file", "file_data",
    "file_url", "resource", "blob", "id", "tool_call_id", "tool_use_id", "call_id", "name", "input", "arguments",
    "args", "function", "custom", "tool_calls", "input_schema", "parameters", "title",
    "citations", "cache_control", "images", "output",
    "function_call", "filters", "user_location", "allowed_domains", "schema", "json_schema", "effort", "format", "zz",
])  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-2, 2000) | st.floats(0, 2) | WORDS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)
FIELDS = st.sampled_from([
    "messages", "input", "system", "instructions", "tools", "functions", "tool_choice", "response_format", "text",
    "output_config", "thinking", "reasoning", "reasoning_effort", "stop", "stop_sequences", "max_output_tokens",
    "web_search_options", "cache_control", "parallel_tool_calls", "stream_options", "mcp_servers", "output_format",
])  # fmt: skip


@settings(max_examples=400)
@given(st.dictionaries(FIELDS, VALUES | st.lists(OBJECTS, max_size=3), max_size=4), st.booleans())
def test_any_json_is_translated_or_refused_by_a_name_that_the_client_wrote(fields: dict[str, Any], whole: bool) -> None:
    body = {"model": "m", **({"messages": [{"role": "user", "content": "hi"}]} if whole else {}), **fields}
    try:
        OpenAIChat().decode(Inbound("id", 0.0), json.dumps(body).encode())
    except InvalidRequest as error:
        assert error.param is None or error.param.partition(".")[0] in {*body, "messages"}


@settings(max_examples=400)
@given(st.lists(OBJECTS, max_size=3), st.sampled_from(["user", "assistant", "tool", "system"]), OBJECTS)
def test_any_content_is_translated_or_refused(parts: list[Any], role: str, message: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": "hi"}, {**message, "role": role, "content": parts}]
    try:
        OpenAIChat().decode(Inbound("id", 0.0), json.dumps({"model": "m", "messages": messages}).encode())
    except InvalidRequest as error:
        assert (error.param or "").startswith("messages")
