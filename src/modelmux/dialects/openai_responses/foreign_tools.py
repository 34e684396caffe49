"""Tools of other dialects, and the choice among them, in the form of Responses."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from modelmux.claude.notices import Notices
from modelmux.dialects.openai_shared.foreign.rewrite import Json, Rewrite, without
from modelmux.dialects.openai_shared.foreign.tools import (
    GOOGLE_SEARCH,
    is_free_text,
    normalise_custom_tool,
    normalise_function_tool,
)
from modelmux.wire.openai.responses_items import decode_any

_NONE: Final = Raw(b"")
_INNER: Final = {
    "function": ("name", "description", "parameters", "strict"),
    "custom": ("name", "description", "format"),
}


class _Head(Struct):
    """What says whether a tool is in a foreign form."""

    type: str | None = None
    name: Any = None
    parameters: Raw = _NONE
    input_schema: Raw = _NONE
    inputSchema: Raw = _NONE  # noqa: N815  # MCP's name
    parametersJsonSchema: Raw = _NONE  # noqa: N815  # Gemini's name
    function: Raw = _NONE
    custom: Raw = _NONE


_head_decoder: Final = msgspec.json.Decoder(_Head)
_keys_decoder: Final = msgspec.json.Decoder(dict[str, Raw])


def native_tool(raw: bytes, path: str, notices: Notices) -> bytes:
    """A tool in the form of Responses: the same bytes if it has that, or Chat Completions' with nothing foreign in it.

    :raises InvalidRequest: a tool that can be read in no way.
    """
    if not _is_foreign(raw):
        return raw
    return msgspec.json.encode(_native(decode_any(raw, path), path, notices))


def _is_foreign(raw: bytes) -> bool:
    try:
        head = _head_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False  # its decoder says what is wrong
    if head.type not in (None, "", "function", "custom"):
        return False
    if bytes(head.function).startswith(b"{"):
        return not head.type or "parameters" not in _keys_decoder.decode(head.function)
    foreign = any(bytes(schema) for schema in (head.input_schema, head.inputSchema, head.parametersJsonSchema))
    if not head.type:
        return foreign or head.name is not None or any(name in _keys_decoder.decode(raw) for name in GOOGLE_SEARCH)
    return foreign or (head.type == "custom" and bool(bytes(head.parameters) or bytes(head.custom)))


def _native(value: Json, path: str, notices: Notices) -> Json:
    google = next((name for name in GOOGLE_SEARCH if name in value), None)
    if google is not None and not value.get("type"):
        options = value[google] if isinstance(value[google], dict) else {}
        return {**without(value, google), **options, "type": "web_search"}
    rewrite = Rewrite()
    is_custom = value.get("type") == "custom" and is_free_text(value)
    kind = "custom" if is_custom else "function"
    nested = isinstance(value.get(kind), dict)
    tool = (normalise_custom_tool if is_custom else normalise_function_tool)(value, path, rewrite)
    definition = tool[kind]
    for name in without(definition, *_INNER[kind]) if nested else ():
        notices.add("ignored", f"{path}.{kind}.{name}"[:80], "Not a field of a tool.")
    known = {name: member for name, member in definition.items() if name in _INNER[kind]}
    return {**without(tool, kind), "type": kind, **known}


def native_for_echo(value: Any) -> Any:
    """The same of a tool that a response repeats."""
    if isinstance(value, dict) and _is_foreign(msgspec.json.encode(value)):
        return _native(value, "", Notices())
    return value


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
