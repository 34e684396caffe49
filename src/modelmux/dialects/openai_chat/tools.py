"""Tool definitions, and web search."""

from __future__ import annotations

from typing import Any, NamedTuple

from modelmux.claude.schema.root import to_object_root
from modelmux.dialects.openai_chat.tool_types import unsupported_type
from modelmux.dialects.openai_shared.caching import read_breakpoint
from modelmux.dialects.openai_shared.context import TranslationContext
from modelmux.dialects.openai_shared.tool_count import check_tool_count
from modelmux.dialects.openai_shared.tools import FREE_TEXT
from modelmux.dialects.openai_shared.web_search import web_search_tool
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_request import ChatRequest, CustomDefinition, FunctionDefinition, Tool


class TranslatedTools(NamedTuple):
    """Tools in the client's order; with them the path of each one's definition, by upstream name."""

    tools: list[anthropic.Tool]
    paths: dict[str, str]


def translate_tools(request: ChatRequest, ctx: TranslationContext) -> TranslatedTools:
    """The tools, their schemas with an object at the root and otherwise unchanged, keys in the client's order.

    :raises InvalidRequest: two tools with one name, or a kind of tool that has no counterpart.
    """
    if not request.tools and not request.functions:
        return TranslatedTools([], {})
    tools: list[anthropic.Tool] = []
    paths: dict[str, str] = {}
    for declared, path in _declared(request):
        tool = _translate(declared, path, ctx)
        if tool.name in paths:
            raise InvalidRequest(
                f"Tool names must be unique: {paths[tool.name]} and {path} have the same.", param=f"{path}.name"
            )
        paths[tool.name] = path
        tools.append(tool)
    return TranslatedTools(tools, paths)


def _declared(request: ChatRequest) -> list[tuple[Tool, str]]:
    """Tools and legacy functions, with the path of the definition.

    :raises InvalidRequest: an unknown type of tool, or one without its definition.
    """
    check_tool_count(len(request.tools or ()) + len(request.functions or ()), "tools" if request.tools else "functions")
    tools: list[tuple[Tool, str]] = []
    for index, tool in enumerate(request.tools or ()):
        if tool.type not in ("function", "custom"):
            raise unsupported_type(tool.type, f"tools.{index}.type")
        path = f"tools.{index}.{tool.type}"
        if (tool.function if tool.type == "function" else tool.custom) is None:
            raise InvalidRequest(
                f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter"
            )
        tools.append((tool, path))
    functions = [(Tool(function=f), f"functions.{index}") for index, f in enumerate(request.functions or ())]
    return tools + functions


def _translate(tool: Tool, path: str, ctx: TranslationContext) -> anthropic.Tool:
    marker = read_breakpoint(tool.cache_control, None, path.rpartition(".")[0])
    if marker is None and tool.function is not None:  # LiteLLM's clients set it here
        marker = read_breakpoint(tool.function.cache_control, None, path)
    if tool.type == "function":
        assert tool.function is not None
        translated = _function(tool.function, path, ctx)
    else:
        assert tool.custom is not None
        translated = _custom(tool.custom, path, ctx)
    translated.cache_control = marker
    translated.eager_input_streaming = tool.eager_input_streaming
    if tool.eager_input_streaming is None and tool.function is not None:
        translated.eager_input_streaming = tool.function.eager_input_streaming
    return translated


def _function(function: FunctionDefinition, path: str, ctx: TranslationContext) -> anthropic.Tool:
    name = ctx.tool_names.upstream(function.name, f"{path}.name")
    root = to_object_root(function.parameters, f"{path}.parameters", ctx.schema_work)
    if root.change:
        ctx.notices.add("changed", f"{path}.parameters", root.change)
    return anthropic.Tool(name, root.schema, function.description or None, function.strict or None)


def _custom(custom: CustomDefinition, path: str, ctx: TranslationContext) -> anthropic.Tool:
    if custom.format is not None and custom.format.type != "text":
        raise InvalidRequest(
            "Claude does not support grammars.",
            param=f"{path}.format",
            hint="Use format 'text' and describe the grammar.",
        )
    name = ctx.tool_names.upstream(custom.name, f"{path}.name")
    ctx.custom_tools.add(name)
    return anthropic.Tool(name, FREE_TEXT, custom.description or None)


def translate_web_search(options: dict[str, Any] | None, ctx: TranslationContext) -> anthropic.WebSearch | None:
    """``web_search_options`` as the server tool."""
    return web_search_tool(options, ctx.notices, "web_search_options") if options is not None else None
