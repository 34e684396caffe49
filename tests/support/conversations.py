"""Generated client traffic: conversations in any order, requests with any of their fields."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from support.strategies import OBJECTS, TEXT, WORDS

_SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}, "required": ["b"]}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": _SCHEMA}},
    {"type": "function", "function": {"name": "ns/tool.x", "parameters": {"type": "object", "properties": {"z": {}}}}},
    {"type": "custom", "custom": {"name": "shell"}},
]
#: Ids that clients send: plain, repeated, empty, foreign, too long, with a line end, like the ones made here.
_IDS = st.sampled_from(
    ["call_1", "call_2", "call_2", "call_0", "call_1_2", "functions.Bash:0", "", "toolu_vrtx_9", "é", "call_1\n",
     "x" * 200, "function:get_weather"]
)  # fmt: skip
_NAMES = st.sampled_from(["get_weather", "ns/tool.x", "x" * 200, "", "shell", "name\n", "unavailable"])
_ARGUMENTS = st.one_of(
    st.sampled_from(
        ['{"b": 1, "a": [2]}', "", "{}", "null", "[]", "not json", '"text"', "7", '{"a": 1e400}', " ", None]
    ),
    st.builds(json.dumps, OBJECTS),
)
_MARKER = st.sampled_from([None, None, None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
_NAME = st.sampled_from([{}, {}, {}, {"name": None}, {"name": "Ann"}])
_IMAGE = {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlhAQABAAAAACw="}}
_PDF = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0xLjc=", "filename": "a.pdf"}}
_TEXT_PART = st.builds(lambda text, marker: {"type": "text", "text": text, "cache_control": marker}, TEXT, _MARKER)
_PARTS = st.lists(st.one_of(_TEXT_PART, _TEXT_PART, st.sampled_from([_IMAGE, _PDF])), max_size=3)
_CONTENT = st.one_of(TEXT, _PARTS, st.none())
_TEXT_CONTENT = st.one_of(TEXT, st.none(), st.lists(_TEXT_PART, max_size=2))
_SIGNED = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
_THOUGHTS = st.lists(
    st.sampled_from([_SIGNED, {"type": "redacted_thinking", "data": "eA=="}, {"type": "thinking", "thinking": "no"}]),
    min_size=1, max_size=2,
)  # fmt: skip


@st.composite
def _answer(draw: st.DrawFn) -> dict[str, Any]:
    """An assistant message, with any mixture of text, calls, thinking and refusal."""
    message: dict[str, Any] = {"role": "assistant", "content": draw(_TEXT_CONTENT), "cache_control": draw(_MARKER)}
    message |= draw(_NAME)
    calls: list[dict[str, Any]] = []
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        id, name = draw(_IDS), draw(_NAMES)
        if draw(st.integers(0, 4)):
            calls.append({"id": id, "type": "function", "function": {"name": name, "arguments": draw(_ARGUMENTS)}})
        else:
            calls.append({"id": id, "type": "custom", "custom": {"name": name, "input": draw(TEXT)}})
    if calls:
        message["tool_calls"] = calls
    rare = draw(st.integers(0, 9))
    if rare == 0:
        message["thinking_blocks"] = draw(_THOUGHTS)
    elif rare == 1:
        message["reasoning_details"] = [{"type": "reasoning.text", "text": "hm", "signature": "c2ln"}]
    elif rare == 2:
        message["refusal"] = draw(TEXT)
    elif rare == 3:
        message["function_call"] = {"name": "get_weather", "arguments": draw(_ARGUMENTS)}
    return message


@st.composite
def _exchange(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What a well-behaved client sends: an assistant message, then most or all results of its calls in any order."""
    message = draw(_answer())
    results = [
        {"role": "tool", "tool_call_id": c["id"], "content": draw(_CONTENT)} for c in message.get("tool_calls", ())
    ]
    if "function_call" in message:
        results.append({"role": "function", "name": "get_weather", "content": draw(_TEXT_CONTENT)})
    results = list(draw(st.permutations(results)))
    if results and draw(st.integers(0, 4)) == 0:  # a reminder or a remark comes between a call and its result
        between = {"role": draw(st.sampled_from(["system", "developer", "user"])), "content": draw(WORDS)}
        results.insert(draw(st.integers(0, len(results))), between)
    return [message, *(results[1:] if draw(st.integers(0, 9)) == 0 else results)]


@st.composite
def _stray(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One message of any role, whatever comes before it."""
    role = draw(st.sampled_from(["user", "user", "assistant", "tool", "system", "developer", "function"]))
    if role == "user":
        return [{"role": role, "content": draw(_CONTENT), "cache_control": draw(_MARKER), **draw(_NAME)}]
    if role == "tool":
        return [{"role": role, "tool_call_id": draw(_IDS), "content": draw(_CONTENT), "cache_control": draw(_MARKER)}]
    if role == "function":
        return [{"role": role, "name": draw(_NAMES), "content": draw(_TEXT_CONTENT)}]
    if role == "assistant":
        return [draw(_answer())]
    return [{"role": role, "content": draw(_TEXT_CONTENT), "cache_control": draw(_MARKER), **draw(_NAME)}]


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    """A request whose messages come in any order and repetition, mostly with tools."""
    steps = draw(st.lists(st.one_of(_exchange(), _stray()), min_size=1, max_size=7))
    roles = draw(st.lists(st.sampled_from(["system", "developer"]), max_size=2))
    messages = [{"role": role, "content": draw(_TEXT_CONTENT), "cache_control": draw(_MARKER)} for role in roles]
    messages += [message for step in steps for message in step]
    end = draw(st.sampled_from(["as it is", "user", "user", "user", "begun answer"]))
    if end == "user":
        messages.append({"role": "user", "content": draw(_CONTENT)})
    elif end == "begun answer":
        messages.append({"role": "assistant", "content": draw(st.sampled_from(["{ ", "Sure:\n\n", "["]))})
    body: dict[str, Any] = {"model": "claude", "messages": messages}
    return body | ({"tools": TOOLS} if draw(st.integers(0, 4)) else {})


_FUNCTION = {"function": {"name": "get_weather"}}


def _allowed(mode: str, *tools: dict[str, Any]) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}


def _by_schema(schema: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"schema": schema, **fields}}


_FORMATS: list[Any] = [
    {"type": "text"}, {"type": "json_object"}, _by_schema(_SCHEMA),
    _by_schema({"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}}, name="n", strict=True),
    _by_schema({"anyOf": [_SCHEMA, {}]}, name="get_weather"), {"type": "grammar"}, {"type": "json_schema"},
]  # fmt: skip
#: All fields except messages and tools, and one that does not exist, each with valid values and some invalid ones.
FIELDS: dict[str, list[Any]] = {
    "max_tokens": [1, 1025, 5000, 10**9, 0],
    "max_completion_tokens": [2, 4096, 10**9],
    "temperature": [0, 0.3, 1, 1.7, 2, 2.1],
    "top_p": [0.5, 1],
    "top_k": [5],
    "stop": ["END", ["a", "", " ", "a"], []],
    "tool_choice": ["none", "auto", "required", "maybe", _FUNCTION | {"type": "function"},
                    {"type": "custom", "custom": {"name": "shell"}}, _allowed("auto", _FUNCTION), _allowed("required")],
    "parallel_tool_calls": [True, False],
    "functions": [[{"name": "legacy", "parameters": {}}], []],
    "function_call": ["auto", "none", {"name": "legacy"}],
    "response_format": _FORMATS,
    "reasoning_effort": ["none", "minimal", "low", "high", "max", "default", "huge", {"effort": "medium"}],
    "reasoning": [{"max_tokens": 2000}, {"effort": "xhigh", "exclude": True}, {"enabled": False}, {"enabled": True}],
    "thinking": [{"type": "enabled", "budget_tokens": 2048}, {"type": "adaptive"}, {"type": "disabled"},
                 {"type": "between_tools"}, {"type": "deep"}],
    "output_config": [{"effort": "low"}, {"effort": "max"}, {"effort": "huge"}],
    "web_search_options": [{}, {"user_location": {"approximate": {"country": "CH"}}}],
    "cache_control": [{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}, {"ttl": "9d"}],
    "user": ["ann"],
    "safety_identifier": ["bea"],
    "stream": [True, False],
    "stream_options": [{"include_usage": True}, {"include_usage": False}],
    "n": [1, 2],
    "seed": [1],
    "logprobs": [False, True],
    "top_logprobs": [0, 3],
    "logit_bias": [{}, {"50256": -100}],
    "frequency_penalty": [0, 0.5],
    "presence_penalty": [0, -1],
    "metadata": [{}, {"a": "b"}],
    "store": [True, False],
    "service_tier": ["auto", "flex"],
    "verbosity": ["low", "medium"],
    "prompt_cache_key": ["k"],
    "prompt_cache_options": [{"mode": "explicit"}],
    "prompt_cache_retention": ["24h"],
    "prediction": [{"type": "content", "content": "x"}],
    "modalities": [["text"], ["text", "audio"]],
    "audio": [{"voice": "alloy", "format": "wav"}],
    "moderation": [{"model": "m"}],
    "guided_json": [{}],
}  # fmt: skip
#: Fields that affect each other.
_RELATED = [
    ("temperature", "top_p", "top_k"), ("max_tokens", "max_completion_tokens", "thinking"),
    ("reasoning_effort", "reasoning", "thinking", "output_config"), ("tool_choice", "parallel_tool_calls", "thinking"),
    ("response_format", "tool_choice", "reasoning_effort"), ("functions", "function_call"),
    ("user", "safety_identifier"), ("stream", "stream_options"),
]  # fmt: skip
#: Values that every model rejects: rare, so that most requests are valid.
_REFUSED = ("n", "logprobs", "top_logprobs", "modalities", "audio", "moderation")


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A conversation with a few of all the other fields."""
    body = draw(conversations())
    allowed = [name for name in FIELDS if name not in _REFUSED or draw(st.integers(0, 9)) == 0]
    related = draw(st.lists(st.sampled_from(draw(st.sampled_from(_RELATED))), max_size=2, unique=True))
    for name in [*related, *draw(st.lists(st.sampled_from(allowed), max_size=4, unique=True))]:
        body[name] = draw(st.sampled_from(FIELDS[name]))
    return body


@st.composite
def marked_once(draw: st.DrawFn) -> dict[str, Any]:
    """A conversation with one cache marker, on a message or a text part that may be blank."""
    body = draw(conversations())
    markable: list[dict[str, Any]] = []
    for message in body["messages"]:
        message.pop("cache_control", None)
        parts = message["content"] if isinstance(message["content"], list) else []
        for part in parts:
            part.pop("cache_control", None)
        markable += [] if message["role"] == "function" else [message]
        markable += [part for part in parts if part["type"] == "text"]
    if markable:
        draw(st.sampled_from(markable))["cache_control"] = {"type": "ephemeral"}
    return body
