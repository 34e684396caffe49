"""What Claude would refuse a whole request for, repaired where it stands; a request without such a fault is not
touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from modelmux.claude.native import Content
from modelmux.claude.property_keys import RENAMED, KeyNames, names_for, rename_in_input, rename_in_schema, renamed_keys
from modelmux.claude.schema.root import RootSchema, combines_at_root, to_accepted_root
from modelmux.claude.schema.work import TooMuchWork, Work, too_much_work
from modelmux.errors import InvalidRequest
from modelmux.providers.vertex_claude.native.draft import NativeDraft, refuse
from modelmux.wire.json_edit import Path, dotted
from modelmux.wire.json_keys import rename_keys

_objects: Final = msgspec.json.Decoder(dict[str, Raw])
_arrays: Final = msgspec.json.Decoder(list[Raw])


def surrogates(draft: NativeDraft) -> None:
    """Lone surrogates were replaced before the body was decoded; here it is said."""
    for notice in draft.native.notices:
        draft.notices.include(notice)


def schemas(draft: NativeDraft) -> None:
    """Schemas of tools that are not valid, their roots, and keys under these, with the calls of these tools in the
    history."""
    names: dict[str, KeyNames] = {}
    written = _WrittenSchemas(draft)
    for index, tool in enumerate(_list(draft.content.get("tools"))):
        if isinstance(tool, dict) and tool.get("type") in (None, "custom"):
            keys = _schema(draft, tool, index, written)
            if keys and isinstance(tool.get("name"), str):
                names[tool["name"]] = keys
    if names:
        _history(draft, names)
        draft.property_names = {name: {new: key for key, new in keys.items()} for name, keys in names.items()}


def _schema(draft: NativeDraft, tool: Content, index: int, written: _WrittenSchemas) -> KeyNames:
    """Repair one schema. The keys that are renamed."""
    path: Path = ("tools", index, "input_schema")
    schema = tool.get("input_schema")
    if not isinstance(schema, dict):
        return KeyNames({})
    is_written = combines_at_root(schema)  # and sure to change: merged once
    valid = _accepted(written.schema(index) if is_written else schema, path, draft.schema_work)
    keys = renamed_keys(valid.schema)
    if valid.change:
        draft.notices.add("changed", dotted(path), valid.change)
    if keys:
        draft.notices.add("changed", dotted(path), RENAMED)
        examples = tool.get("input_examples")
        if isinstance(examples, list):
            renamed = [rename_in_input(value, keys) if isinstance(value, dict) else value for value in examples]
            draft.set(("tools", index, "input_examples"), renamed)
    if valid.change or keys:  # with numbers in the client's spelling
        changed = valid.schema if is_written else _accepted(written.schema(index), path, draft.schema_work).schema
        draft.edits[path] = msgspec.json.encode(
            _renamed(changed, keys, path, draft.schema_work) if keys else changed, enc_hook=_number
        )
    return keys


def _renamed(schema: dict[str, Any], keys: KeyNames, path: Path, work: Work) -> dict[str, Any]:
    try:
        return rename_in_schema(schema, keys, work)
    except TooMuchWork:
        error = too_much_work(dotted(path))
        raise refuse(path, error.message, error.hint) from None


class _WrittenFloat(float):
    """A number that knows how it was written."""

    def __init__(self, text: str) -> None:
        self.text = text


_numbers: Final = msgspec.json.Decoder(dict[str, Any], float_hook=_WrittenFloat)


def _number(value: Any) -> Any:
    return Raw(value.text.encode())


class _WrittenSchemas:
    """The schemas of the tools with their numbers as they were written. The tools are split once, when first asked."""

    def __init__(self, draft: NativeDraft) -> None:
        self._draft = draft
        self._tools: list[Raw] | None = None

    def schema(self, index: int) -> dict[str, Any]:
        if self._tools is None:
            self._tools = _arrays.decode(_objects.decode(self._draft.native.body)["tools"])
        return _numbers.decode(_objects.decode(self._tools[index])["input_schema"])


def _accepted(schema: dict[str, Any], path: Path, work: Work) -> RootSchema:
    try:
        return to_accepted_root(schema, dotted(path), work)
    except InvalidRequest as error:
        raise refuse(path, error.message, error.hint) from None


def _history(draft: NativeDraft, names: Mapping[str, KeyNames]) -> None:
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
            renamed = rename_keys(text, names_for(msgspec.json.decode(text), names[name]))
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
