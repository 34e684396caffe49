"""Tool definitions."""

from __future__ import annotations

from typing import Any, Final

from modelmux.errors import InvalidRequest
from modelmux.translate.caching import breakpoint_of
from modelmux.translate.context import Context
from modelmux.translate.names import tool_name
from modelmux.translate.schema import MAX_OPTIONAL, MAX_UNIONS, Subset, to_subset
from modelmux.wire import anthropic
from modelmux.wire.openai_chat import ChatRequest, CustomDefinition, FunctionDefinition, Tool

#: Name of the tool that is sent where only the history has tools. It cannot be called: the choice is "none".
STAND_IN: Final = "unavailable"
#: Strict tools of one request.
MAX_STRICT: Final = 20
_FREE_TEXT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input, as plain text."}},
    "required": ["input"],
}


def translate_tools(request: ChatRequest, ctx: Context) -> list[anthropic.Tool]:
    """Tools in the client's order, schemas with their keys in the client's order.

    :raises InvalidRequest: two tools with one name, or a kind of tool Claude has no form for.
    """
    budget = _StrictBudget()
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
    marker = breakpoint_of(tool.cache_control, None, where)
    if tool.type == "function":
        assert tool.function is not None
        made = _function(tool.function, where, budget, ctx)
    else:
        assert tool.custom is not None
        made = _custom(tool.custom, where, ctx)
    made.cache_control = marker
    return made


def _function(function: FunctionDefinition, where: str, budget: _StrictBudget, ctx: Context) -> anthropic.Tool:
    name = tool_name(function.name, ctx, f"{where}.name")
    whole = input_schema(function.parameters)
    schema, strict = plain_root(whole), None
    if schema is not whole:
        ctx.notices.add("changed", f"{where}.parameters", "The root must be one object; its variants were joined.")
    if function.strict:
        subset = to_subset(schema)
        refused = budget.refuse(subset, ctx)
        if refused:
            ctx.notices.add("ignored", f"{where}.strict", f"Arguments are not bound to the schema: {refused}.")
        else:
            schema, strict = subset.schema, True
            if subset.moved:
                said = f"Not enforced, moved into descriptions: {', '.join(subset.moved)}."
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

    def __init__(self) -> None:
        self._tools = self._optional = self._unions = 0

    def refuse(self, subset: Subset, ctx: Context) -> str:
        """Why this schema cannot be strict; empty if it can, and then it counts."""
        if not ctx.card.structured_output:
            return "this model has no strict tools"
        if subset.unfit:
            return subset.unfit
        if self._tools == MAX_STRICT:
            return f"only {MAX_STRICT} tools may be strict"
        if self._optional + subset.optional > MAX_OPTIONAL or self._unions + subset.unions > MAX_UNIONS:
            return "the strict tools have too many optional properties or unions together"
        self._tools += 1
        self._optional += subset.optional
        self._unions += subset.unions
        return ""


_COMBINERS: Final = ("anyOf", "oneOf", "allOf")


def input_schema(parameters: dict[str, Any] | None) -> dict[str, Any]:
    """A schema whose root is an object, which Anthropic requires; otherwise the client's own."""
    if not parameters:
        return {"type": "object", "properties": {}}
    if parameters.get("type") == "object":
        return parameters
    return {"type": "object", **{k: v for k, v in parameters.items() if k != "type"}}


def plain_root(schema: dict[str, Any]) -> dict[str, Any]:
    """Variants at the root joined into one object: all their properties, required where every variant requires it.

    Anthropic refuses the combining keywords there, and one refused tool would fail every request.
    """
    if not any(k in schema for k in _COMBINERS):
        return schema
    variants = [*_members(schema, "anyOf"), *_members(schema, "oneOf")]
    always = [*_members(schema, "allOf"), schema]
    properties: dict[str, Any] = {}
    for part in (*variants, *always):
        own = part.get("properties")
        properties.update(own if isinstance(own, dict) else {})
    required = [name for part in reversed(always) for name in _required(part)]
    if variants:
        required += [n for n in properties if all(n in _required(variant) for variant in variants)]
    joined = {k: v for k, v in schema.items() if k not in _COMBINERS}
    joined["properties"] = properties
    joined["required"] = list(dict.fromkeys(required))
    return joined


def _members(schema: dict[str, Any], keyword: str) -> list[dict[str, Any]]:
    found = schema.get(keyword)
    return [v for v in found if isinstance(v, dict)] if isinstance(found, list) else []


def _required(schema: dict[str, Any]) -> list[str]:
    found = schema.get("required")
    return [n for n in found if isinstance(n, str)] if isinstance(found, list) else []


def tools_of_history(messages: list[anthropic.InputMessage]) -> list[anthropic.Tool]:
    """A stand-in where the history used tools and the request defines none: Anthropic wants ``tools`` there.

    Always the same one, whatever the history used: tools come first in the prompt, so a list that grew with the
    conversation would re-bill all of it.
    """
    used = any(isinstance(block, anthropic.ToolUseBlock) for message in messages for block in message.content)
    return [anthropic.Tool(STAND_IN, input_schema(None), "Not available.")] if used else []


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
    location = options.get("user_location")
    approximate = location.get("approximate") if isinstance(location, dict) else None
    if not isinstance(approximate, dict):
        return anthropic.WebSearch("web_search")
    said = {k: approximate.get(k) for k in ("city", "region", "country", "timezone")}
    known = {k: v for k, v in said.items() if isinstance(v, str) and v}
    return anthropic.WebSearch("web_search", user_location={"type": "approximate", **known})
