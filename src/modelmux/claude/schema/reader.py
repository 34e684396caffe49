"""Reads a client's JSON schema in whatever form it comes: its types and names, what its references point to, and two
schemas merged into one.

What Claude accepts of it is decided in ``subset.py`` and ``root.py``.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from modelmux.claude.schema.size import DEFINITIONS, pointer
from modelmux.claude.schema.work import Work

#: Keywords that constrain nothing but inform the model: written into the description, without a notice.
ANNOTATIONS: Final = ("default", "examples", "deprecated", "readOnly", "writeOnly")
#: Of these the outermost value is used.
_FIRST_WINS: Final = frozenset({*ANNOTATIONS, "description", "title", "nullable"})
#: Keywords that do not concern the value; left out without a notice, like those that begin with ``x-``.
_DROPPED: Final = frozenset({"$schema", "$id", "$comment", "$anchor", "nullable", "discriminator", "strict"})
#: Keywords that whoever merges two schemas has followed already.
_OF_CALLER: Final = frozenset({"$ref", "allOf", *DEFINITIONS})
_CONTAINERS: Final = (list, dict)
#: Characters and list entries of one schema: a long text in a definition must not be copied without limit.
MAX_TEXT: Final = 1_000_000
_DEFINITION: Final = re.compile(r"#/(\$defs|definitions)/([^/]+)")
_TYPES: Final = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})

Json = dict[str, Any]


class NotExpressible(Exception):
    """The schema cannot be expressed in the subset; the text is the reason."""


class SchemaReader:
    """Reads the schemas of one document as plain keywords: references and ``allOf`` resolved and merged.

    Its work is bounded: references may be used any number of times, and in a cycle.
    """

    def __init__(self, root: Json, work: Work) -> None:
        self._root = root
        self._work = work
        self._size = 0

    def read(self, schema: Json) -> tuple[Json | str, list[Json]]:
        """One schema with what its references and ``allOf`` require, and the keywords that cannot be merged into it.

        A reference without other keywords is returned as such, in its one spelling.

        :raises NotExpressible: a reference to something that is not a definition, or too much to merge.
        """
        reference = schema.get("$ref")
        if isinstance(reference, str) and not any(is_significant(key, schema[key]) for key in schema):
            return self._definition(reference), []
        if isinstance(reference, str) or list_in(schema.get("allOf")):
            return self._merged(schema)
        return schema, []

    def target(self, reference: str) -> Any:
        """What a reference points to; None for nothing, and for a reference to another document."""
        return resolve_ref(self._root, reference)

    def definitions(self) -> list[tuple[str, dict[str, str]]]:
        """The keywords that hold definitions, each with the names and their references, in the client's order."""
        return [(k, {name: pointer(k, name) for name in dict_in(self._root.get(k))}) for k in DEFINITIONS]

    def charge(self, size: int) -> None:
        """Count what was read or written.

        :raises NotExpressible: it is more than ``MAX_TEXT`` together.
        :raises TooMuchWork: it is more than is left for the request.
        """
        self._work.charge(size >> 5)
        self._size += size
        if self._size > MAX_TEXT:
            raise NotExpressible("it is too large")

    def _definition(self, reference: str) -> str:
        """A reference to a definition, in its one spelling."""
        self.charge(len(reference))
        if self.target(reference) is None:
            raise NotExpressible("it refers to something outside itself")
        match = _DEFINITION.fullmatch(reference if reference.startswith("#") else "#" + reference)
        if match is None:
            raise NotExpressible("it refers to a part of itself that is not a definition")
        return pointer(match[1], unescaped(match[2]))

    def _merged(self, schema: Json) -> tuple[Json, list[Json]]:
        """All keywords of a schema, of what it refers to and of its ``allOf`` in one; with them those that occur twice
        with values that cannot be merged."""
        merged: Json = {}
        unmerged: list[Json] = []
        members: list[Any] = [schema]
        followed: set[str] = set()
        while members:
            member = members.pop()
            if member is True:
                continue
            if not isinstance(member, dict):
                raise NotExpressible("a part of it is not a schema")
            self._work.charge(1)
            self.charge(10 * (1 + len(member)) + sum([len(v) for v in member.values() if type(v) in _CONTAINERS]))
            if isinstance(member.get("$ref"), str):
                reference = self._definition(member["$ref"])
                if reference not in followed:  # a second time it would add nothing
                    followed.add(reference)
                    members.append(self.target(reference))
            members += reversed(list_in(member.get("allOf")))
            merge_into(merged, member, unmerged)
        if merged.get("type") == []:
            raise NotExpressible("parts of it contradict each other in their type")
        if "required" in merged:
            merged["required"] = list(merged["required"])
        return merged, unmerged


def item_schema(schema: Json) -> Any:
    """What any item of an array may be: the subset cannot express their order."""
    first, rest, most = list_in(schema.get("prefixItems")), schema.get("items"), schema.get("maxItems")
    if not first:
        return rest
    no_rest = rest is False or (isinstance(most, int) and most <= len(first))
    parts = list({json.dumps(part): part for part in (first if no_rest else [*first, rest])}.values())
    return parts[0] if len(parts) == 1 else {"anyOf": parts}


def merge_into(merged: Json, member: Json, unmerged: list[Json]) -> None:
    """Merge a schema into another, so that both hold; what cannot be merged is added to ``unmerged``.

    References and ``allOf`` are the caller's task.
    """
    for key, value in member.items():
        if key in _OF_CALLER:
            continue
        if key == "properties":
            known = merged.setdefault(key, {})
            for name, part in dict_in(value).items():
                known[name] = _both(known[name], part) if name in known else part
        elif key == "required":
            merged.setdefault(key, {}).update(dict.fromkeys(names_in(value)))
        elif key == "type":
            types = types_of(member)
            if types:
                merged[key] = types if key not in merged else _in_both(merged[key], types)
        elif key == "items":
            merged[key] = _both(merged[key], value) if key in merged else value
        elif key not in merged:
            merged[key] = value
        elif (
            key not in _FIRST_WINS and is_significant(key, value) and merged[key] is not value and merged[key] != value
        ):
            unmerged.append({key: value})


def _both(one: Any, other: Any) -> Any:
    return one if one is other or one == other else {"allOf": [one, other]}


def _in_both(one: list[str], other: list[str]) -> list[str]:
    """The types two lists have in common; every integer is a number."""
    wide = [k for k in one if k in other or (k == "integer" and "number" in other)]
    return wide + [k for k in other if k == "integer" and "number" in one and k not in wide]


def resolve_ref(root: Json, reference: str) -> Any:
    """What a reference within ``root`` points to; None for nothing, and for a reference to another document."""
    path = reference.removeprefix("#")
    if not path.startswith("/"):
        return None
    target: Any = root
    for step in path[1:].split("/"):
        target = dict_in(target).get(unescaped(step))
    return target


def too_deep(value: Any, levels: int) -> bool:
    """Whether JSON is nested beyond N levels; checked first, so that what follows may recurse."""
    level = [value]
    for _ in range(levels):
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, list | dict))
        level = [v for held in inner for v in held]
    return bool(level)


def types_of(schema: Json) -> list[str]:
    """The types a schema names or implies, each once; none if it does neither."""
    value = schema.get("type")
    names = value if isinstance(value, list) else [value]
    types = list(dict.fromkeys(k for k in names if isinstance(k, str) and k in _TYPES))
    if not types:
        types = ["object"] if "properties" in schema else ["array"] if "items" in schema else []
    if schema.get("nullable") is True and types and "null" not in types:
        types.append("null")
    return types


def names_in(required: Any) -> list[str]:
    """The names in ``required``; clients also send ``true`` and other old forms, which hold no names."""
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
        return False  # the same as leaving it out
    return key not in _DROPPED and key not in ("$ref", *DEFINITIONS) and not key.startswith("x-")


def unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
