"""Tools and the choice among them: Anthropic's, Responses', MCP's and Gemini's -> Chat Completions' own.

Web search is one tool in many spellings; all of them become ``web_search_options``, as far as it is Claude's tool.
"""

from __future__ import annotations

from typing import Any, Final

from modelmux.dialects.openai_shared.foreign.rewrite import (
    Json,
    Rewrite,
    first,
    unknown_value,
    unread,
    without,
    wrong_type,
)
from modelmux.dialects.openai_shared.foreign.tools import (
    DECLARATIONS,
    GOOGLE_SEARCH,
    is_free_text,
    normalise_custom_tool,
    normalise_function_tool,
)
from modelmux.dialects.openai_shared.web_search import is_switched_off, is_web_search, report_version

_CHOICE_WORDS: Final = ("auto", "none", "required", "any")
_CHOICE_TYPES: Final = ("function", "custom", "allowed_tools", "tool", *_CHOICE_WORDS)


class NormalisedTools:
    """Tools in Chat Completions' form, and the options of web search if it is among them."""

    def __init__(self, rewrite: Rewrite) -> None:
        self.tools: list[Json] = []
        self.web_search: Json | None = None
        self.web_search_path = ""
        self._searches: list[tuple[str, str]] = []
        self._rewrite = rewrite

    def add(self, values: Any, path: str) -> None:
        """:raises InvalidRequest: a tool that is not an object, or has no definition."""
        if isinstance(values, dict):
            values = [values]
        if not isinstance(values, list):
            raise wrong_type(values, path, "an array of tools")
        for index, value in enumerate(values):
            self._add(value, f"{path}.{index}")

    def report_versions(self) -> None:
        """A notice for each web search in a version that Vertex AI does not have."""
        for kind, field in self._searches:
            report_version(kind, self._rewrite.notices, field)

    def _add(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(value, path, "a tool")
        kind = value.get("type") or None
        if kind is None and "function" not in value:
            value = self._take_gemini(value, path)
            if not any(member is not None for member in value.values()):
                return
        if isinstance(kind, str) and is_web_search(kind):
            self._search(*_nested_options(value, kind), path)
            self._searches.append((kind, f"{path}.type"))
            return
        if kind in (None, "function") or (kind == "custom" and not is_free_text(value)):
            self._keep(normalise_function_tool(value, path, self._rewrite), path)
        elif kind == "custom":
            self._keep(normalise_custom_tool(value, path, self._rewrite), path)
        else:
            self._keep(value, path)  # refused by the translation, which knows what there is

    def _keep(self, tool: Json, path: str) -> None:
        self._rewrite.moved(f"tools.{len(self.tools)}", path)
        self.tools.append(tool)

    def _take_gemini(self, value: Json, path: str) -> Json:
        """Gemini's tool, which may hold functions and a search at once; returns the members that are neither."""
        for name in DECLARATIONS:
            declared = value.get(name)
            for index, function in enumerate(declared if isinstance(declared, list) else ()):
                position = f"{path}.{name}.{index}"
                if not isinstance(function, dict):
                    raise wrong_type(function, position, "a function")
                self._keep(normalise_function_tool(function, position, self._rewrite), position)
        google = next((name for name in GOOGLE_SEARCH if name in value), None)
        taken = [name for name in DECLARATIONS if isinstance(value.get(name), list)]
        if google is not None:
            options = value[google] if isinstance(value[google], dict) else {}
            self._search(options, dict.fromkeys(options, google), path)
            taken.append(google)
        rest = without(value, *taken)
        if taken and not any(name in rest for name in ("name", "function")):
            for unknown in unread(rest):
                self._rewrite.notices.ignore_unknown(f"{path}.{unknown}"[:80], "Not a tool of this gateway.")
            return {}
        return rest

    def _search(self, options: Json, nested: dict[str, str], path: str) -> None:
        """:param nested: options inside of a member of the tool, with its name."""
        if is_switched_off(options):
            return
        for name, member in nested.items():
            self._rewrite.renamed(f"web_search_options.{name}", f"{path}.{member}.{name}")
        if self.web_search is not None:
            if options != self.web_search:
                self._rewrite.notices.add("ignored", path, "Another web search tool precedes it.")
            return
        self.web_search, self.web_search_path = options, path


def _nested_options(value: Json, kind: str) -> tuple[Json, dict[str, str]]:
    """The options of a web search tool; those that stand in a member with the name of its type, with that name."""
    inner = value.get(kind)
    nested: Json = inner if isinstance(inner, dict) else {}
    return {**without(value, "type", "name", kind), **nested}, dict.fromkeys(nested, kind)


def normalise_choice(value: Any, tools: list[Json], body: Json, rewrite: Rewrite) -> Any:
    """``tool_choice`` in Chat Completions' form.

    :param body: the rewritten request; Anthropic's form decides about parallel calls, too.
    """
    if not isinstance(value, dict):
        return value
    _take_parallel(value.get("disable_parallel_tool_use"), body, rewrite)
    value = without(value, "disable_parallel_tool_use")
    kind, rest = value.get("type"), without(value, "type", "name", "tools", "mode")
    if kind in _CHOICE_WORDS:
        for unknown in unread(rest):
            rewrite.notices.ignore_unknown(f"tool_choice.{unknown[:80]}", "Not a field of Chat Completions.")
        return kind
    if kind == "allowed_tools" and "allowed_tools" not in value:
        rewrite.renamed("tool_choice.allowed_tools", "tool_choice")
        allowed = {"mode": value.get("mode", "auto"), "tools": value.get("tools")}
        return {**rest, "type": kind, "allowed_tools": allowed}
    if isinstance(kind, str) and is_web_search(kind):
        return _named("function", "web_search")
    if kind is not None and kind not in _CHOICE_TYPES:
        raise unknown_value(kind, "tool_choice.type", _CHOICE_TYPES)
    nested = value.get("function") if isinstance(value.get("function"), dict) else value.get("custom")
    name = first(value, "name") or (nested.get("name") if isinstance(nested, dict) else None)
    if name is None or kind == "allowed_tools":
        return value
    if not isinstance(nested, dict):
        rewrite.renamed("tool_choice.function", "tool_choice")
        rewrite.renamed("tool_choice.custom", "tool_choice")
    _report_nested(value, rewrite)
    return {**without(rest, "function", "custom"), **_named("custom" if _is_custom(name, tools) else "function", name)}


def _report_nested(choice: Json, rewrite: Rewrite) -> None:
    """A notice for each member beside the name of a tool that is named in OpenAI's form."""
    for inside in ("function", "custom"):
        nested = choice.get(inside)
        for unknown in unread(nested, "name") if isinstance(nested, dict) else ():
            field = f"tool_choice.{inside}.{unknown}"[:80]
            rewrite.notices.ignore_unknown(field, "Not a field of Chat Completions.")


def _take_parallel(disabled: Any, body: Json, rewrite: Rewrite) -> None:
    """Anthropic's setting as OpenAI's, which takes precedence."""
    if disabled is None:
        return
    if body.get("parallel_tool_calls") is None:
        body["parallel_tool_calls"] = disabled is not True
    elif body["parallel_tool_calls"] is (disabled is True):
        reason = "`parallel_tool_calls` is also set and takes precedence."
        rewrite.notices.add("ignored", "tool_choice.disable_parallel_tool_use", reason)


def _named(kind: str, name: Any) -> Json:
    return {"type": kind, kind: {"name": name}}


def _is_custom(name: Any, tools: list[Json]) -> bool:
    return any(tool["type"] == "custom" and tool["custom"].get("name") == name for tool in tools if "custom" in tool)
