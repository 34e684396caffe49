"""Finds the members of a JSON value that its structs do not have, at every depth.

The structs refuse unknown members, which costs nothing while a request has none. A request that has some is decoded
without types, and ``remove_unknown`` takes them out, so that they can be reported instead of refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any, Final

from msgspec import Struct, inspect

from modelmux.errors import InvalidRequest

#: Unknown members of one request that are reported: each takes several microseconds, however short it is.
MAX_UNKNOWN: Final = 10_000


#: Where a value stands: the path of what holds it, and its name or place there. Few are ever written out.
_Path = tuple[Any, str | int] | None


class Shape(Struct, frozen=True):
    """What a value may hold, as far as members are concerned. Anything else, such as a free object, is not looked at.

    :param members: the shape of each member of an object; None for one that is not looked at.
    :param variants: shapes of an object by the value of ``tag``.
    :param items: shape of the items of an array.
    """

    members: dict[str, Shape | None] | None = None
    variants: dict[str, Shape] | None = None
    tag: str = ""
    items: Shape | None = None


def shape_of(type: Any) -> Shape:
    """The shape of a struct."""
    shape = _shape(inspect.type_info(type))
    assert shape is not None, "a struct has members"
    return shape


def remove_unknown(value: Any, shape: Shape) -> list[str]:
    """Take unknown members out of a value, in place.

    :returns: their dotted paths, those of an object before those of what it holds.
    :raises InvalidRequest: more than ``MAX_UNKNOWN``.
    """
    unknown: list[str] = []
    _remove(value, shape, None, unknown)
    return unknown


def _shape(info: inspect.Type) -> Shape | None:
    if isinstance(info, inspect.StructType):
        members = {field.encode_name: _shape(field.type) for field in info.fields}
        if info.tag_field is None:
            return Shape(members)
        return Shape(variants={str(info.tag): Shape({info.tag_field: None, **members})}, tag=info.tag_field)
    if isinstance(info, inspect.ListType):
        items = _shape(info.item_type)
        return Shape(items=items) if items is not None else None
    return _merged(map(_shape, info.types)) if isinstance(info, inspect.UnionType) else None


def _merged(shapes: Iterable[Shape | None]) -> Shape | None:
    """One shape for the types of a union: msgspec allows structs in it only if a tag tells them apart."""
    known = [shape for shape in shapes if shape is not None]
    if not known:
        return None
    return Shape(
        next((shape.members for shape in known if shape.members is not None), None),
        {tag: variant for shape in known for tag, variant in (shape.variants or {}).items()} or None,
        next((shape.tag for shape in known if shape.tag), ""),
        next((shape.items for shape in known if shape.items is not None), None),
    )


def _remove(value: Any, shape: Shape, path: _Path, unknown: list[str]) -> None:
    if isinstance(value, list):
        if shape.items is not None:
            for index, item in enumerate(value):
                _remove(item, shape.items, (path, index), unknown)
    elif isinstance(value, dict):
        members = _members(value, shape)
        if members is None:
            return
        if not value.keys() <= members.keys():
            _report(value, members, path, unknown)
        for name, member in value.items():
            inner = members[name]
            if inner is not None:
                _remove(member, inner, (path, name), unknown)


def _report(value: dict[str, Any], members: dict[str, Shape | None], path: _Path, unknown: list[str]) -> None:
    """Take the unknown members out of one object."""
    prefix = _dotted(path)
    strangers = [name for name in value if name not in members]
    unknown += [prefix + name for name in strangers if value.pop(name) is not None]  # null says nothing
    check_unknown(unknown, prefix.rstrip(".") or None)


def check_unknown(unknown: Sized, field: str | None = None) -> None:
    """
    :param field: the path of what has the fields; None for the request itself.
    :raises InvalidRequest: more than ``MAX_UNKNOWN``.
    """
    if len(unknown) > MAX_UNKNOWN:
        raise InvalidRequest(
            f"The request has more than {MAX_UNKNOWN:,} unknown fields.",
            param=field,
            hint="Send the fields of the API only.",
        )


def _dotted(path: _Path) -> str:
    """The path as the beginning of that of a member."""
    names: list[str] = []
    while path is not None:
        path, name = path
        names.append(f"{name}.")
    return "".join(reversed(names))


def _members(value: dict[str, Any], shape: Shape) -> dict[str, Shape | None] | None:
    if shape.variants is None:
        return shape.members
    tag = value.get(shape.tag)
    variant = shape.variants.get(tag) if isinstance(tag, str) else None
    return variant.members if variant is not None else None
