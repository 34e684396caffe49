"""What Claude would refuse a whole request for, repaired where it stands; a request without such a fault is not
touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from modelmux.claude.native import Content
from modelmux.claude.property_keys import RENAMED, rename_in_input, rename_in_schema, renamed_keys
from modelmux.claude.schema.root import combines_at_root, to_object_root
from modelmux.claude.schema.valid import ValidSchema, to_valid
from modelmux.claude.schema.work import TooMuchWork, Work, too_much_work
from modelmux.errors import InvalidRequest
from modelmux.providers.vertex_claude.native.draft import NativeDraft, refuse
from modelmux.wire.json_edit import Path, dotted
from modelmux.wire.json_keys import rename_keys

COMBINED: Final = "The root must not have anyOf, oneOf or allOf; they were removed."

_objects: Final = msgspec.json.Decoder(dict[str, Raw])
_arrays: Final = msgspec.json.Decoder(list[Raw])


def surrogates(draft: NativeDraft) -> None:
    """Lone surrogates were replaced before the body was decoded; here it is said."""
    for notice in draft.native.notices:
        draft.notices.add(*notice)


def schemas(draft: NativeDraft) -> None:
    """Schemas of tools that are not valid, their roots, and keys under these, with the calls of these tools in the
    history."""
    names: dict[str, dict[str, str]] = {}
    for index, tool in enumerate(_list(draft.content.get("tools"))):
        if isinstance(tool, dict) and tool.get("type") in (None, "custom"):
            keys = _schema(draft, tool, index)
            if keys and isinstance(tool.get("name"), str):
                names[tool["name"]] = keys
    if names:
        _history(draft, names)
        draft.property_names = {name: {new: key for key, new in keys.items()} for name, keys in names.items()}


def _schema(draft: NativeDraft, tool: Content, index: int) -> dict[str, str]:
    """Repair one schema. The keys that are renamed."""
    path: Path = ("tools", index, "input_schema")
    schema = tool.get("input_schema")
    if not isinstance(schema, dict):
        return {}
    try:
        valid = _legal(schema, path, draft.schema_work)
    except TooMuchWork:
        error = too_much_work(dotted(path))
        raise refuse(path, error.message, error.hint) from None
    keys = renamed_keys(valid.schema)
    if valid.change:
        draft.notices.add("changed", dotted(path), valid.change)
    if keys:
        draft.notices.add("changed", dotted(path), RENAMED)
        examples = tool.get("input_examples")
        if isinstance(examples, list):
            renamed = [rename_in_input(value, keys) if isinstance(value, dict) else value for value in examples]
            draft.set(("tools", index, "input_examples"), renamed)
    if valid.change or keys:
        draft.set(path, rename_in_schema(valid.schema, keys) if keys else valid.schema)
    return keys


def _legal(schema: dict[str, Any], path: Path, work: Work) -> ValidSchema:
    """A valid schema whose root does not combine others.

    :raises TooMuchWork:
    """
    if not combines_at_root(schema):
        return to_valid(schema, work)
    try:
        root = to_object_root(schema, dotted(path), work)
    except InvalidRequest as error:
        raise refuse(path, error.message, error.hint) from None
    return ValidSchema(root.schema, root.change or COMBINED)


def _history(draft: NativeDraft, names: Mapping[str, Mapping[str, str]]) -> None:
    """Rename keys in calls. The values keep their bytes."""
    messages: list[Raw] | None = None
    for index, message in enumerate(_list(draft.content.get("messages"))):
        calls = list(_calls(message, names))
        if not calls:
            continue
        messages = _arrays.decode(_objects.decode(draft.native.body)["messages"]) if messages is None else messages
        blocks = _arrays.decode(_objects.decode(messages[index])["content"])
        for at, name in calls:
            text = bytes(_objects.decode(blocks[at])["input"]).decode()
            renamed = rename_keys(text, names[name])
            if renamed != text:
                draft.edits["messages", index, "content", at, "input"] = renamed.encode()


def _calls(message: Any, names: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Index and name of each call in a message."""
    for at, block in enumerate(_list(message.get("content") if isinstance(message, dict) else None)):
        if isinstance(block, dict) and block.get("type") == "tool_use" and isinstance(block.get("input"), dict):
            name = block.get("name")
            if isinstance(name, str) and name in names:
                yield at, name


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
