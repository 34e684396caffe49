"""Which tools may, must or must not be called."""

from __future__ import annotations

from typing import Any, Final, Literal

from modelmux.claude.context import Context
from modelmux.claude.identifiers import clean
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import Tool, ToolChoice
from modelmux.wire.openai.chat_request import (
    AllowedToolsChoice,
    ChatRequest,
    CustomChoice,
    FunctionChoice,
    NamedFunction,
)

Choice = str | FunctionChoice | CustomChoice | AllowedToolsChoice | None
_WORDS: Final[dict[str, Literal["auto", "any", "none"]]] = {
    "auto": "auto",
    "required": "any",
    "any": "any",  # what several other providers call it
    "none": "none",
}


def translate_tool_choice(
    request: ChatRequest, tools: list[Tool], ctx: Context
) -> tuple[list[Tool], ToolChoice | None]:
    """The tools to send and the choice among them; None where the default says the same.

    :raises InvalidRequest: a choice that needs tools without any, an unknown word or name, or a forced choice on a
        model that cannot be forced.
    """
    choice = _asked(request)
    single = request.parallel_tool_calls is False or bool(request.functions and not request.tools)
    if not tools:
        if choice not in (None, "auto", "none"):
            raise InvalidRequest("'tool_choice' is only allowed when 'tools' are given.", param="tool_choice")
        return tools, None
    if isinstance(choice, AllowedToolsChoice):
        tools = _allowed(choice, tools)
        choice = choice.allowed_tools.mode
    if choice is None or choice == "auto":
        return tools, ToolChoice("auto", disable_parallel_tool_use=single) if single or choice else None
    if isinstance(choice, str):
        if choice not in _WORDS:
            raise InvalidRequest(
                "Invalid value for 'tool_choice'.", param="tool_choice", hint="Use none, auto, required or a function."
            )
        return tools, forced(ToolChoice(_WORDS[choice], disable_parallel_tool_use=single and choice != "none"), ctx)
    assert not isinstance(choice, AllowedToolsChoice)
    name = clean((choice.function if isinstance(choice, FunctionChoice) else choice.custom).name)
    if all(tool.name != name for tool in tools):
        raise InvalidRequest("'tool_choice' names a tool that is not in 'tools'.", param="tool_choice")
    return tools, forced(ToolChoice("tool", name, disable_parallel_tool_use=single), ctx)


def forced(choice: ToolChoice, ctx: Context) -> ToolChoice:
    """A forced choice, where the model can be forced; else an error, or ``auto`` if the operator prefers that.

    :raises InvalidRequest: the model cannot be forced.
    """
    if choice.type not in ("any", "tool") or ctx.card.forced_tool_choice != "reject":
        return choice
    if ctx.options.forced_tool_choice == "downgrade":
        ctx.notices.add("changed", "tool_choice", "This model cannot be forced to call a tool: 'auto' is used.")
        return ToolChoice("auto", disable_parallel_tool_use=choice.disable_parallel_tool_use)
    raise InvalidRequest(
        "This model cannot be forced to call a tool.",
        param="tool_choice",
        hint="Use tool_choice 'auto' and say in the prompt that the tool must be used, or choose another model.",
    )


def _asked(request: ChatRequest) -> Choice:
    """``tool_choice``, or the legacy ``function_call`` in its place."""
    if request.tool_choice is None and isinstance(request.function_call, NamedFunction):
        return FunctionChoice(request.function_call)
    return request.tool_choice if request.tool_choice is not None else _word(request.function_call)


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _allowed(choice: AllowedToolsChoice, tools: list[Tool]) -> list[Tool]:
    """The subset a client allows, in the order of the definitions.

    :raises InvalidRequest: a name that is not defined, or none at all.
    """
    wanted: set[str] = set()
    for index, entry in enumerate(choice.allowed_tools.tools):
        inner = entry.get("function") or entry.get("custom") or entry
        name = inner.get("name") if isinstance(inner, dict) else None
        if not isinstance(name, str) or all(tool.name != clean(name) for tool in tools):
            where = f"tool_choice.allowed_tools.tools.{index}"
            raise InvalidRequest("An allowed tool is not in 'tools'.", param=where, hint="Define it in 'tools'.")
        wanted.add(clean(name))
    if not wanted:
        where = "tool_choice.allowed_tools.tools"
        raise InvalidRequest("No tool is allowed.", param=where, hint="Name one, or use tool_choice 'none'.")
    return [tool for tool in tools if tool.name in wanted]
