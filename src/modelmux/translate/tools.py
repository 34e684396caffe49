"""Tool definitions and tool choice."""

from __future__ import annotations

from typing import Any, Final, Literal

from modelmux.errors import InvalidRequest
from modelmux.translate.context import Context
from modelmux.translate.names import tool_name
from modelmux.wire import anthropic
from modelmux.wire.openai_chat import (
    AllowedToolsChoice,
    ChatRequest,
    CustomChoice,
    FunctionChoice,
    FunctionTool,
)

#: Name of the tool that is sent where only the history has tools. It cannot be called: the choice is "none".
STAND_IN: Final = "unavailable"

_CHOICES: Final[dict[str, Literal["auto", "any", "none"]]] = {"auto": "auto", "required": "any", "none": "none"}


def translate_tools(request: ChatRequest, ctx: Context) -> list[anthropic.Tool] | None:
    """Tools in the client's order, schemas with their keys in the client's order; None when there are none.

    :raises InvalidRequest: two tools with one name, or a kind of tool Claude has no form for.
    """
    tools: list[anthropic.Tool] = []
    seen: dict[str, int] = {}
    for index, tool in enumerate(request.tools or ()):
        where = f"tools.{index}"
        if not isinstance(tool, FunctionTool):
            raise InvalidRequest(
                "Custom tools are not supported.", param=f"{where}.type", hint="Declare a function with one string."
            )
        name = tool_name(tool.function.name, ctx, f"{where}.function.name")
        if name in seen:
            raise InvalidRequest(
                f"Tool names must be unique: tools {seen[name]} and {index} have the same name.",
                param=f"{where}.function.name",
            )
        seen[name] = index
        if tool.function.strict:
            ctx.notices.add("ignored", f"{where}.function.strict", "Arguments are not constrained to the schema.")
        tools.append(anthropic.Tool(name, input_schema(tool.function.parameters), tool.function.description or None))
    return tools or None


def input_schema(parameters: dict[str, Any] | None) -> dict[str, Any]:
    """A schema whose root is an object, which Anthropic requires; otherwise the client's own."""
    if not parameters:
        return {"type": "object", "properties": {}}
    if parameters.get("type") == "object":
        return parameters
    return {"type": "object", **{k: v for k, v in parameters.items() if k != "type"}}


def tools_of_history(messages: list[anthropic.InputMessage]) -> list[anthropic.Tool] | None:
    """A stand-in where the history used tools and the request defines none: Anthropic wants ``tools`` there.

    Always the same one, whatever the history used: tools come first in the prompt, so a list that grew with the
    conversation would re-bill all of it.
    """
    used = any(isinstance(block, anthropic.ToolUseBlock) for message in messages for block in message.content)
    return [anthropic.Tool(STAND_IN, input_schema(None), "Not available.")] if used else None


def translate_tool_choice(request: ChatRequest, ctx: Context) -> anthropic.ToolChoice | None:
    """``none``, ``auto``, ``required`` and a named function; None where the default says the same.

    :raises InvalidRequest: a choice that needs tools without any, an unknown word or name, or a forced choice on a
        model that takes none.
    """
    choice = request.tool_choice
    single = request.parallel_tool_calls is False
    if not request.tools:
        if choice not in (None, "auto", "none"):
            raise InvalidRequest("'tool_choice' is only allowed when 'tools' are given.", param="tool_choice")
        return None
    if choice is None:
        return anthropic.ToolChoice("auto", disable_parallel_tool_use=True) if single else None
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise InvalidRequest(
                "Invalid value for 'tool_choice'.", param="tool_choice", hint="Use none, auto, required or a function."
            )
        kind = _CHOICES[choice]
        if kind == "any":
            _check_forced(ctx)
        return anthropic.ToolChoice(kind, disable_parallel_tool_use=single and kind != "none")
    return _named(choice, request, single, ctx)


def _named(
    choice: FunctionChoice | CustomChoice | AllowedToolsChoice, request: ChatRequest, single: bool, ctx: Context
) -> anthropic.ToolChoice:
    if not isinstance(choice, FunctionChoice):
        raise InvalidRequest(
            "This form of 'tool_choice' is not supported.", param="tool_choice.type", hint="Name a function."
        )
    name = choice.function.name
    if all(isinstance(t, FunctionTool) and t.function.name != name for t in request.tools or ()):
        raise InvalidRequest("'tool_choice' names a function that is not in 'tools'.", param="tool_choice")
    _check_forced(ctx)
    return anthropic.ToolChoice("tool", tool_name(name, ctx, "tool_choice"), disable_parallel_tool_use=single)


def _check_forced(ctx: Context) -> None:
    if ctx.card.forced_tool_choice == "reject":
        raise InvalidRequest(
            "This model cannot be forced to call a tool.",
            param="tool_choice",
            hint="Use tool_choice 'auto' and say in the prompt that the tool must be used, or choose another model.",
        )
