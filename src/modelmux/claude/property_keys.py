"""Keys of a tool's properties: renames those that Claude does not accept directly under the root of a schema.

Claude refuses the whole request for one such key (``tools.0.custom.input_schema.properties: Property keys should match
pattern '^[a-zA-Z0-9_.-]{1,64}$'``); below the root it accepts any. The new key depends on the old one alone, so that
every turn of a conversation sends the same bytes. ``reply_keys.py`` has the way back.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import unquote

from msgspec.structs import replace

from modelmux.claude.draft import Draft
from modelmux.wire.anthropic import InputMessage, Tool, ToolUseBlock

_LEGAL: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_ALL_LEGAL: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}(?:\0[a-zA-Z0-9_.-]{1,64})*+")
_ILLEGAL_CHARACTERS: Final = re.compile(r"[^a-zA-Z0-9_.-]+")
_HASH_LENGTH: Final = 12
#: What ends a new key. Beside keys that are renamed, one of this form is, too: it could be the new key of another.
_RENAMED: Final = re.compile(r"__[0-9a-f]{12}\Z")
_STEM: Final = 64 - 2 - _HASH_LENGTH
#: Characters of a key that its description repeats.
_MAX_DESCRIBED: Final = 200
#: Levels of schemas that describe the same object: below, keys stay.
_MAX_LEVELS: Final = 20
#: Levels of JSON that are searched for references.
_MAX_JSON_LEVELS: Final = 250
#: Keywords with schemas of the same object, and those that name its keys.
_SAME_OBJECT: Final = ("if", "then", "else", "not")
_VARIANTS: Final = ("allOf", "anyOf", "oneOf")
_NAMED: Final = ("dependentSchemas", "dependentRequired", "dependencies")
_VALUES: Final = ("examples", "enum")
_VALUE: Final = ("default", "const")
_REFERENCES: Final = ("$ref", "$dynamicRef")
_REFERENCE: Final = re.compile(r"#/properties/([^/]*)(.*)", re.DOTALL)

RENAMED: Final = "Property keys that Claude does not accept were renamed; calls in replies have the original ones."

Json = dict[str, Any]


def to_legal_key(key: str) -> str:
    """A key that Claude accepts: a legal one unchanged, another one cleaned, with a hash of the original appended so
    that two keys never become one."""
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
    return {key: new for key in properties if (new := to_legal_key(key)) != key}


def _are_legal(keys: Collection[str]) -> bool:
    """Whether Claude takes them all, in one look."""
    joined = "\0".join(keys)
    return _ALL_LEGAL.fullmatch(joined) is not None and joined.count("\0") == len(keys) - 1 if keys else True


def rename_in_schema(schema: Json, names: Mapping[str, str]) -> Json:
    """The schema with keys under its root renamed, wherever it names them; a description has the original."""
    renamed: Json = _with_references(_same_object(schema, names, 0), names, 0)
    properties = renamed["properties"]
    described = {new: _described(properties[new], key) for key, new in names.items()}
    return {**renamed, "properties": {**properties, **described}}


def rename_in_input(value: Json, names: Mapping[str, str]) -> Json:
    """The input of a call with keys of its root renamed, in the same order."""
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
        path = fields.tools.get(name)
        field = fields.answer_schema if path is None else f"{path}.{fields.tool_schema}"
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


def _same_object(schema: Any, names: Mapping[str, str], level: int) -> Any:
    """A schema that describes the object whose keys are renamed."""
    if not isinstance(schema, dict) or level > _MAX_LEVELS:
        return schema
    result: Json = {}
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            value = rename_in_input(value, names)
        elif key == "required":
            value = _listed(value, names)
        elif key in _NAMED and isinstance(value, dict):
            value = {names.get(name, name): _dependent(part, names, level + 1) for name, part in value.items()}
        elif key == "propertyNames" and isinstance(value, dict):
            value = {k: _listed(v, names) if k == "enum" else v for k, v in value.items()}
        elif key in _SAME_OBJECT:
            value = _same_object(value, names, level + 1)
        elif key in _VARIANTS and isinstance(value, list):
            value = [_same_object(part, names, level + 1) for part in value]
        elif key in _VALUES and isinstance(value, list):
            value = [_value(part, names) for part in value]
        elif key in _VALUE:
            value = _value(value, names)
        result[key] = value
    return result


def _dependent(part: Any, names: Mapping[str, str], level: int) -> Any:
    return _listed(part, names) if isinstance(part, list) else _same_object(part, names, level)


def _listed(value: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(value, list):
        return value
    return [names.get(name, name) if isinstance(name, str) else name for name in value]


def _value(value: Any, names: Mapping[str, str]) -> Any:
    return rename_in_input(value, names) if isinstance(value, dict) else value


def _described(schema: Any, key: str) -> Any:
    """A property's schema with its original key, which may mean more to the model than the new one."""
    if schema is False:
        return False
    schema = {} if schema is True else schema
    name = json.dumps(key[:_MAX_DESCRIBED], ensure_ascii=False)
    own = schema.get("description")
    return {**schema, "description": f"{name}: {own}" if own else name}


def _with_references(value: Any, names: Mapping[str, str], level: int) -> Any:
    """JSON with the references to renamed properties changed."""
    if level > _MAX_JSON_LEVELS:
        return value
    if isinstance(value, list):
        return [_with_references(part, names, level + 1) for part in value]
    if not isinstance(value, dict):
        return value
    result: Json = {}
    for key, part in value.items():
        if key in _REFERENCES and isinstance(part, str):
            result[key] = _reference(part, names)
        else:
            result[key] = part if key in (*_VALUES, *_VALUE) else _with_references(part, names, level + 1)
    return result


def _reference(reference: str, names: Mapping[str, str]) -> str:
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        return reference
    key = unquote(match[1]).replace("~1", "/").replace("~0", "~")
    return f"#/properties/{names[key]}{match[2]}" if key in names else reference
