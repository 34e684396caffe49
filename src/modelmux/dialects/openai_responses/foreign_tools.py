"""Tools of other dialects, and the choice among them, in the form of Responses."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from modelmux.dialects.openai_shared.foreign.rewrite import Json, Rewrite, without
from modelmux.dialects.openai_shared.foreign.tools import (
    GOOGLE_SEARCH,
    is_free_text,
    normalise_custom_tool,
    normalise_function_tool,
)
from modelmux.wire.openai.responses_items import decode_any

#: Members of a function in the form of Responses.
_PLAIN: Final = frozenset({"type", "name", "description", "parameters", "strict"})
_INNER: Final = {
    "function": ("name", "description", "parameters", "strict"),
    "custom": ("name", "description", "format"),
}


def native_tool(raw: bytes, path: str, rewrite: Rewrite) -> bytes:
    """A tool in the form of Responses; the same bytes if it is in no other.

    :param rewrite: gets the notices, and the client's paths of what has another name.
    :raises InvalidRequest: a tool that can be read in no way.
    """
    value = decode_any(raw, path)
    if not isinstance(value, dict) or not _is_foreign(value):
        return raw
    return msgspec.json.encode(_native(value, path, rewrite))


def _is_foreign(value: Json) -> bool:
    """Nothing foreign is in the form of Chat Completions, which the decoder knows."""
    kind = value.get("type") or ""
    if kind == "function" and value.keys() <= _PLAIN:
        return False
    if kind not in ("", "function", "custom"):
        return False
    inner = value.get("function")
    if isinstance(inner, dict):
        return not kind or not is_free_text({**inner, "parameters": None})
    foreign = not is_free_text({**value, "parameters": None})
    if not kind:
        return foreign or value.get("name") is not None or any(name in value for name in GOOGLE_SEARCH)
    return foreign or (kind == "custom" and (not is_free_text(value) or isinstance(value.get("custom"), dict)))


def _native(value: Json, path: str, rewrite: Rewrite) -> Json:
    google = next((name for name in GOOGLE_SEARCH if name in value), None)
    if google is not None and not value.get("type"):
        options = value[google] if isinstance(value[google], dict) else {}
        return {**without(value, google), **options, "type": "web_search"}
    is_custom = value.get("type") == "custom" and is_free_text(value)
    kind = "custom" if is_custom else "function"
    nested = isinstance(value.get(kind), dict)
    tool = (normalise_custom_tool if is_custom else normalise_function_tool)(value, path, rewrite)
    definition = tool[kind]
    for name in without(definition, *_INNER[kind]) if nested else ():
        rewrite.notices.ignore_unknown(f"{path}.{kind}.{name}"[:80], "Not a field of a tool.")
    for name in _INNER[kind]:
        spelling = rewrite.client_spelling(f"{path}.{kind}.{name}")
        if spelling != f"{path}.{name}":
            rewrite.renamed(f"{path}.{name}", spelling)
    known = {name: member for name, member in definition.items() if name in _INNER[kind]}
    return {**without(tool, kind), "type": kind, **known}


def native_for_echo(value: Any) -> Any:
    """The same of a tool that a response repeats."""
    return _native(value, "", Rewrite()) if isinstance(value, dict) and _is_foreign(value) else value


def native_choice(choice: Any) -> Any:
    """``tool_choice`` as a response repeats it."""
    if isinstance(choice, str):
        words = ("auto", "none", "required")
        return "required" if choice == "any" else choice if choice in words else {"type": "function", "name": choice}
    kind = choice.get("type", "function")
    if kind in ("auto", "none", "required", "any"):
        return native_choice(kind)
    if kind == "allowed_tools":
        inner = choice.get("allowed_tools")
        return {"type": kind, **inner} if isinstance(inner, dict) else choice
    named = choice.get("function") or choice.get("custom") or choice
    if kind not in ("function", "custom", "tool") or (choice.get("name") == named.get("name") and kind != "tool"):
        return choice
    return {"type": "function" if kind == "tool" else kind, "name": named.get("name")}
