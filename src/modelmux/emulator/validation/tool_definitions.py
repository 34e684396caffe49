"""Rules on tools and tool choice (anthropic-vertex.md 2, 3, 4.1, 4.3)."""

from __future__ import annotations

from typing import Any, Final

from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.errors import invalid_request
from modelmux.emulator.model.prompt import blocks_of
from modelmux.emulator.validation import json_schema
from modelmux.emulator.validation.betas import TOOL_SEARCH
from modelmux.emulator.validation.checks import field_error

_MAX_STRICT: Final = 20
_MAX_OPTIONAL: Final = 24
_MAX_UNIONS: Final = 16
_FORCED: Final = frozenset({"any", "tool"})


def check_tools(call: EmulatedCall) -> None:
    """Check every rule on tools, tool choice and the schemas the service has to compile.

    :raises ApiError: a rule is violated.
    """
    names = [tool["name"] for tool in call.tools]
    if len(set(names)) != len(names):
        raise invalid_request("tools: Tool names must be unique.")
    for index, tool in enumerate(call.tools):
        _check_tool(call, tool, index)
    _check_choice(call, names)
    _check_compiled_schemas(call)


def _check_tool(call: EmulatedCall, tool: dict[str, Any], index: int) -> None:
    kind = tool.get("type") or "custom"
    if kind == "custom":
        json_schema.check_valid(tool["input_schema"], f"tools.{index}.custom.input_schema")
    if kind == "computer_20251124" and call.commentary_in_thinking:
        raise invalid_request(f"tools.{index}: `{kind}` is not supported on this model")
    if tool.get("allowed_domains") and tool.get("blocked_domains"):
        raise invalid_request(
            f"tools.{index}.{kind}: Only one of `allowed_domains` or `blocked_domains` may be specified"
        )
    if tool.get("defer_loading") and TOOL_SEARCH not in call.betas and not call.counting:
        raise field_error(f"tools.{index}.{kind}.defer_loading", "Extra inputs are not permitted")


def _check_choice(call: EmulatedCall, names: list[str]) -> None:
    choice = call.body.get("tool_choice")
    if choice is None:
        return
    kind = choice["type"]
    if not names:
        if kind != "none":
            raise invalid_request("tool_choice: `tool_choice` may only be specified while providing `tools`")
        return
    if kind == "tool" and choice["name"] not in names:
        raise invalid_request(f"tool_choice: Tool '{choice['name']}' not found in provided tools")
    if kind not in _FORCED:
        return
    if call.card.forced_tool_choice == "reject":
        raise invalid_request(
            f"tool_choice: forcing tool use (`{kind}`) is not supported on this model. Use `auto` or `none`."
        )
    manual = (call.body.get("thinking") or {}).get("type") == "enabled"
    if manual or (call.card.forced_tool_choice == "not_with_thinking" and call.thinking_on):
        raise invalid_request("Thinking may not be enabled when tool_choice forces tool use.")


def _check_compiled_schemas(call: EmulatedCall) -> None:
    """Schemas that constrain the output: strict tools and ``output_config.format``."""
    strict = [(index, tool) for index, tool in enumerate(call.tools) if tool.get("strict")]
    if strict and not call.card.structured_output:
        raise field_error(f"tools.{strict[0][0]}.custom.strict", "Extra inputs are not permitted")
    if len(strict) > _MAX_STRICT:
        raise invalid_request(
            f"Too many strict tools ({len(strict)}). The maximum number of strict tools supported is {_MAX_STRICT}."
        )
    complexity = json_schema.SchemaComplexity()
    for index, tool in strict:
        if "input_schema" in tool:
            json_schema.check_supported(tool["input_schema"], f"tools.{index}.custom.input_schema", complexity)
    if call.output_schema is not None:
        json_schema.check_supported(call.output_schema, "output_config.format.schema", complexity)
        _check_citations(call)
    if complexity.optional > _MAX_OPTIONAL:
        raise invalid_request(
            f"Schemas contains too many optional parameters ({complexity.optional}), which would make grammar "
            "compilation inefficient. Reduce the number of optional parameters in your tool schemas (limit: "
            f"{_MAX_OPTIONAL})."
        )
    if complexity.unions > _MAX_UNIONS:
        raise invalid_request(
            f"Schemas contains too many parameters with union types ({complexity.unions} parameters with type arrays "
            f"or anyOf). This causes exponential compilation cost. Reduce the number of nullable or union-typed "
            f"parameters (limit: {_MAX_UNIONS} parameters with unions)."
        )


def _check_citations(call: EmulatedCall) -> None:
    for message in call.body["messages"]:
        for block in blocks_of(message):
            if (
                (block.get("citations") or {})
                and isinstance(block["citations"], dict)
                and block["citations"].get("enabled")
            ):
                raise invalid_request("output_config.format: structured outputs cannot be combined with citations")
