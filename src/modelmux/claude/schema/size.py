"""How much a schema of the subset gives to compile, every use of a definition counted, and whether it ends.

Counts only; ``subset.py`` has the limits.
"""

from __future__ import annotations

import graphlib
from typing import Any, Final, NamedTuple

DEFINITIONS: Final = ("$defs", "definitions")
#: Upper bound of all counts: definitions that use each other twice grow exponentially within a few lines.
MANY: Final = 1_000_000
_ROOT: Final = ""


class Size(NamedTuple):
    """Counts of one schema; a reference counts as its target."""

    parts: int = 0
    depth: int = 0
    optional: int = 0
    unions: int = 0


def size_of(schema: dict[str, Any]) -> Size | None:
    """The size of a schema of the subset, each use of a definition counted; None if it is recursive.

    Linear in the length of the schema, however its definitions use each other.
    """
    pieces = {_ROOT: _Piece(schema)}
    for keyword in DEFINITIONS:
        pieces |= {pointer(keyword, name): _Piece(part) for name, part in schema.get(keyword, {}).items()}
    edges = {name: [reference for reference, _ in piece.uses] for name, piece in pieces.items()}
    totals: dict[str, Size] = {}
    try:
        for name in graphlib.TopologicalSorter(edges).static_order():
            totals[name] = _total(pieces[name], totals)
    except graphlib.CycleError:
        return None
    return totals[_ROOT]


def pointer(keyword: str, name: str) -> str:
    """The reference to a definition."""
    return f"#/{keyword}/{name.replace('~', '~0').replace('/', '~1')}"


class _Piece:
    """The root or one definition: its own size, and the references in it with their depths."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.own = Size()
        self.uses: list[tuple[str, int]] = []
        self._add(schema, 1)

    def _add(self, schema: dict[str, Any], depth: int) -> None:
        properties, required = schema.get("properties", {}), schema.get("required", ())
        union = "anyOf" in schema or isinstance(schema.get("type"), list)
        own = self.own
        self.own = Size(
            own.parts + 1,
            max(own.depth, depth),
            own.optional + len(properties) - len(required),
            own.unions + union,
        )
        if "$ref" in schema:
            self.uses.append((schema["$ref"], depth))
        inner = [*properties.values(), *schema.get("anyOf", ())]
        for part in [*inner, schema["items"]] if "items" in schema else inner:
            self._add(part, depth + 1)


def _total(piece: _Piece, totals: dict[str, Size]) -> Size:
    parts, depth, optional, unions = piece.own
    for reference, at in piece.uses:
        size = totals[reference]
        parts, optional, unions = parts + size.parts, optional + size.optional, unions + size.unions
        depth = max(depth, at + size.depth)
    return Size(min(parts, MANY), min(depth, MANY), min(optional, MANY), min(unions, MANY))
