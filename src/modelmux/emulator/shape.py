"""Small checkers that refuse a value in the words the Messages API uses (those of pydantic, with its paths).

A check is a function of (value, path) that returns nothing or raises. What shapes there are is in ``shapes_*.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from modelmux.emulator.refusals import Refused, invalid

Check = Callable[[Any, str], None]


def bad(path: str, message: str) -> Refused:
    """The refusal of one field."""
    return invalid(f"{path}: {message}" if path else message)


def under(path: str, key: str | int) -> str:
    return f"{path}.{key}" if path else str(key)


def anything(value: Any, path: str) -> None:
    """Takes every value."""


def boolean(value: Any, path: str) -> None:
    if not isinstance(value, bool):
        raise bad(path, "Input should be a valid boolean")


def mapping(value: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise bad(path, "Input should be a valid dictionary")


def string(*, least: int = 0, most: int | None = None, pattern: str | None = None) -> Check:
    """A string, with bounds on its length and a pattern it must match."""
    compiled = re.compile(pattern) if pattern else None

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise bad(path, "Input should be a valid string")
        if len(value) < least:
            raise bad(path, f"String should have at least {least} character{'s' if least != 1 else ''}")
        if most is not None and len(value) > most:
            raise bad(path, f"String should have at most {most} characters")
        if compiled is not None and not compiled.search(value):
            raise bad(path, f"String should match pattern '{pattern}'")

    return check


def integer(*, least: int | None = None, most: int | None = None) -> Check:
    """A whole number; ``5.0`` is one, ``true`` is not."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise bad(path, "Input should be a valid integer")
        _bounds(value, path, least, most)

    return check


def number(*, least: float | None = None, most: float | None = None) -> Check:
    """Any number but a boolean."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise bad(path, "Input should be a valid number")
        _bounds(value, path, least, most)

    return check


def _bounds(value: float, path: str, least: float | None, most: float | None) -> None:
    if least is not None and value < least:
        raise bad(path, f"Input should be greater than or equal to {least}")
    if most is not None and value > most:
        raise bad(path, f"Input should be less than or equal to {most}")


def literal(*allowed: str) -> Check:
    """One of some strings."""

    def check(value: Any, path: str) -> None:
        if value not in allowed:
            raise bad(path, f"Input should be {listed(allowed)}")

    return check


def listed(names: tuple[str, ...]) -> str:
    """``'a', 'b' or 'c'``"""
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]


def nullable(inner: Check) -> Check:
    def check(value: Any, path: str) -> None:
        if value is not None:
            inner(value, path)

    return check


def array(item: Check, *, most: int | None = None) -> Check:
    """A list of one kind of item."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise bad(path, "Input should be a valid list")
        if most is not None and len(value) > most:
            raise bad(path, f"List should have at most {most} items after validation, not {len(value)}")
        for place, each in enumerate(value):
            item(each, under(path, place))

    return check


def text_or(items: Check) -> Check:
    """A string, or what ``items`` takes."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, str):
            return
        if not isinstance(value, list):
            raise bad(path, "Input should be a valid string")
        items(value, path)

    return check


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with exactly these fields; anything else is an extra input."""
    known = {**required, **(optional or {})}

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise bad(path, "Input should be a valid dictionary")
        for name in required:
            if name not in value:
                raise bad(under(path, name), "Field required")
        for name, each in value.items():
            field = known.get(name)
            if field is None:
                raise bad(under(path, name), "Extra inputs are not permitted")
            field(each, under(path, name))

    return check


def tagged(variants: Mapping[str, Check], *, default: str | None = None, name: bool = True) -> Check:
    """An object whose ``type`` says which of the variants it is; the tag becomes part of the path (unless ``name`` is
    False). ``default`` is taken when there is no type, or a null one."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise bad(path, "Input should be a valid dictionary or object to extract fields from")
        tag = value.get("type")
        if tag is None:
            if default is None:
                raise bad(path, "Unable to extract tag using discriminator 'type'")
            tag = default
        variant = variants.get(tag) if isinstance(tag, str) else None
        if variant is None:
            expected = ", ".join(f"'{known}'" for known in sorted(variants))
            raise bad(path, f"Input tag '{tag}' found using 'type' does not match any of the expected tags: {expected}")
        variant(value, under(path, tag) if name else path)

    return check
