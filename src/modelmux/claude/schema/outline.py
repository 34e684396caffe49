"""Where a schema wants an object or an array, found while the JSON of a value still arrives.

An approximation: which of several variants holds is not known before the value is complete, so a place in a value has
the schemas of all of them. ``conformance.py`` decides afterwards.
"""

from __future__ import annotations

from typing import Any, Final

from modelmux.claude.schema.conformance import target_of
from modelmux.claude.schema.reader import dict_in, list_in
from modelmux.claude.schema.work import MAX_LEVELS, Work

_CONTAINERS: Final = frozenset({"object", "array"})
_SHAPES: Final = frozenset({"object", "array", "string"})
_SHAPE_OF: Final[dict[type, str]] = {dict: "object", list: "array", str: "string"}

Json = dict[str, Any]


class Position:
    """One place in a value.

    :param misplaced: whether a string there cannot be what is meant, because an object or an array is wanted:
        ``True``, ``False``, or ``None`` if that holds for some variants.
    """

    __slots__ = ("_children", "_items", "_outline", "_plain", "_prefix", "misplaced")

    def __init__(self, outline: Outline, schemas: list[Any]) -> None:
        self._outline = outline
        verdicts = {outline.is_misplaced(schema) for schema in schemas}
        self.misplaced = verdicts == {True} or (None if True in verdicts else False)
        self._plain = outline.plain(schemas)
        self._prefix = max((len(_prefix_of(plain)) for plain in self._plain), default=0)
        self._children: dict[str, Position] = {}
        self._items: dict[int, Position] = {}

    def has_property(self, key: str) -> bool:
        """Whether a schema names a property."""
        return any(key in dict_in(plain.get("properties")) for plain in self._plain)

    def child(self, key: str) -> Position:
        """The value of a property.

        :raises TooMuchWork: as all that ask for a place.
        """
        if key not in self._children:
            self._children[key] = self._outline.position([_property(plain, key) for plain in self._plain])
        return self._children[key]

    def item(self, index: int) -> Position:
        """An item of an array."""
        number = min(index, self._prefix)
        if number not in self._items:
            self._items[number] = self._outline.position([_item(plain, number) for plain in self._plain])
        return self._items[number]


class Outline:
    """The places of one schema, made as they are asked for."""

    def __init__(self, schema: Any, work: Work) -> None:
        self._schema = schema
        self._work = work
        self._positions: dict[tuple[int, ...], Position] = {}
        self._plain_of: dict[int, list[Json]] = {}
        self._shapes: dict[int, frozenset[str]] = {}

    def root(self) -> Position:
        return self.position([self._schema])

    def position(self, schemas: list[Any]) -> Position:
        """The place that has these schemas; what is not one is left out."""
        self._work.charge(1 + len(schemas))
        distinct = {id(schema): schema for schema in schemas if isinstance(schema, dict)}
        key = tuple(distinct)
        if key not in self._positions:
            self._positions[key] = Position(self, list(distinct.values()))
        return self._positions[key]

    def is_misplaced(self, schema: Json) -> bool:
        shapes = self._shapes_of(schema, 0)
        return "string" not in shapes and not shapes.isdisjoint(_CONTAINERS)

    def plain(self, schemas: list[Json]) -> list[Json]:
        """The schemas with all that they refer to and combine."""
        found: dict[int, Json] = {}
        pending: list[Any] = list(reversed(schemas))
        while pending:
            schema = pending.pop()
            if not isinstance(schema, dict) or id(schema) in found:
                continue
            found[id(schema)] = schema
            parts = [target_of(self._schema, schema.get("$ref")), schema.get("then"), schema.get("else")]
            for keyword in ("allOf", "anyOf", "oneOf"):
                parts += list_in(schema.get(keyword))
            self._work.charge(1 + len(parts))
            pending += reversed(parts)
        return list(found.values())

    def _shapes_of(self, schema: Any, level: int) -> frozenset[str]:
        """Which of object, array and string a schema allows."""
        if not isinstance(schema, dict) or level > MAX_LEVELS:
            return _SHAPES
        known = self._shapes.get(id(schema))
        if known is not None:
            return known
        self._work.charge(1 + len(schema))
        self._shapes[id(schema)] = _SHAPES  # of a schema that refers to itself
        shapes = _own_shapes(schema)
        for part in [target_of(self._schema, schema.get("$ref")), *list_in(schema.get("allOf"))]:
            shapes &= self._shapes_of(part, level + 1)
        for keyword in ("anyOf", "oneOf"):
            variants = [self._shapes_of(part, level + 1) for part in list_in(schema.get(keyword))]
            shapes &= frozenset().union(*variants) if variants else _SHAPES
        self._shapes[id(schema)] = shapes
        return shapes


def _own_shapes(schema: Json) -> frozenset[str]:
    shapes = _SHAPES
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if all(isinstance(name, str) for name in names):
            shapes &= frozenset(names)
    values = list_in(schema.get("enum")) + ([schema["const"]] if "const" in schema else [])
    return shapes & {_SHAPE_OF.get(type(value), "") for value in values} if values else shapes


def _property(plain: Json, key: str) -> Any:
    properties = dict_in(plain.get("properties"))
    return properties[key] if key in properties else plain.get("additionalProperties")


def _item(plain: Json, index: int) -> Any:
    prefix = _prefix_of(plain)
    return prefix[index] if index < len(prefix) else plain.get("items")


def _prefix_of(plain: Json) -> list[Any]:
    """The schemas of the first items; before draft 2020-12 they were in ``items``."""
    return list_in(plain.get("prefixItems")) or list_in(plain.get("items"))
