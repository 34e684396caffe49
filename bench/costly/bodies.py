"""Requests that cost more than their length, as far as known: attacks by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from bench.costly.forms import Grower, Json, object_schema, of_size, small, with_answer, with_tools
from bench.costly.schemas import SCHEMAS


def _chat(messages: Callable[[int], list[Any]]) -> Grower:
    return lambda n: small("chat") | {"messages": messages(n)}


def _input(items: Callable[[int], list[Any]]) -> Grower:
    return lambda n: small("responses") | {"input": items(n)}


def _call(id: str, name: str = "f") -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}}


def _allowed(n: int) -> Json:
    names = [{"type": "function", "function": {"name": f"f{i % 500}"}} for i in range(n)]
    tools = [("f" + str(i), object_schema(), False) for i in range(500)]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": names}}
    return with_tools("chat", tools) | {"tool_choice": choice}


def _allowed_responses(n: int) -> Json:
    half = max(1, n // 2)
    tools = [(f"f{i}", object_schema(), False) for i in range(half)]
    names = [{"type": "function", "name": f"f{i}"} for i in range(half)]
    return with_tools("responses", tools) | {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": names}}


def _namespaces(n: int) -> Json:
    """Names that collide upstream."""
    tools = [
        {"type": "namespace", "name": f"a{'_' * i}", "tools": [{"type": "function", "name": f"{'_' * (n - i)}b"}]}
        for i in range(n)
    ]
    return small("responses") | {"tools": tools}


#: Form -> name -> body.
BODIES: Final[dict[str, dict[str, Grower]]] = {
    "chat": {
        "allowed tools": _allowed,
        "repeated ids": _chat(lambda n: [{"role": "assistant", "tool_calls": [_call("x") for _ in range(n)]}]),
        "legacy ids": _chat(lambda n: [{"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}] * n),
        "ids without results": _chat(
            lambda n: [{"role": "assistant", "tool_calls": [_call(f"c{i}")]} for i in range(n)]
        ),
        "results without calls": _chat(
            lambda n: [{"role": "tool", "tool_call_id": f"c{i}", "content": "x"} for i in range(n)]
        ),
        "long ids": _chat(
            lambda n: [{"role": "assistant", "tool_calls": [_call("x" * 60 + f"_{i}") for i in range(n)]}]
        ),
        "system turns": _chat(lambda n: [{"role": r, "content": "x"} for _ in range(n) for r in ("user", "system")]),
        "leading system": _chat(
            lambda n: [{"role": "system", "content": "x"}] * n + [{"role": "user", "content": "x"}]
        ),
        "breakpoints": _chat(
            lambda n: [
                {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * n}
            ]
        ),
        "half a character": _chat(lambda n: [{"role": "user", "content": "\ud83d"} for _ in range(n)]),
        "urls": _chat(
            lambda n: [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image_url",
                            "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"},
                        }
                        for i in range(n)
                    ],
                }
            ]
        ),
        "nested arguments": _chat(
            lambda n: [
                {
                    "role": "assistant",
                    "tool_calls": [
                        {**_call(f"x{i}"), "function": {"name": "f", "arguments": "[" * 90 + "]" * 90}}
                        for i in range(n)
                    ],
                }
            ]
        ),
        "functions": lambda n: small("chat") | {"functions": [{"name": f"f{i}"} for i in range(n)]},
        "tools named alike": lambda n: with_tools(
            "chat", [("é" * 3 + str(i), object_schema(), False) for i in range(n)]
        ),
        "unknown types": lambda n: (
            small("chat") | {"messages": [{"role": "user", "content": [{"type": "input_text", "text": "x"}] * n}]}
        ),
        "answer in calls": _chat(
            lambda n: [
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": f"t{i}", "name": "f", "input": {}} for i in range(n)],
                }
            ]
        ),
        "thinking": _chat(
            lambda n: [
                {
                    "role": "assistant",
                    "content": "x",
                    "thinking_blocks": [{"type": "thinking", "thinking": "x", "signature": "s"}] * n,
                }
            ]
        ),
    },
    "responses": {
        "allowed tools": _allowed_responses,
        "colliding names": _namespaces,
        "repeated ids": _input(
            lambda n: [{"type": "function_call", "call_id": "x", "name": "f", "arguments": "{}"} for _ in range(n)]
        ),
        "without results": _input(
            lambda n: [{"type": "function_call", "call_id": f"x{i}", "name": "f", "arguments": "{}"} for i in range(n)]
        ),
        "results": _input(
            lambda n: [{"type": "function_call_output", "call_id": f"x{i}", "output": "x"} for i in range(n)]
        ),
        "references": _input(lambda n: [{"type": "item_reference", "id": f"x{i}"} for i in range(n)]),
        "reasoning": _input(
            lambda n: [{"type": "reasoning", "id": f"x{i}", "summary": [], "encrypted_content": "x"} for i in range(n)]
        ),
        "half a character": _input(lambda n: [{"role": "user", "content": "\ud83d"} for _ in range(n)]),
        "namespaces": lambda n: (
            small("responses")
            | {
                "tools": [
                    {
                        "type": "namespace",
                        "name": "a",
                        "tools": [{"type": "function", "name": f"f{i}"} for i in range(n)],
                    }
                ]
            }
        ),
        "unknown items": _input(lambda n: [{"type": f"unknown{i}"} for i in range(n)]),
        "system turns": _input(
            lambda n: [{"role": r, "content": "x"} for _ in range(n) for r in ("user", "developer")]
        ),
    },
    "messages": {
        "odd keys in calls": lambda n: (
            small("messages")
            | {
                "tools": [{"name": "f", "input_schema": object_schema(properties={"ä": {}})}],
                "messages": [
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "tool_use", "id": f"x{i}", "name": "f", "input": {"ä": 1}} for i in range(n)
                        ],
                    }
                ],
            }
        ),
        "odd keys in messages": lambda n: (
            small("messages")
            | {
                "tools": [{"name": "f", "input_schema": object_schema(properties={"ä": {}})}],
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": f"x{i}", "name": "f", "input": {"ä": 1}}],
                    }
                    for i in range(n)
                ],
            }
        ),
        "scopes": lambda n: (
            small("messages")
            | {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "scope": "global"}}
                        ]
                        * n,
                    }
                ]
            }
        ),
        "half a character": lambda n: (
            small("messages") | {"messages": [{"role": "user", "content": "\ud83d"} for _ in range(n)]}
        ),
        "nested blocks": lambda n: (
            small("messages") | {"messages": [{"role": "user", "content": [_nested_block(7)] * n}]}
        ),
        "many fields": lambda n: small("messages") | {f"f{i}": 0 for i in range(n)},
        "many tools": lambda n: (
            small("messages") | {"tools": [{"name": f"f{i}", "input_schema": object_schema()} for i in range(n)]}
        ),
        "thinking": lambda n: (
            small("messages")
            | {
                "messages": [
                    {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "s"}] * n}
                ]
            }
        ),
    },
}


def _nested_block(levels: int) -> Json:
    return {"type": "tool_result", "content": [_nested_block(levels - 1)]} if levels else {"type": "text", "text": "x"}


def _one_tool(form: str, schema: Grower, strict: bool, count: int) -> Json:
    return with_tools(form, [("f", schema(count), strict)])


def _many_tools(form: str, schema: Grower, strict: bool, count: int) -> Json:
    return with_tools(form, [(f"f{i}", schema(6 + i % 8), strict) for i in range(count)])


def _answer(form: str, schema: Grower, count: int) -> Json:
    return with_answer(form, schema(count))


def known(form: str, size: int) -> Iterator[tuple[str, bytes]]:
    """The attacks by hand, of about ``size`` bytes each."""
    for name, make in BODIES[form].items():
        yield name, of_size(make, size)
    for name, schema in SCHEMAS.items():
        for strict in (False, True) if form != "messages" else (False,):
            label = f"{name}, strict tool" if strict else f"{name}, tool"
            yield label, of_size(partial(_one_tool, form, schema, strict), size)
        for strict in (False, True) if form != "messages" else (False,):
            label = f"{name}, many {'strict ' if strict else ''}tools"
            yield (
                label,
                of_size(
                    partial(_many_tools, form, schema, strict),
                    size,
                ),
            )
        yield f"{name}, answer", of_size(partial(_answer, form, schema), size)
