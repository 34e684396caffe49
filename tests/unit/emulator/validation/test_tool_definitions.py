"""Tool definitions, tool choice, and the limits on all tools of a request together."""

from __future__ import annotations

from typing import Any

import pytest

from support.emulator_calls import ask, body_of, emulator, error_message, text, tool

APP = emulator()
OBJECT = {"type": "object", "additionalProperties": False}


def schema(**properties: Any) -> dict[str, Any]:
    return {**OBJECT, "properties": properties, "required": list(properties)}


def formatted(wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
    return body_of(output_config={"format": {"type": "json_schema", "schema": wanted}}, **more)


def strict(name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "input_schema": wanted, "strict": True}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tools": [tool("a"), tool("a")]}, "tools: Tool names must be unique."),
        ({"tool_choice": {"type": "auto"}}, "tool_choice: `tool_choice` may only be specified while providing `tools`"),
        (
            {"tools": [tool("a")], "tool_choice": {"type": "tool", "name": "b"}},
            "tool_choice: Tool 'b' not found in provided tools",
        ),
        (
            {"tools": [{"name": "a", "input_schema": {"type": "object", "anyOf": []}}]},
            "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
        ),
        ({"tools": [tool("a", defer_loading=True)]}, "tools.0.custom.defer_loading: Extra inputs are not permitted"),
        (
            {
                "tools": [
                    {
                        "type": "web_search_20250305",
                        "name": "web_search",
                        "allowed_domains": ["a.example"],
                        "blocked_domains": ["b.example"],
                    }
                ]
            },
            "tools.0.web_search_20250305: Only one of `allowed_domains` or `blocked_domains` may be specified",
        ),
    ],
)
async def test_a_wrong_tool_is_rejected(fields: dict[str, Any], words: str) -> None:
    assert await error_message(APP, body_of(**fields)) == words


async def test_limits_on_all_schemas_of_a_request_together() -> None:
    many = [strict(f"t{n}", schema()) for n in range(21)]
    assert (await error_message(APP, body_of(tools=many))).startswith("Too many strict tools (21).")
    assert (await ask(APP, body_of(tools=many[:20]))).status == 200
    optional = {**OBJECT, "properties": {f"p{n}": {"type": "string"} for n in range(25)}}
    assert "Schemas contains too many optional parameters (25)" in await error_message(APP, formatted(optional))
    unions = schema(**{f"p{n}": {"type": ["string", "null"]} for n in range(17)})
    assert "too many parameters with union types (17" in await error_message(APP, formatted(unions))
    assert "too many optional parameters (26)" in await error_message(
        APP,
        formatted(
            {**OBJECT, "properties": {f"p{n}": {"type": "string"} for n in range(13)}},
            tools=[strict("a", {**OBJECT, "properties": {f"p{n}": {"type": "string"} for n in range(13)}})],
        ),
    )


async def test_structured_output_excludes_citations_and_prefill() -> None:
    document = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "x"},
        "citations": {"enabled": True},
    }
    assert "citations" in await error_message(
        APP, formatted(schema(), messages=[{"role": "user", "content": [document, text("x")]}])
    )
    prefilled = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "{"}]
    assert "prefill" in await error_message(APP, formatted(schema(), messages=prefilled))


async def test_strict_tools_need_a_model_that_has_structured_output() -> None:
    message = await error_message(APP, body_of(tools=[strict("a", schema())]), model="claude-opus-4-1@20250805")
    assert message == "tools.0.custom.strict: Extra inputs are not permitted"


async def test_the_newest_computer_tool_is_not_on_the_newest_models() -> None:
    computer = {"type": "computer_20251124", "name": "computer", "display_width_px": 800, "display_height_px": 600}
    beta = "computer-use-2025-11-24"
    assert "computer_20251124" in await error_message(
        APP, body_of(tools=[computer]), model="claude-opus-5-5", betas=beta
    )
    assert (await ask(APP, body_of(tools=[computer]), model="claude-opus-5", betas=beta)).status == 200
