"""A request with one of everything, and requests in which each of its lists, objects and strings in turn is grown."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from bench.costly.forms import MODEL, Grower, Json, object_schema, of_size

_SCHEMA: Final = object_schema(
    properties={
        "a": {"type": "string", "pattern": "^a+$", "description": "x", "enum": ["a", "b"]},
        "b": {"type": "array", "items": {"$ref": "#/$defs/d"}, "minItems": 1},
        "c": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 0}], "default": None},
    },
    required=["a"],
    **{"$defs": {"d": {"type": "object", "properties": {"e": {"type": "number"}}}}},
)
_IMAGE: Final = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
EVERYTHING: Final[dict[str, Json]] = {
    "chat": {
        "model": MODEL,
        "max_tokens": 100,
        "temperature": 0.5,
        "stop": ["x"],
        "user": "u",
        "metadata": {"a": "b"},
        "stream": False,
        "parallel_tool_calls": True,
        "prompt_cache_key": "k",
        "reasoning_effort": "low",
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
        },
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": _SCHEMA, "strict": True}},
            {"type": "custom", "custom": {"name": "g", "description": "d", "format": {"type": "text"}}},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": _SCHEMA, "strict": True}},
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
            {
                "role": "user",
                "name": "n",
                "content": [
                    {"type": "text", "text": "x"},
                    {"type": "image_url", "image_url": {"url": _IMAGE, "detail": "low"}},
                ],
            },
            {
                "role": "assistant",
                "content": "x",
                "reasoning_content": "r",
                "thinking_blocks": [{"type": "thinking", "thinking": "x", "signature": "s"}],
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
                    {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "x"}]},
            {"role": "tool", "tool_call_id": "c2", "content": "x"},
            {"role": "developer", "content": "x"},
            {"role": "user", "content": "x"},
        ],
    },
    "responses": {
        "model": MODEL,
        "instructions": "x",
        "max_output_tokens": 100,
        "store": True,
        "metadata": {"a": "b"},
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "a", "schema": _SCHEMA}, "verbosity": "low"},
        "tools": [
            {"type": "function", "name": "f", "description": "d", "parameters": _SCHEMA, "strict": True},
            {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
            {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "h", "parameters": _SCHEMA}]},
            {"type": "local_shell"},
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        "input": [
            {"role": "developer", "content": [{"type": "input_text", "text": "x"}]},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": _IMAGE}],
            },
            {
                "type": "reasoning",
                "id": "r",
                "summary": [{"type": "summary_text", "text": "x"}],
                "encrypted_content": "x",
            },
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "x"}]},
            {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "x"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": []}]},
            {"role": "user", "content": "x"},
        ],
    },
    "messages": {
        "model": MODEL,
        "max_tokens": 100,
        "metadata": {"user_id": "u"},
        "stop_sequences": ["x"],
        "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "f", "description": "d", "input_schema": _SCHEMA, "input_examples": [{"a": "a"}]}],
        "tool_choice": {"type": "auto"},
        "output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}},
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "x"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "x", "signature": "s"},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": "a"}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "x"}]}],
            },
        ],
    },
}
_NAMING: Final = ("name", "id", "call_id", "tool_call_id", "tool_use_id")
_UNITS: Final = ("a", "\\", "ä", "\u0000", "{", "```", "\n", "\U0001f600")


def grown(form: str, size: int) -> Iterator[tuple[str, bytes]]:
    """Requests of about ``size`` bytes: one part of ``EVERYTHING`` grown in each."""
    for path, value in _places(EVERYTHING[form], ()):
        name = ".".join(map(str, path)) or "."
        if isinstance(value, list):
            for index in range(len(value)):
                yield f"{name}[{index}]", _grow(form, path, partial(_repeated, path, form, index), size)
                if isinstance(value[index], str):
                    yield f"{name}[{index}] distinct", _grow(form, path, partial(_distinct, value[index]), size)
            yield f"{name} lists", _grow(form, path, lambda n: [[]] * n, size)
            yield f"{name} objects", _grow(form, path, lambda n: [{}] * n, size)
        elif isinstance(value, dict):
            yield f"{name} keys", _grow(form, path, partial(_with_keys, value, "k", 0), size)
            yield (
                f"{name} keys alike",
                _grow(form, path, partial(_with_keys, value, "ä ", {}), size),
            )
        elif isinstance(value, str):
            for unit in _UNITS:
                yield f"{name} {unit!r}", _grow(form, path, partial(_longer, value, unit), size)


def _with_keys(value: Json, name: str, member: Any, count: int) -> Json:
    return {**value, **{f"{name}{i}": member for i in range(count)}}


def _longer(value: str, unit: str, count: int) -> str:
    return value + unit * count


def _distinct(value: str, count: int) -> list[str]:
    return [f"{value}{number}" for number in range(count)]


def _places(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    yield path, value
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(part, (*path, key))


def _repeated(path: tuple[str | int, ...], form: str, index: int, count: int) -> list[Any]:
    value: Any = EVERYTHING[form]
    for key in path:
        value = value[key]
    return [*value, *(_renamed(value[index], number) for number in range(count))]


def _renamed(value: Any, number: int) -> Any:
    if isinstance(value, list):
        return [_renamed(part, number) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        k: f"{v}_{number}" if k in _NAMING and isinstance(v, str) else _renamed(v, number) for k, v in value.items()
    }


def _grow(form: str, path: tuple[str | int, ...], make: Grower, size: int) -> bytes:
    def build(count: int) -> Any:
        body = copy.deepcopy(EVERYTHING[form])
        if not path:
            return make(count)
        value: Any = body
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = make(count)
        return body

    return of_size(build, size)
