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


def renamed_keys(schema: Any) -> dict[str, str]:
    """The keys under the root that are renamed -> their new ones; empty if Claude takes them all, as nearly always."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or _are_legal(properties):
        return {}
    illegal = {key: to_legal_key(key) for key in properties if not _LEGAL.fullmatch(key)}
    names = names_for(properties, illegal)
    return {key: names[key] for key in properties if key in names}


def names_for(keys: Collection[str], names: Mapping[str, str]) -> Mapping[str, str]:
    """New names for the keys of one object: those that are given, and others for keys that have one of them already."""
    pending, result = list(names.values()), names
    while pending:
        taken = pending.pop()
        if taken in keys and taken not in result:
            result = {**result, taken: to_legal_key(taken)}
            pending.append(result[taken])
    return result


def _are_legal(keys: Collection[str]) -> bool:
    """Whether Claude takes them all, in one look."""
    joined = "\0".join(keys)
    return _ALL_LEGAL.fullmatch(joined) is not None and joined.count("\0") == len(keys) - 1 if keys else True


def rename_in_schema(schema: Json, names: Mapping[str, str]) -> Json:
    """The schema with keys under its root renamed, wherever it names them; a description has the original."""
    renamed = SchemaRenaming(schema, names, lambda value: rename_in_input(value, names)).renamed()
    properties = renamed["properties"]
    described = {new: _described(properties[new], key) for key, new in names.items()}
    return {**renamed, "properties": {**properties, **described}}


def rename_in_input(value: Json, names: Mapping[str, str]) -> Json:
    """The input of a call with keys of its root renamed, in the same order."""
    names = names_for(value, names)
    if names.keys().isdisjoint(value):
        return value
    return {names.get(key, key): part for key, part in value.items()}


def apply(draft: Draft) -> None:
    """Rename keys in the schemas of tools, and in the calls of these tools in the history."""
    names = {
        tool.name: keys
        for tool in draft.body.tools or ()
        if isinstance(tool, Tool) and (keys := renamed_keys(tool.input_schema))
    }
    if not names:
        return
    body, fields = draft.body, draft.request.fields
    body.tools = [_tool(tool, names) for tool in body.tools or ()]
    body.messages = [_turn(message, names) for message in body.messages]
    for name in names:
        field = fields.schema_of(name) if name in fields.tools else fields.answer_schema
        draft.notices.add("changed", field, RENAMED)
    originals = {name: {new: key for key, new in keys.items()} for name, keys in names.items()}
    aliases = draft.request.tool_aliases
    draft.property_names = originals | {a: originals[name] for a, name in aliases.items() if name in originals}


def _tool(tool: Any, names: Mapping[str, Mapping[str, str]]) -> Any:
    if not isinstance(tool, Tool) or tool.name not in names:
        return tool
    return replace(tool, input_schema=rename_in_schema(tool.input_schema, names[tool.name]))


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
