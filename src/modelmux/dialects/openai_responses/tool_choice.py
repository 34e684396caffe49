"""Which tools may, must or must not be called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from modelmux.dialects.openai_responses.local_tools import LOCAL_TOOLS
from modelmux.dialects.openai_responses.tools import ToolTable
from modelmux.dialects.openai_shared.foreign.rewrite import is_type_name
from modelmux.dialects.openai_shared.tools import listed, quoted, undeclared
from modelmux.dialects.openai_shared.web_search import is_web_search
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import Tool, ToolChoice
from modelmux.wire.openai import responses_request as wire

_WORDS: Final[dict[str, Literal["auto", "any", "none"]]] = {
    "auto": "auto",
    "required": "any",
    "any": "any",  # the word of several other providers
    "none": "none",
}
#: Types of a choice that names a tool; the last one is Anthropic's.
_NAMED: Final = ("function", "custom", "tool")


def translate_tool_choice(
    choice: str | wire.ToolChoice | None, table: ToolTable, *, parallel: bool
) -> tuple[list[Tool], ToolChoice | None]:
    """The tools to send and the choice among them; None if it equals the default.

    :raises InvalidRequest: a choice that needs tools without any, or an unknown word or name.
    """
    tools: list[Tool] = table.tools
    if isinstance(choice, wire.ToolChoice) and choice.disable_parallel_tool_use is not None:
        parallel = parallel and not choice.disable_parallel_tool_use
    if isinstance(choice, wire.ToolChoice) and choice.type == "allowed_tools":
        inner = choice.allowed_tools or choice
        tools = _allowed(inner.tools or (), table)
        choice = inner.mode or "auto"
    if isinstance(choice, wire.ToolChoice) and choice.type in _WORDS:  # Anthropic's form
        choice = choice.type
    if isinstance(choice, str) and choice not in _WORDS:
        choice = _by_name(choice, table)
    if isinstance(choice, wire.ToolChoice):
        return tools, ToolChoice("tool", _named(choice, table), disable_parallel_tool_use=not parallel)
    if choice == "none":
        table.web_search = None  # it is one of the tools here
    if not tools and table.web_search is None:
        if choice in ("required", "any"):
            raise InvalidRequest(
                "'tool_choice' requires a tool call, but no tool is available.",
                param="tool_choice",
                hint="Define a tool that is not left out, or use tool_choice 'auto'.",
            )
        return tools, None
    if choice is None or choice == "auto":
        plain = not tools or (parallel and choice is None)
        return tools, None if plain else ToolChoice("auto", disable_parallel_tool_use=not parallel)
    word = _WORDS[choice]
    if word == "none":
        return tools, ToolChoice("none") if tools else None
    return tools, ToolChoice(word, disable_parallel_tool_use=not parallel)


def _by_name(word: str, table: ToolTable) -> wire.ToolChoice:
    """A tool's name, or a spelling of web search, alone.

    :raises InvalidRequest: neither.
    """
    if table.find(word) is not None:
        return wire.ToolChoice(name=word)
    if is_web_search(word):
        return wire.ToolChoice(type=word)
    raise InvalidRequest(
        f"Invalid value for 'tool_choice': {quoted(word) or 'it'} is neither a mode nor a tool of 'tools'.",
        param="tool_choice",
        hint=f"Use none, auto, required or a tool; 'tools' declares {listed(table.declared)}.",
    )


def _named(choice: wire.ToolChoice, table: ToolTable) -> str:
    """:raises InvalidRequest: a tool that is not among those sent."""
    name = _find(choice.type, choice, table)
    if name is None:
        message = f"'tool_choice' names {_shown(choice)}, which is not in 'tools', or was left out."
        raise undeclared(message, table.declared, "tool_choice")
    return name


def _shown(choice: wire.ToolChoice | wire.AllowedTool) -> str:
    """A tool by its name, or by its type, as an error shows it."""
    named = choice.function or choice.custom or choice
    if choice.type not in _NAMED:
        return f"a tool of type '{choice.type}'" if is_type_name(choice.type) else "a tool"
    shown = quoted(f"{named.namespace}.{named.name}" if named.namespace else named.name)
    return "a tool" if shown is None else f"the tool {shown}"


def _find(kind: str, choice: wire.ToolChoice | wire.AllowedTool, table: ToolTable) -> str | None:
    if kind in LOCAL_TOOLS:
        return table.find_local(kind)
    if is_web_search(kind):
        return table.web_search.name if table.web_search is not None else None
    named = choice.function or choice.custom or choice
    if kind not in _NAMED or named.name is None:
        return None
    return table.find(named.name, named.namespace)


def _allowed(allowed: Sequence[wire.AllowedTool], table: ToolTable) -> list[Tool]:
    """The subset a client allows, in the order of the definitions.

    :raises InvalidRequest: no tool at all.
    """
    names = {_find(entry.type, entry, table) for entry in allowed}
    tools = [tool for tool in table.tools if tool.name in names]
    searches = table.web_search is not None and table.web_search.name in names
    wants_left_out = table.has_left_out_search and any(is_web_search(entry.type) for entry in allowed)
    if not tools and not searches and not wants_left_out:  # of what was left out, a notice tells
        field = "tool_choice.tools"
        if not allowed:
            hint = "Name one of 'tools', or use tool_choice 'none'."
            raise InvalidRequest("No tool is allowed.", param=field, hint=hint)
        message = f"No tool is allowed: {_shown(allowed[0])} is not in 'tools', or was left out."
        raise undeclared(message, table.declared, field)
    if not searches:
        table.web_search = None
    return tools
