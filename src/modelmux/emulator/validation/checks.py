"""Building blocks of checks, with the messages and paths of the Messages API, which are pydantic's.

A check is a function of (value, path) that returns None or raises ``ApiError``. ``body``, ``content`` and ``tools``
compose them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from modelmux.emulator.errors import ApiError, invalid_request

Check = Callable[[Any, str], None]


def field_error(path: str, message: str) -> ApiError:
    """The error of one field."""
    return invalid_request(f"{path}: {message}" if path else message)


def join_path(path: str, key: str | int) -> str:
    return f"{path}.{key}" if path else str(key)


def anything(value: Any, path: str) -> None:
    """Accepts every value."""


def boolean(value: Any, path: str) -> None:
    if not isinstance(value, bool):
        raise field_error(path, "Input should be a valid boolean")


def mapping(value: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise field_error(path, "Input should be a valid dictionary")


def string(*, min_length: int = 0, max_length: int | None = None, pattern: str | None = None) -> Check:
    """A string, with bounds on its length and a pattern it must match."""
    compiled = re.compile(pattern) if pattern else None

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise field_error(path, "Input should be a valid string")
        if len(value) < min_length:
            raise field_error(
                path, f"String should have at least {min_length} character{'s' if min_length != 1 else ''}"
            )
        if max_length is not None and len(value) > max_length:
            raise field_error(path, f"String should have at most {max_length} characters")
        if compiled is not None and not compiled.search(value):
            raise field_error(path, f"String should match pattern '{pattern}'")

    return check


def integer(*, minimum: int | None = None) -> Check:
    """An integer; ``5.0`` is accepted, ``true`` is not."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise field_error(path, "Input should be a valid integer")
        _check_range(value, path, minimum, None)

    return check


def number(*, minimum: float | None = None, maximum: float | None = None) -> Check:
    """A number; not a boolean."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise field_error(path, "Input should be a valid number")
        _check_range(value, path, minimum, maximum)

    return check


def _check_range(value: float, path: str, minimum: float | None, maximum: float | None) -> None:
    if minimum is not None and value < minimum:
        raise field_error(path, f"Input should be greater than or equal to {minimum}")
    if maximum is not None and value > maximum:
        raise field_error(path, f"Input should be less than or equal to {maximum}")


def literal(*allowed: str) -> Check:
    """One of the ``allowed`` strings."""

    def check(value: Any, path: str) -> None:
        if value not in allowed:
            raise field_error(path, f"Input should be {quoted_list(allowed)}")

    return check


def quoted_list(names: tuple[str, ...]) -> str:
    """``'a', 'b' or 'c'``"""
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]


def nullable(inner: Check) -> Check:
    def check(value: Any, path: str) -> None:
        if value is not None:
            inner(value, path)

    return check


def array(item: Check) -> Check:
    """A list whose items all pass one check."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise field_error(path, "Input should be a valid list")
        for index, each in enumerate(value):
            item(each, join_path(path, index))

    return check


def string_or(items: Check) -> Check:
    """A string, or a list that passes ``items``."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, str):
            return
        if not isinstance(value, list):
            raise field_error(path, "Input should be a valid string")
        items(value, path)

    return check


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """An object with these fields only; anything else is an extra input."""
    known = {**required, **(optional or {})}

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise field_error(path, "Input should be a valid dictionary")
        for name in required:
            if name not in value:
                raise field_error(join_path(path, name), "Field required")
        for name, each in value.items():
            field = known.get(name)
            if field is None:
                raise field_error(join_path(path, name), "Extra inputs are not permitted")
            field(each, join_path(path, name))

    return check


def tagged(variants: Mapping[str, Check], *, default: str | None = None) -> Check:
    """An object whose ``type`` selects one of the variants; the tag becomes part of the path.

    ``default`` is the tag of an object without a type, or with a null one.
    """

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise field_error(path, "Input should be a valid dictionary or object to extract fields from")
        tag = value.get("type")
        if tag is None:
            if default is None:
                raise field_error(path, "Unable to extract tag using discriminator 'type'")
            tag = default
        variant = variants.get(tag) if isinstance(tag, str) else None
        if variant is None:
            expected = ", ".join(f"'{known}'" for known in sorted(variants))
            raise field_error(
                path, f"Input tag '{tag}' found using 'type' does not match any of the expected tags: {expected}"
            )
        variant(value, join_path(path, tag))

    return check
