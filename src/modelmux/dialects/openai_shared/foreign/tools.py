"""Definitions of tools: Anthropic's, Responses' and MCP's -> Chat Completions' own."""

from __future__ import annotations

from typing import Final

from modelmux.dialects.openai_shared.foreign.rewrite import Json, Rewrite, missing, without

_SCHEMAS: Final = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema")
#: Members by which Gemini's tools are searches of the web.
GOOGLE_SEARCH: Final = ("google_search", "googleSearch", "google_search_retrieval", "googleSearchRetrieval")
#: Members that hold Gemini's functions.
DECLARATIONS: Final = ("functionDeclarations", "function_declarations")
_FUNCTION: Final = ("name", "description", "strict", *_SCHEMAS)


def is_free_text(value: Json) -> bool:
    """Whether a tool of type ``custom`` is OpenAI's; Anthropic's has a schema."""
    return not any(value.get(name) is not None for name in _SCHEMAS)


def normalise_function_tool(value: Json, path: str, rewrite: Rewrite) -> Json:
    """A function, nested or flat."""
    inner = value.get("function")
    if isinstance(inner, dict):
        function = normalise_function(inner, f"{path}.function", rewrite)
        return {**without(value, "type", "function"), "type": "function", "function": function}
    if not any(value.get(name) is not None for name in _FUNCTION):
        raise missing(f"{path}.function")
    rewrite.renamed(f"{path}.function", path)
    definition = {name: member for name, member in value.items() if name in _FUNCTION}
    function = normalise_function(definition, path, rewrite, f"{path}.function")
    return {**without(value, "type", "function", *_FUNCTION), "type": "function", "function": function}


def normalise_function(value: Json, origin: str, rewrite: Rewrite, path: str | None = None) -> Json:
    """A definition, its schema under the name ``parameters``."""
    spelling = next((name for name in _SCHEMAS if value.get(name) is not None), "parameters")
    rewrite.renamed(f"{path or origin}.parameters", f"{origin}.{spelling}")
    return {**without(value, spelling), "parameters": value.get(spelling)}


def normalise_custom_tool(value: Json, path: str, rewrite: Rewrite) -> Json:
    """A tool with free text; flat as in Responses."""
    if isinstance(value.get("custom"), dict):
        return value
    if value.get("name") is None:
        raise missing(f"{path}.custom")
    rewrite.renamed(f"{path}.custom", path)
    used = ("name", "description", "format")
    custom = {name: member for name, member in value.items() if name in used}
    return {**without(value, "custom", *used), "custom": custom}
