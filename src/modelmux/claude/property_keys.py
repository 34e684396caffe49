"""Keys of a tool's properties: renames those that Claude does not accept directly under the root of a schema.

Claude refuses the whole request for one such key (``tools.0.custom.input_schema.properties: Property keys should match
pattern '^[a-zA-Z0-9_.-]{1,64}$'``); below the root it accepts any. The new key depends on the old one alone, so that
every turn of a conversation sends the same bytes. A legal key stays, with one exception: one that is the new key of
another key beside it makes room. ``reply_keys.py`` has the way back.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from msgspec.structs import replace

from modelmux.claude.draft import Draft
from modelmux.claude.schema.renaming import SchemaRenaming
from modelmux.claude.schema.work import TooMuchWork, Work, request_work, too_much_work
from modelmux.wire.anthropic import InputMessage, Tool, ToolUseBlock

_LEGAL: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_ALL_LEGAL: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}(?:\0[a-zA-Z0-9_.-]{1,64})*+")
_ILLEGAL_CHARACTERS: Final = re.compile(r"[^a-zA-Z0-9_.-]+")
_HASH_LENGTH: Final = 12
#: What ends a new key.
_RENAMED: Final = re.compile(r"__[0-9a-f]{12}\Z")
_STEM: Final = 64 - 2 - _HASH_LENGTH
#: Characters of a key that its description repeats.
_MAX_DESCRIBED: Final = 200

RENAMED: Final = "Property keys that Claude does not accept were renamed; calls in replies have the original ones."

Json = dict[str, Any]


def to_legal_key(key: str) -> str:
    """A key that Claude accepts: a legal one unchanged, another one cleaned, with a hash of the original appended so
    that two keys never become one. One in the form of a new key gets another, for use where it has to make room."""
    if _LEGAL.fullmatch(key) and not _RENAMED.search(key):
        return key
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    stem = _ILLEGAL_CHARACTERS.sub("_", key)[:_STEM].strip("_") or "key"
    return f"{stem}__{digest}"


class KeyNames(dict[str, str]):
    """Keys of one object that are renamed -> their new ones."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(names)
        self.new = frozenset(names.values())


def renamed_keys(schema: Any) -> KeyNames:
    """The keys under the root that are renamed; empty if Claude takes them all, as nearly always."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or _are_legal(properties):
        return _NONE
    illegal = KeyNames({key: to_legal_key(key) for key in properties if not _LEGAL.fullmatch(key)})
    return KeyNames(names_for(properties, illegal))


_NONE: Final = KeyNames({})
#: Units of ``Work`` for a key that is renamed.
_UNITS_OF_A_KEY: Final = 4


def names_for(keys: Collection[str], names: KeyNames) -> dict[str, str]:
    """New names for the keys of one object, in their order: those that are given, and others for keys that are the new
    name of another one."""
    result = {key: names[key] for key in keys if key in names}
    pending = [key for key in keys if key in names.new and key not in names]
    if not pending:
        return result
    while pending:
        key = pending.pop()
        new = result[key] = to_legal_key(key)
        if new in keys and new not in result:
            pending.append(new)
    return {key: result[key] for key in keys if key in result}


def _are_legal(keys: Collection[str]) -> bool:
    """Whether Claude takes them all, in one look."""
    joined = "\0".join(keys)
    return _ALL_LEGAL.fullmatch(joined) is not None and joined.count("\0") == len(keys) - 1 if keys else True


def rename_in_schema(schema: Json, names: Mapping[str, str], work: Work | None = None) -> Json:
    """The schema with keys under its root renamed, wherever it names them; a description has the original.

    :param work: what is left for the schemas of the request.
    :raises TooMuchWork: renaming takes more.
    """
    work = work or request_work()
    work.charge(_UNITS_OF_A_KEY * len(names))
    names = KeyNames(names)
    renamed = SchemaRenaming(schema, names, lambda value: rename_in_input(value, names), work).renamed()
    properties = renamed["properties"]
    described = {new: _described(properties[new], key) for key, new in names.items()}
    return {**renamed, "properties": {**properties, **described}}


def rename_in_input(value: Json, names: Mapping[str, str]) -> Json:
    """The input of a call with keys of its root renamed, in the same order."""
    new = names_for(value, names if isinstance(names, KeyNames) else KeyNames(names))
    return {new.get(key, key): part for key, part in value.items()} if new else value


def apply(draft: Draft) -> None:
    """Rename keys in the schemas of tools, and in the calls of these tools in the history."""
    names = {
        tool.name: keys
        for tool in draft.body.tools or ()
        if isinstance(tool, Tool) and (keys := renamed_keys(tool.input_schema))
    }
    if not names:
        return
    body = draft.body
    body.tools = [_tool(tool, names, draft) for tool in body.tools or ()]
    body.messages = [_turn(message, names) for message in body.messages]
    for name in names:
        draft.notices.add("changed", _schema_field(draft, name), RENAMED)
    originals = {name: {new: key for key, new in keys.items()} for name, keys in names.items()}
    aliases = draft.request.tool_aliases
    draft.property_names = originals | {a: originals[name] for a, name in aliases.items() if name in originals}


def _schema_field(draft: Draft, name: str) -> str:
    fields = draft.request.fields
    return fields.schema_of(name) if name in fields.tools else fields.answer_schema


def _tool(tool: Any, names: Mapping[str, Mapping[str, str]], draft: Draft) -> Any:
    if not isinstance(tool, Tool) or tool.name not in names:
        return tool
    try:
        schema = rename_in_schema(tool.input_schema, names[tool.name], draft.schema_work)
    except TooMuchWork:
        raise too_much_work(_schema_field(draft, tool.name)) from None
    return replace(tool, input_schema=schema)


def _turn(message: InputMessage, names: Mapping[str, Mapping[str, str]]) -> InputMessage:
    content = [_block(block, names) for block in message.content]
    changed = any(new is not old for new, old in zip(content, message.content, strict=True))
    return replace(message, content=content) if changed else message


def _block(block: Any, names: Mapping[str, Mapping[str, str]]) -> Any:
    if not isinstance(block, ToolUseBlock) or block.name not in names or not isinstance(block.input, dict):
        return block
    renamed = rename_in_input(block.input, names[block.name])
    return block if renamed is block.input else replace(block, input=renamed)


def _described(schema: Any, key: str) -> Any:
    """A property's schema with its original key, which may mean more to the model than the new one."""
    if schema is False:
        return False
    schema = {} if schema is True else schema
    name = json.dumps(key[:_MAX_DESCRIBED], ensure_ascii=False)
    own = schema.get("description")
    return {**schema, "description": f"{name}: {own}" if own else name}
