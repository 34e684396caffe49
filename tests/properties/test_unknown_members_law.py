"""Nothing vanishes at any depth: a member that nobody knows, put into any object of a request, has a notice that names
it, and strict mode refuses the request."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmux.claude.notices import reject_notices
from modelmux.dialects.base import Dialect, DialectOptions, Inbound
from modelmux.dialects.openai_chat.dialect import OpenAIChat
from modelmux.dialects.openai_responses.dialect import OpenAIResponses
from modelmux.errors import InvalidRequest
from support.responses_requests import OWNER, PNG, SEALER, reasoning
from support.responses_requests import inbound as responses_inbound

Json = dict[str, Any]
Path = tuple[str | int, ...]

OPTIONS = DialectOptions(sealer=SEALER, web_search=True)
#: Objects that hold whatever a client likes, with ``*`` for an index: nothing in them is a field.
FREE = {
    "metadata", "logit_bias", "prediction", "client_metadata", "tools.*.function.parameters", "tools.*.parameters",
    "tools.*.input_schema", "tools.*.tools.*.parameters", "functions.*.parameters", "tools.*.output_schema",
    "response_format.json_schema.schema", "text.format.schema", "input.*.action.env", "input.*.tools.*.parameters",
    # thinking that a client sends back as it came, whoever its provider was
    "messages.*.thinking_blocks.*", "messages.*.reasoning_details.*", "input.*.summary.*", "input.*.content.*.input",
    "messages.*.content.*.input",
    # arguments that a client sends as an object instead of its text
    "messages.*.tool_calls.*.arguments",
    # replies that are sent back
    "messages.*.annotations.*", "input.*.content.*.annotations.*",
}  # fmt: skip
#: Objects of which nothing is used: their own notice is that of all they hold.
WHOLE = {"input.8": "dropped", "prediction": "ignored", "context_management": "ignored"}

SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
MARKER: Json = {"type": "ephemeral", "ttl": "1h"}
OPENAI_MARKER: Json = {"mode": "explicit", "ttl": "30m"}
IMAGE: Json = {"url": f"data:image/png;base64,{PNG}", "detail": "auto"}
PDF = "data:application/pdf;base64,JVBERi0xLjQK"
LOCATION: Json = {"type": "approximate", "approximate": {"city": "Bonn", "country": "DE"}}

CHAT: Json = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "s", "cache_control": MARKER},
        {"role": "user", "content": [
            {"type": "text", "text": "a", "cache_control": MARKER},
            {"type": "text", "text": "b", "prompt_cache_breakpoint": OPENAI_MARKER},
            {"type": "image_url", "image_url": IMAGE},
            {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF[28:]}},
        ]},
        {"role": "assistant", "content": None, "thinking_blocks": [{"type": "thinking", "thinking": "t"}],
         "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "cache_control": MARKER},
            {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
            {"id": "c3", "name": "f", "arguments": {}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "r"}]},
        {"role": "tool", "tool_call_id": "c2", "content": "r"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c3", "content": "r"}]},
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "cache_control": MARKER}},
        {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
        {"name": "h", "input_schema": SCHEMA},
    ],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {
        "mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}],
    }},
    "stream": True,
    "stream_options": {"include_usage": True},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "low"},
    "web_search_options": {"user_location": LOCATION, "filters": {"allowed_domains": ["a.example"]},
                           "cache_control": MARKER},
    "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
    "cache_control": MARKER,
    "metadata": {"a": "b"},
}  # fmt: skip
CHAT_ALSO: Json = {
    "model": "m",
    "messages": [{"role": "user", "content": "a"},
                 {"role": "assistant", "content": "b", "function_call": {"name": "f", "arguments": "{}"}},
                 {"role": "function", "name": "f", "content": "r"}],
    "functions": [{"name": "f", "parameters": SCHEMA}],
    "function_call": {"name": "f"},
    "reasoning": {"effort": "low", "exclude": True},
    "web_search_options": {"user_location": {"type": "approximate", "city": "Bonn"}},
    "prediction": {"type": "content", "content": "x"},
}  # fmt: skip

RESPONSES: Json = {
    "model": "m",
    "input": [
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "a", "cache_control": MARKER},
            {"type": "input_text", "text": "b", "prompt_cache_breakpoint": OPENAI_MARKER},
            {"type": "input_image", "image_url": IMAGE, "detail": "auto"},
            {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
            {"type": "image_url", "image_url": IMAGE},
            {"type": "file", "file": {"file_data": PDF}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        ]},
        reasoning(),
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "phase": "commentary",
         "content": [{"type": "output_text", "text": "b", "annotations": [], "logprobs": []},
                     {"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "r"}]},
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "r"},
        {"type": "agent_message", "author": "a", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "shell_call", "call_id": "c3", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "c3", "output": [
            {"stdout": "x", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]},
        {"type": "local_shell_call", "call_id": "c4", "action": {"type": "exec", "command": ["ls"], "env": {"A": "b"}}},
        {"type": "local_shell_call_output", "id": "c4", "output": "r"},
        {"type": "apply_patch_call", "call_id": "c5", "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "call_id": "c5", "status": "completed"},
        {"type": "additional_tools", "role": "developer", "tools": [
            {"type": "function", "name": "i", "parameters": SCHEMA}]},
        {"type": "configuration_update", "reasoning": {"effort": "low"}},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c6", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c6", "content": [
            {"type": "text", "text": "r"}]}]},
        {"role": "assistant", "content": "x", "tool_calls": [
            {"id": "c7", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c7", "content": [{"type": "text", "text": "r"}]},
        {"role": "user", "content": "go on"},
    ],
    "tools": [
        {"type": "function", "name": "f", "parameters": SCHEMA, "cache_control": MARKER},
        {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"}},
        {"type": "namespace", "name": "n", "description": "d", "tools": [
            {"type": "function", "name": "h", "parameters": SCHEMA}]},
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "local_shell"},
        {"type": "apply_patch"},
        {"type": "function", "function": {"name": "k", "parameters": SCHEMA}},
        {"name": "l", "input_schema": SCHEMA},
        {"type": "web_search", "user_location": {"type": "approximate", "city": "Bonn"},
         "filters": {"allowed_domains": ["a.example"]}},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}, "verbosity": "medium"},
    "stream_options": {"include_obfuscation": False},
    "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
    "context_management": [{"type": "compaction"}],
    "metadata": {"a": "b"},
    "client_metadata": {"a": "b"},
}  # fmt: skip
RESPONSES_ALSO: Json = {
    "model": "m",
    "input": "hi",
    "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
}


def objects(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all objects in which an unknown member is one."""
    if ".".join("*" if isinstance(step, int) else step for step in path) in FREE:
        return
    if isinstance(value, dict):
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in inner:
        yield from objects(member, (*path, step))


def with_member(body: Json, path: Path, name: str, value: Any) -> Json:
    body = copy.deepcopy(body)
    target: Any = body
    for step in path:
        target = target[step]
    target[name] = value
    return body


CASES: list[tuple[Dialect, Json, Path]] = [
    *((OpenAIChat(), body, path) for body in (CHAT, CHAT_ALSO) for path in objects(body)),
    *((OpenAIResponses(), body, path) for body in (RESPONSES, RESPONSES_ALSO) for path in objects(body)),
]
NAMES = st.from_regex(r"zz[a-z_A-Z]{0,12}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=4,
)


def named(dialect: Dialect, body: Json) -> list[tuple[str, str]]:
    inbound = responses_inbound(OPTIONS, owner=OWNER) if isinstance(dialect, OpenAIResponses) else Inbound("r", 0.0)
    request = dialect.decode(inbound, json.dumps(body).encode()).request
    assert request is not None
    if request.notices:
        with pytest.raises(InvalidRequest):
            reject_notices(request.notices)
    return [(notice.action, notice.field) for notice in request.notices]


@pytest.mark.parametrize(
    ("dialect", "body", "path"), CASES, ids=lambda case: repr(case)[:60] if isinstance(case, tuple) else ""
)
def test_an_unknown_member_of_any_object_is_named(dialect: Dialect, body: Json, path: Path) -> None:
    check(dialect, body, path, "zz", 1)


@settings(max_examples=300)
@given(st.sampled_from(CASES), NAMES, VALUES.filter(lambda value: value is not None))
def test_whatever_it_is(case: tuple[Dialect, Json, Path], name: str, value: Any) -> None:
    check(*case, name, value)


@pytest.mark.parametrize(
    ("dialect", "body", "path"), CASES, ids=lambda case: repr(case)[:60] if isinstance(case, tuple) else ""
)
def test_a_member_that_is_null_says_nothing(dialect: Dialect, body: Json, path: Path) -> None:
    assert named(dialect, with_member(body, path, "zz", None)) == named(dialect, body)


def check(dialect: Dialect, body: Json, path: Path, name: str, value: Any) -> None:
    field = ".".join(map(str, (*path, name)))
    try:
        notices = named(dialect, with_member(body, path, name, value))
    except InvalidRequest as error:
        assert error.param == field, (error.param, error.message)
        return
    whole = [(action, outer) for outer, action in WHOLE.items() if field.startswith(outer)]
    assert ("ignored", field) in notices or any(entry in notices for entry in whole), (field, notices)
