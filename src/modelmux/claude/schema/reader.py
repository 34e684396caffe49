"""Reads client JSON schemas, malformed ones included: types, names, references, and two schemas merged into one.

Not in this module: what Claude accepts (``subset.py``, ``root.py``).
"""

from __future__ import annotations

import json
from typing import Any, Final

from modelmux.claude.schema.size import DEFINITIONS

#: Keywords that constrain nothing but inform the model: moved into the description without a notice.
ANNOTATIONS: Final = ("default", "examples", "deprecated", "readOnly", "writeOnly")
#: Of these keywords the outermost value is used.
_FIRST_WINS: Final = frozenset({*ANNOTATIONS, "description", "title", "nullable"})
#: Keywords without meaning for the value; left out without a notice, like those that begin with ``x-``.
_DROPPED: Final = frozenset({"$schema", "$id", "$comment", "$anchor", "nullable", "discriminator", "strict"})
_TYPES: Final = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})

Json = dict[str, Any]


def item_schema(schema: Json) -> Any:
    """The schema of any item of an array: the subset cannot express their order."""
    first, rest, most = list_in(schema.get("prefixItems")), schema.get("items"), schema.get("maxItems")
    if not first:
        return rest
    no_rest = rest is False or (isinstance(most, int) and most <= len(first))
    parts = list({json.dumps(part): part for part in (first if no_rest else [*first, rest])}.values())
    return parts[0] if len(parts) == 1 else {"anyOf": parts}


def merge_into(merged: Json, member: Json, left: list[Json]) -> None:
    """Merge a schema into another, so that both hold; keywords that cannot be merged are added to ``left``.

    The caller handles references and ``allOf``.
    """
    for key, value in member.items():
        if key in ("$ref", "allOf", *DEFINITIONS):
            continue
        if key == "properties":
            known = merged.setdefault(key, {})
            for name, part in dict_in(value).items():
                known[name] = _both(known[name], part) if name in known else part
        elif key == "required":
            merged.setdefault(key, {}).update(dict.fromkeys(names_in(value)))
        elif key == "type":
            kinds = types_of(member)
            if kinds:
                merged[key] = kinds if key not in merged else _in_both(merged[key], kinds)
        elif key == "items":
            merged[key] = _both(merged[key], value) if key in merged else value
        elif key not in merged:
            merged[key] = value
        elif (
            key not in _FIRST_WINS and is_significant(key, value) and merged[key] is not value and merged[key] != value
        ):
            left.append({key: value})


def _both(one: Any, other: Any) -> Any:
    return one if one is other or one == other else {"allOf": [one, other]}


def _in_both(one: list[str], other: list[str]) -> list[str]:
    """The types two lists have in common; every integer is a number."""
    wide = [k for k in one if k in other or (k == "integer" and "number" in other)]
    return wide + [k for k in other if k == "integer" and "number" in one and k not in wide]


def resolve_ref(root: Json, reference: str) -> Any:
    """The target of a reference within ``root``; None if there is no such target, or if it is outside."""
    path = reference.removeprefix("#")
    if not path.startswith("/"):
        return None
    target: Any = root
    for step in path[1:].split("/"):
        target = dict_in(target).get(unescaped(step))
    return target


def too_deep(value: Any, levels: int) -> bool:
    """Whether JSON is nested in more than N levels; checked first, so that later steps may recurse."""
    level = [value]
    for _ in range(levels):
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, list | dict))
        level = [v for held in inner for v in held]
    return bool(level)


def types_of(schema: Json) -> list[str]:
    """The types that a schema declares or implies, each once."""
    kind = schema.get("type")
    names = kind if isinstance(kind, list) else [kind]
    kinds = list(dict.fromkeys(k for k in names if isinstance(k, str) and k in _TYPES))
    if not kinds:
        kinds = ["object"] if "properties" in schema else ["array"] if "items" in schema else []
    if schema.get("nullable") is True and kinds and "null" not in kinds:
        kinds.append("null")
    return kinds


def names_in(required: Any) -> list[str]:
    """The names in ``required``; other values, such as the ``true`` of old drafts, are ignored."""
    return [name for name in list_in(required) if isinstance(name, str)]


def dict_in(value: Any) -> Json:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def list_in(value: Any) -> list[Any]:
    """A JSON array; an empty one for anything else."""
    return value if isinstance(value, list) else []


def is_significant(key: str, value: Any) -> bool:
    """Whether a keyword has a meaning that must not be lost."""
    if key == "nullable":
        return value is True
    if value is None and key != "const":
        return False  # null stands for an absent keyword
    return key not in _DROPPED and key not in ("$ref", *DEFINITIONS) and not key.startswith("x-")


def unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
