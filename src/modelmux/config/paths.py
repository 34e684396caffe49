"""Paths to values in a nested tree of settings, as TOML parses it: writing them, reading and setting by them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

#: Keys and list positions from the root to a value.
KeyPath = tuple[str | int, ...]

#: What ``get_path`` returns where there is no value; None may be one.
ABSENT: Final = object()


def dotted(path: Iterable[str | int]) -> str:
    """A path in the notation of messages and of ``--set``: ``vertex.models[1].name``."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def get_path(tree: Any, path: KeyPath) -> Any:
    """The value at a path, or ``ABSENT``."""
    for key in path:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return tree


def set_path(tree: dict[str, Any], path: KeyPath, value: Any) -> bool:
    """Set a value in place, creating tables on the way.

    :returns: False, with nothing set, if a value on the way is not a table.
    """
    table: Any = tree
    for key in path[:-1]:
        if isinstance(table, dict):
            table = table.setdefault(key, {})
        elif isinstance(table, list) and isinstance(key, int) and key < len(table):
            table = table[key]
    if not isinstance(table, dict):
        return False
    table[path[-1]] = value
    return True


def copy_tree(value: Any) -> Any:
    """A copy of tables and lists, at every depth; other values are shared."""
    if isinstance(value, dict):
        return {key: copy_tree(inner) for key, inner in value.items()}
    return [copy_tree(inner) for inner in value] if isinstance(value, list) else value
