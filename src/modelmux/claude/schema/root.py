"""A tool's schema is valid and has a plain object at its root: Anthropic rejects other types and combining keywords
there, and one rejected tool would fail every request.

Everything below the root of a valid schema remains the client's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from modelmux.claude.schema.reader import (
    MAX_TEXT,
    dict_in,
    list_in,
    merge_into,
    names_in,
    resolve_ref,
    too_deep,
    types_of,
)
from modelmux.claude.schema.subset import MAX_DEPTH, MAX_NESTING
from modelmux.claude.schema.valid import to_valid
from modelmux.claude.schema.work import TooMuchWork, Work, request_work, too_much_work
from modelmux.errors import InvalidRequest

COMBINED: Final = "The root must not have anyOf, oneOf or allOf; they were removed."
TYPED: Final = "The root must be an object; its type was set to that."
_ALTERNATIVES: Final = ("anyOf", "oneOf")
_REFUSED: Final = frozenset({*_ALTERNATIVES, "allOf"})
_COMBINERS: Final = _REFUSED | {"$ref"}
_OWN: Final = frozenset({"type", "properties", "required", "nullable"}) | _COMBINERS

Json = dict[str, Any]


class RootSchema(NamedTuple):
    """A schema with a plain object at its root.

    :param change: what was changed about the client's schema, as a sentence; empty if the meaning is the same.
    :param other: whether the client's schema allows values that are not objects.
    """

    schema: Json
    change: str = ""
    other: bool = False


def combines_at_root(schema: Json) -> bool:
    """Whether Claude refuses the root for a keyword that combines schemas (anthropics/claude-code#5319)."""
    return not schema.keys().isdisjoint(_REFUSED)


def to_object_root(parameters: Json | None, where: str, work: Work | None = None) -> RootSchema:
    """The client's schema if its root is a plain object, else one with the properties of all the schemas it combines.

    References and ``allOf`` at the root are written out. Of variants it has all properties, and requires what each of
    them requires. What is not valid about the result is made so.

    :param where: path of the schema in the request.
    :param work: what is left for the schemas of the request.
    :raises InvalidRequest: the root combines too much, or refers to itself.
    """
    if parameters and None in parameters.values():  # Go clients encode an empty list as null
        parameters = {k: v for k, v in parameters.items() if v is not None}
    if not parameters:
        return RootSchema({"type": "object", "properties": {}})
    work = work or request_work()
    return _with_valid(lambda: _object_root(parameters, where, work), where, work)


def to_accepted_root(schema: Json, where: str, work: Work | None = None) -> RootSchema:
    """A schema that Claude takes, for a request that is sent as it stands otherwise: the same object if it is one.
    A reference at the root stays, which Claude takes beside its type.

    :raises InvalidRequest: as ``to_object_root``.
    """
    work = work or request_work()
    if not combines_at_root(schema):
        root = _with_valid(lambda: _plain_root(schema), where, work)
        return root if root.schema is schema or root.change else root._replace(change=TYPED)
    root = to_object_root(schema, where, work)
    return root._replace(change=root.change or COMBINED)


def _with_valid(read: Callable[[], RootSchema], where: str, work: Work) -> RootSchema:
    try:
        root = read()
        valid = to_valid(root.schema, work, keep_type=True)
    except TooMuchWork:
        raise too_much_work(where) from None
    return root._replace(schema=valid.schema, change=f"{root.change} {valid.change}".strip()) if valid.change else root


def _plain_root(schema: Json) -> RootSchema:
    if schema.get("type") == "object":
        return RootSchema(schema)
    types = types_of({"type": schema.get("type")})
    typed = {"type": "object", **{k: v for k, v in schema.items() if k != "type"}}
    if "object" in types or "type" not in schema:
        return RootSchema(typed, "", len(types) > 1)
    return RootSchema(typed, "The root must be an object; its type was changed to that.", bool(types))


def _object_root(parameters: Json, where: str, work: Work) -> RootSchema:
    if not _COMBINERS & parameters.keys():
        return _plain_root(parameters)
    part = _RootMerger(parameters, where, work).merge(parameters)
    own = {k: v for k, v in parameters.items() if k not in _COMBINERS}
    joined = {"type": "object", **{k: v for k, v in own.items() if k != "type"}, **part.rest}
    joined["properties"] = part.properties
    joined["required"] = list(dict.fromkeys(part.required))
    other = part.types is not None and part.types != {"object"}
    return RootSchema(joined, "The root must be one object; its variants were joined.", other)


class _Part(NamedTuple):
    """What one schema requires of an object.

    :param rest: its other keywords; of variants those on which they agree.
    :param types: the types of its values; None where it names none.
    """

    properties: Json
    required: list[str]
    rest: Json
    types: frozenset[str] | None


class _RootMerger:
    """Merges what a root combines. Its work is bounded: references may be used any number of times, and in a cycle.

    What a reference points to is merged once.
    """

    def __init__(self, root: Json, where: str, work: Work) -> None:
        self._root = root
        self._where = where
        self._work = 0
        self._shared = work
        self._targets: dict[str, _Part] = {}
        self._texts: dict[int, tuple[Any, str]] = {}
        if too_deep(root, MAX_NESTING):
            raise self._rejected("is nested too deeply")

    def merge(self, schema: Any, depth: int = 0) -> _Part:
        """One schema and all it combines."""
        if depth > MAX_DEPTH:
            raise self._rejected("is nested too deeply, or refers to itself")
        schema = dict_in(schema)
        types = types_of(schema)
        properties, required = dict_in(schema.get("properties")), names_in(schema.get("required"))
        rest = {k: v for k, v in schema.items() if k not in _OWN and v is not None}
        own = _Part(properties, required, rest, frozenset(types) if types else None)
        self._count(20 + len(schema) + len(required))
        always = [self.merge(member, depth + 1) for member in list_in(schema.get("allOf"))]
        if isinstance(schema.get("$ref"), str):
            always.append(self._target(schema["$ref"], depth + 1))
        alternatives = ([self.merge(v, depth + 1) for v in list_in(schema.get(key))] for key in _ALTERNATIVES)
        return self._all_of(own, always, [self._any_of(variants) for variants in alternatives if variants])

    def _target(self, reference: str, depth: int) -> _Part:
        part = self._targets.get(reference)
        if part is None:
            self._count(reference.count("/"))
            part = self._targets[reference] = self.merge(resolve_ref(self._root, reference), depth)
        return part

    def _all_of(self, own: _Part, always: list[_Part], variants: list[_Part]) -> _Part:
        held: Json = {"properties": {}}
        for part in (*variants, *always, own):
            for text in map(self._text, part.properties.values()):
                self._count(1, len(text))
            merge_into(held, {"properties": part.properties}, [])
        rest: Json = {}
        for part in (*variants, *reversed(always), own):
            rest |= part.rest
        required = dict.fromkeys(name for part in (own, *reversed(always), *variants) for name in part.required)
        types = [part.types for part in (own, *always, *variants) if part.types is not None]
        return _Part(held["properties"], list(required), rest, frozenset.intersection(*types) if types else None)

    def _any_of(self, variants: list[_Part]) -> _Part:
        types = [part.types for part in variants]
        fit = [part for part in variants if part.types is None or "object" in part.types]
        variants_of: dict[str, dict[str, Any]] = {}
        for part in fit:
            for name, schema in part.properties.items():
                text = self._text(schema)
                self._count(1, len(text))
                variants_of.setdefault(name, {})[text] = schema
        every = set[str]().union(*(part.required for part in fit)).intersection(*(part.required for part in fit))
        several = {name: list(schemas.values()) for name, schemas in variants_of.items()}
        return _Part(
            {name: schemas[0] if len(schemas) == 1 else {"anyOf": schemas} for name, schemas in several.items()},
            [name for name in fit[0].required if name in every] if fit else [],
            {k: v for k, v in fit[0].rest.items() if all(part.rest.get(k) == v for part in fit)} if fit else {},
            None if None in types else frozenset().union(*(k for k in types if k is not None)),
        )

    def _text(self, schema: Any) -> str:
        """A schema as text, encoded once for each object."""
        if id(schema) not in self._texts:
            self._texts[id(schema)] = schema, json.dumps(schema)
        return self._texts[id(schema)][1]

    def _count(self, work: int, text: int = 0) -> None:
        """
        :param work: about half a microsecond each.
        :param text: characters that are compared or encoded.
        """
        self._shared.charge((work >> 1) + (text >> 5) + 1)
        self._work += work + text
        if self._work > MAX_TEXT:
            raise self._rejected("combines too much")

    def _rejected(self, what: str) -> InvalidRequest:
        return InvalidRequest(
            f"The root of the schema {what}.", param=self._where, hint="Give it a plain object with properties."
        )
