"""Fields that a fault or a setting makes the emulator refuse, at any depth of a body.

With it, tests reproduce what the real service does on some stacks only, such as refusing ``cache_control`` in token
counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from modelmux.emulator.validation.checks import field_error, join_path

#: Fields that hold the client's own data: keys in them are not fields of the API.
_OPAQUE: Final = frozenset({"input", "input_schema", "input_examples", "schema"})


def check_refused_fields(body: dict[str, Any], names: Iterable[str]) -> None:
    """Refuse a body that has one of these fields. A name may be dotted: ``output_config.task_budget``.

    :raises ApiError: the field is an extra input, named by its path.
    """
    for name in names:
        path = path_of(body, name)
        if path is not None:
            raise field_error(path, "Extra inputs are not permitted")


def path_of(body: dict[str, Any], name: str) -> str | None:
    """The path of the first field of this name, or None."""
    wanted = tuple(name.split("."))
    return next((path for path, keys in _fields(body, "", ()) if keys[-len(wanted) :] == wanted), None)


def _fields(value: dict[str, Any], path: str, keys: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for key, inner in value.items():
        below, chain = join_path(path, key), (*keys, key)
        yield below, chain
        if key in _OPAQUE:
            continue
        if isinstance(inner, dict):
            yield from _fields(inner, below, chain)
        for index, item in enumerate(inner if isinstance(inner, list) else ()):
            if isinstance(item, dict):
                yield from _fields(item, _tagged_path(join_path(below, index), item, key), chain)


def _tagged_path(path: str, item: dict[str, Any], key: str) -> str:
    """The path of an item of a list, with its tag as in the checks of the shape."""
    tag = item.get("type") or ("custom" if key == "tools" else None)
    return join_path(path, tag) if isinstance(tag, str) else path
