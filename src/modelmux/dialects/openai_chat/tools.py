"""Tool definitions."""

from __future__ import annotations

from typing import Any, Final

from modelmux.claude.caching import breakpoint_of
from modelmux.claude.context import Context
from modelmux.claude.identifiers import tool_name
from modelmux.claude.schema.root import object_root
from modelmux.claude.schema.subset import MAX_OPTIONAL, MAX_UNIONS, Subset, to_subset
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.openai.chat_request import ChatRequest, CustomDefinition, FunctionDefinition, Tool

#: Name of the tool that is sent where only the history has tools. It cannot be called: the choice is "none".
STAND_IN: Final = "unavailable"
#: Strict tools of one request.
MAX_STRICT: Final = 20
_FREE_TEXT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input, as plain text."}},
    "required": ["input"],
}


def translate_tools(request: ChatRequest, ctx: Context, spent: Subset | None = None) -> list[anthropic.Tool]:
    """Tools in the client's order, schemas with their keys in the client's order.

    :param spent: the schema of the answer's own form, which counts against what strict tools may have.
    :raises InvalidRequest: two tools with one name, or a kind of tool Claude has no form for.
    """
    budget = _StrictBudget(spent)
    tools: list[anthropic.Tool] = []
    seen: dict[str, str] = {}
    for tool, where in _declared(request):
        made = _tool(tool, where, budget, ctx)
        if made.name in seen:
            raise InvalidRequest(
                f"Tool names must be unique: {seen[made.name]} and {where} have the same.", param=f"{where}.name"
            )
        seen[made.name] = where
        tools.append(made)
    return tools


def _declared(request: ChatRequest) -> list[tuple[Tool, str]]:
    """Tools and legacy functions, with the path of what holds the name.

    :raises InvalidRequest: a type of tool there is not, or one without its definition.
    """
    tools: list[tuple[Tool, str]] = []
    for index, tool in enumerate(request.tools or ()):
        if tool.type not in ("function", "custom"):
            raise InvalidRequest(
                "Vertex AI has no tool of this type.", param=f"tools.{index}.type", hint="Declare a function."
            )
        where = f"tools.{index}.{tool.type}"
        if (tool.function if tool.type == "function" else tool.custom) is None:
            raise InvalidRequest(
                f"Missing required parameter: '{where}'.", param=where, code="missing_required_parameter"
            )
        tools.append((tool, where))
    functions = [(Tool(function=f), f"functions.{index}") for index, f in enumerate(request.functions or ())]
    return tools + functions


def _tool(tool: Tool, where: str, budget: _StrictBudget, ctx: Context) -> anthropic.Tool:
    marker = breakpoint_of(tool.cache_control, None, where.rpartition(".")[0])
    if marker is None and tool.function is not None:  # where LiteLLM's clients write it
        marker = breakpoint_of(tool.function.cache_control, None, where)
    if tool.type == "function":
        assert tool.function is not None
        made = _function(tool.function, where, budget, ctx)
    else:
        assert tool.custom is not None
        made = _custom(tool.custom, where, ctx)
    made.cache_control = marker
    asked = (tool.eager_input_streaming, tool.function.eager_input_streaming if tool.function else None)
    made.eager_input_streaming = next((value for value in asked if value is not None), None)
    return made


def _function(function: FunctionDefinition, where: str, budget: _StrictBudget, ctx: Context) -> anthropic.Tool:
    name = tool_name(function.name, ctx, f"{where}.name")
    root = object_root(function.parameters, f"{where}.parameters")
    schema, said, strict = root.schema, root.change, None
    if function.strict:
        subset = to_subset(schema)
        refused = budget.refuse(subset, ctx)
        if refused:
            ctx.notices.add("ignored", f"{where}.strict", f"Arguments are not bound to the schema: {refused}.")
        else:
            schema, strict = subset.schema, True
            said = f"{said} {moved(subset)}".strip()
    if said:
        ctx.notices.add("changed", f"{where}.parameters", said)
    return anthropic.Tool(name, schema, function.description or None, strict)


def _custom(custom: CustomDefinition, where: str, ctx: Context) -> anthropic.Tool:
    kind = (custom.format or {}).get("type", "text")
    if kind != "text":
        raise InvalidRequest(
            "Claude takes no grammars.", param=f"{where}.format", hint="Use format 'text' and describe the grammar."
        )
    name = tool_name(custom.name, ctx, f"{where}.name")
    ctx.custom_tools.add(name)
    return anthropic.Tool(name, _FREE_TEXT, custom.description or None)


class _StrictBudget:
    """What strict tools of one request may have together."""

    def __init__(self, spent: Subset | None) -> None:
        self._tools = 0
        self._optional, self._unions = (spent.optional, spent.unions) if spent else (0, 0)

    def refuse(self, subset: Subset, ctx: Context) -> str:
        """Why this schema cannot be strict; empty if it can, and then it counts."""
        if not ctx.card.structured_output:
            return "this model has no strict tools"
        if subset.unfit:
            return subset.unfit
        if self._tools == MAX_STRICT:
            return f"only {MAX_STRICT} tools may be strict"
        if self._optional + subset.optional > MAX_OPTIONAL or self._unions + subset.unions > MAX_UNIONS:
            return "the schemas of this request have too many optional properties or unions together"
        self._tools += 1
        self._optional += subset.optional
        self._unions += subset.unions
        return ""


def moved(subset: Subset) -> str:
    """Which keywords only describe now, and no longer bind, as a sentence; empty if none."""
    return f"Not enforced, moved into descriptions: {', '.join(subset.moved)}." if subset.moved else ""


def tools_of_history(messages: list[anthropic.InputMessage]) -> list[anthropic.Tool]:
    """A stand-in where the history used tools and the request defines none: Anthropic wants ``tools`` there.

    Always the same one, whatever the history used: tools come first in the prompt, so a list that grew with the
    conversation would re-bill all of it.
    """
    used = any(isinstance(block, anthropic.ToolUseBlock) for message in messages for block in message.content)
    return [anthropic.Tool(STAND_IN, object_root(None, "tools").schema, "Not available.")] if used else []


def web_search(options: dict[str, Any] | None, ctx: Context) -> anthropic.WebSearch | None:
    """``web_search_options`` as the server tool.

    :raises InvalidRequest: the model has none.
    """
    if options is None:
        return None
    if not ctx.card.web_search:
        raise InvalidRequest(
            "This model has no web search.", param="web_search_options", hint="Leave it out or choose another model."
        )
    if options.get("search_context_size") not in (None, "medium"):
        ctx.notices.add("ignored", "web_search_options.search_context_size", "Claude has no such setting.")
    for name in options:
        if name not in ("search_context_size", "user_location"):
            ctx.notices.add("ignored", f"web_search_options.{name[:80]}", "Claude's web search has no such setting.")
    return anthropic.WebSearch("web_search", user_location=_place(options.get("user_location"), ctx))


def _place(location: Any, ctx: Context) -> dict[str, str] | None:
    """Where the user is, as Claude takes it: what there is no place for is said."""
    if location is None:
        return None
    given = location.get("approximate") if isinstance(location, dict) else location
    said = given if isinstance(given, dict) else {}
    known = {k: said[k] for k in ("city", "region", "country", "timezone") if isinstance(said.get(k), str) and said[k]}
    if given is not None and (not isinstance(given, dict) or any(v and k not in known for k, v in said.items())):
        where = "web_search_options.user_location"
        ctx.notices.add("ignored", where, "Only city, region, country and timezone, as texts, are used.")
    return {"type": "approximate", **known} if isinstance(given, dict) else None
