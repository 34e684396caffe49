"""Which tools may, must or must not be called."""

from __future__ import annotations

from typing import Any, Final, Literal

from modelmux.claude.identifiers import to_valid_identifier
from modelmux.claude.notices import Notices
from modelmux.dialects.openai_shared.foreign.rewrite import unread
from modelmux.dialects.openai_shared.tools import listed, quoted, undeclared
from modelmux.dialects.openai_shared.web_search import is_web_search
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import Tool, ToolChoice
from modelmux.wire.openai.chat_request import (
    AllowedToolsChoice,
    ChatRequest,
    CustomChoice,
    FunctionChoice,
    NamedFunction,
)

#: The name that Vertex AI's web search has.
WEB_SEARCH_NAME: Final = "web_search"
Choice = str | FunctionChoice | CustomChoice | AllowedToolsChoice | None
_WORDS: Final[dict[str, Literal["auto", "any", "none"]]] = {
    "auto": "auto",
    "required": "any",
    "any": "any",  # the word of several other providers
    "none": "none",
}


def translate_tool_choice(
    request: ChatRequest, tools: list[Tool], *, searches: bool = False
) -> tuple[list[Tool], ToolChoice | None, bool]:
    """The tools to send, the choice among them (None if it equals the default), and whether web search is sent.

    :param searches: web search is one of the tools, too.
    :raises InvalidRequest: a choice that needs tools without any, or an unknown word or name.
    """
    choice = _choice(request)
    if isinstance(choice, AllowedToolsChoice):
        tools, searches = _allowed(choice, request, tools, searches=searches)
        choice = choice.allowed_tools.mode
    return tools, _translate(choice, request, tools, searches=searches), searches


def _translate(
    choice: str | FunctionChoice | CustomChoice | None, request: ChatRequest, tools: list[Tool], *, searches: bool
) -> ToolChoice | None:
    single = request.parallel_tool_calls is False or bool(request.functions and not request.tools)
    if not tools:
        if choice in (None, "auto", "none"):
            return None
        if not searches:
            raise InvalidRequest("'tool_choice' is only allowed when 'tools' are set.", param="tool_choice")
    if choice is None or choice == "auto":
        return ToolChoice("auto", disable_parallel_tool_use=single) if single or choice else None
    if isinstance(choice, str):
        if choice not in _WORDS and to_valid_identifier(choice) in {tool.name for tool in tools}:
            return ToolChoice("tool", to_valid_identifier(choice), disable_parallel_tool_use=single)
        if searches and is_web_search(choice):
            return ToolChoice("tool", WEB_SEARCH_NAME, disable_parallel_tool_use=single)
        if choice not in _WORDS:
            field, word = _field(request), quoted(choice) or "it"
            raise InvalidRequest(
                f"Invalid value for '{field}': {word} is neither a mode nor a tool of 'tools'.",
                param=field,
                hint=f"Use none, auto, required or a tool; 'tools' declares {listed(_declared(request, searches))}.",
            )
        return ToolChoice(_WORDS[choice], disable_parallel_tool_use=single and choice != "none")
    named = (choice.function if isinstance(choice, FunctionChoice) else choice.custom).name
    name = to_valid_identifier(named)
    if all(tool.name != name for tool in tools) and not (searches and name == WEB_SEARCH_NAME):
        field, shown = _field(request), quoted(named)
        which = f"the tool {shown}, which" if shown else "a tool that"
        message = f"'{field}' names {which} is not in 'tools'."
        raise undeclared(message, _declared(request, searches), field)
    return ToolChoice("tool", name, disable_parallel_tool_use=single)


def report_unknown(request: ChatRequest, notices: Notices) -> None:
    """A notice for each member of the allowed tools that is not part of their names."""
    if not isinstance(request.tool_choice, AllowedToolsChoice):
        return
    for index, entry in enumerate(request.tool_choice.allowed_tools.tools):
        path = f"tool_choice.allowed_tools.tools.{index}"
        unknown = [f"{path}.{name}" for name in unread(entry, "type", "name", "function", "custom")]
        for kind in ("function", "custom"):
            inner = entry.get(kind)
            unknown += [f"{path}.{kind}.{name}" for name in unread(inner, "name")] if isinstance(inner, dict) else []
        for name in unknown:
            notices.ignore_unknown(name[:80], "Only the name of an allowed tool is read.")


def _field(request: ChatRequest) -> str:
    return "function_call" if request.tool_choice is None else "tool_choice"


def _choice(request: ChatRequest) -> Choice:
    """``tool_choice``, or else the legacy ``function_call``."""
    if request.tool_choice is not None:
        return request.tool_choice
    if isinstance(request.function_call, NamedFunction):
        return FunctionChoice(request.function_call)
    return request.function_call


def _allowed(
    choice: AllowedToolsChoice, request: ChatRequest, tools: list[Tool], *, searches: bool
) -> tuple[list[Tool], bool]:
    """The subset a client allows, in the order of the definitions, and whether web search is allowed.

    :raises InvalidRequest: a name that is not defined, or no name at all.
    """
    defined = {tool.name for tool in tools} | ({WEB_SEARCH_NAME} if searches else set())
    allowed = set()
    for index, entry in enumerate(choice.allowed_tools.tools):
        name = _allowed_name(entry)
        if name is None or to_valid_identifier(name) not in defined:
            field = f"tool_choice.allowed_tools.tools.{index}"
            shown = quoted(name)
            which = f"The allowed tool {shown}" if shown else "An allowed tool"
            raise undeclared(f"{which} is not in 'tools'.", _declared(request, searches), field)
        allowed.add(to_valid_identifier(name))
    if not allowed:
        field = "tool_choice.allowed_tools.tools"
        raise InvalidRequest("No tool is allowed.", param=field, hint="Name one, or use tool_choice 'none'.")
    return [tool for tool in tools if tool.name in allowed], searches and WEB_SEARCH_NAME in allowed


def _allowed_name(entry: dict[str, Any]) -> str | None:
    """The client's name of an allowed tool."""
    definition = entry.get("function") or entry.get("custom") or entry
    name = definition.get("name") if isinstance(definition, dict) else None
    kind = entry.get("type")
    if isinstance(kind, str) and is_web_search(kind):
        return WEB_SEARCH_NAME
    return name if isinstance(name, str) else None


def _declared(request: ChatRequest, searches: bool) -> list[str]:
    """The client's names of its tools."""
    definitions = [tool.function or tool.custom for tool in request.tools or ()] + list(request.functions or ())
    names = [definition.name for definition in definitions if definition is not None]
    return [*names, WEB_SEARCH_NAME] if searches else names
