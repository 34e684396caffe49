"""Tool calls in a history: Anthropic's, Responses' and LangChain's, and OpenAI's own with omissions -> OpenAI's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from modelmux.dialects.openai_shared.foreign.rewrite import (
    Json,
    Rewrite,
    as_json,
    first,
    missing,
    unknown_value,
    without,
    wrong_type,
)

_FUNCTION_TYPES: Final = ("function", "function_call", "tool_use", "tool_call", "tool-call")
_CUSTOM_TYPES: Final = ("custom", "custom_tool_call")
_IDS: Final = ("id", "call_id", "toolCallId")
_NAMES: Final = ("name", "toolName")
_ARGUMENTS: Final = ("arguments", "input", "args")
#: Kind -> what is read of a call that has an object of that name, and of one that is flat.
_NESTED: Final = {kind: frozenset(("type", kind, *_IDS)) for kind in ("function", "custom")}
_FLAT: Final = {kind: names.union(_NAMES, _ARGUMENTS) for kind, names in _NESTED.items()}
_TYPES: Final = frozenset((*_FUNCTION_TYPES, *_CUSTOM_TYPES))


def normalise_calls(value: Any, path: str, rewrite: Rewrite) -> list[Json]:
    """``tool_calls`` of a message.

    :raises InvalidRequest: a call of an unknown type, or one that is not an object.
    """
    if isinstance(value, dict):
        return [normalise_call(value, path, rewrite)]
    if not isinstance(value, list):
        raise wrong_type(value, path, "an array of tool calls")
    return [normalise_call(call, f"{path}.{index}", rewrite) for index, call in enumerate(value)]


def normalise_call(value: Any, path: str, rewrite: Rewrite, origin: str | None = None) -> Json:
    """One call, nested or flat.

    :param path: where the call stands in the end.
    :param origin: where the client wrote it, if that is another place.
    """
    if not isinstance(value, dict):
        raise wrong_type(value, path, "a tool call")
    origin = path if origin is None else origin
    rewrite.moved(path, origin)
    kind = value.get("type") or None
    if kind is None:
        kind = "custom" if isinstance(value.get("custom"), dict) else "function"
        rewrite.completed(f"{origin}.type", f"A tool call without a type is taken for one of type '{kind}'.")
    elif not isinstance(kind, str) or kind not in _TYPES:
        raise unknown_value(kind, f"{origin}.type", ("function", "custom"))
    if kind in _CUSTOM_TYPES:
        return _nested(value, "custom", origin, rewrite)
    return _nested(value, "function", origin, rewrite)


def normalise_function_call(value: Any, path: str, rewrite: Rewrite) -> Any:
    """The legacy ``function_call`` of a message."""
    if not isinstance(value, dict):
        return value
    return {
        **without(value, "arguments"),
        "arguments": _arguments(value.get("arguments"), f"{path}.arguments", rewrite),
    }


def _nested(value: Json, kind: str, origin: str, rewrite: Rewrite) -> Json:
    inner, position = value.get(kind), f"{origin}.{kind}"
    text = "arguments" if kind == "function" else "input"
    if isinstance(inner, dict):
        read, inner = _NESTED[kind], dict(inner)
    else:
        read, inner = _FLAT[kind], _inner(value, text, position, origin, rewrite)
    call = {name: member for name, member in value.items() if name not in read}
    call["type"] = kind
    call[kind] = inner
    if (id := first(value, *_IDS)) is not None:
        call["id"] = normalise_id(id, f"{origin}.id", rewrite)
    native = value.get("type") == "tool_use" or "input" in value
    inner[text] = _arguments(inner.get(text), f"{position}.{text}", rewrite, quiet=native) or ""
    return call


def _inner(value: Json, text: str, position: str, origin: str, rewrite: Rewrite) -> Json:
    """The inner object of a flat call."""
    spelling = _spelling(value, _ARGUMENTS, text)
    name = _spelling(value, _NAMES, "name")
    rewrite.renamed(position, origin)
    if spelling != text:
        rewrite.renamed(f"{position}.{text}", f"{origin}.{spelling}")
    if name != "name":
        rewrite.renamed(f"{position}.name", f"{origin}.{name}")
    if value.get(name) is None:
        raise missing(rewrite.client_spelling(f"{position}.name"))
    return {"name": value[name], text: value.get(spelling)}


def _spelling(value: Json, names: Iterable[str], default: str) -> str:
    """Which of the names the client uses."""
    for name in names:
        if value.get(name) is not None:
            return name
    return default


def normalise_id(value: Any, field: str, rewrite: Rewrite) -> Any:
    """An id that was written as a number, as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        rewrite.completed(field, "An id is a text.")
        return str(value)
    return value


def _arguments(value: Any, field: str, rewrite: Rewrite, *, quiet: bool = False) -> str | None:
    """Arguments as the JSON text that OpenAI has."""
    if value is None or isinstance(value, str):
        return value
    if not quiet:
        rewrite.completed(rewrite.client_spelling(field), "Arguments are a text that holds JSON.")
    return as_json(value)
