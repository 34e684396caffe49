"""The effective settings as a tree to show: those that are set, or all; secrets masked. It writes no text."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo

from modelmux.config.introspection import fields
from modelmux.config.load import DEFAULT, Loaded
from modelmux.config.paths import KeyPath
from modelmux.config.values import Secret

#: User name and password in a URL.
_USERINFO: Final = re.compile(r"(?<=://)[^/?#@\s]+(?=@)")


def effective(loaded: Loaded, *, everything: bool = False) -> dict[str, Any]:
    """The settings nested as in TOML, secrets masked.

    :param everything: include defaults; settings without a default are left out.
    """
    return _table(loaded.config, (), loaded, everything)


def _table(table: Struct, path: KeyPath, loaded: Loaded, everything: bool) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    in_list = any(isinstance(part, int) for part in path)
    for info, _, _, _ in fields(type(table)):
        here = (*path, info.encode_name)
        value = getattr(table, info.name)
        if isinstance(value, Struct):
            inner = _table(value, here, loaded, everything)
            if inner or everything:
                tree[info.encode_name] = inner
            continue
        # An entry of a list comes from one source; what it leaves out has its default.
        is_set = value != _default(info) if in_list else loaded.origin(here) != DEFAULT
        if value is not None and (is_set or (everything and not in_list)):
            tree[info.encode_name] = _masked(value, here, loaded)
    return tree


def _default(info: FieldInfo) -> Any:
    return info.default if info.default_factory is NODEFAULT else info.default_factory()


def _masked(value: Any, path: KeyPath, loaded: Loaded) -> Any:
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, str):
        return _USERINFO.sub(str(Secret("")), value)
    if isinstance(value, Struct):
        return _table(value, path, loaded, everything=False)
    if isinstance(value, list):
        return [_masked(inner, (*path, index), loaded) for index, inner in enumerate(value)]
    if isinstance(value, dict):
        return {name: _masked(inner, (*path, name), loaded) for name, inner in value.items()}
    return value


def masked(tree: Any) -> bool:
    """Whether a secret was masked in a tree of ``effective``."""
    if isinstance(tree, (dict, list)):
        return any(map(masked, tree.values() if isinstance(tree, dict) else tree))
    return isinstance(tree, str) and str(Secret("")) in tree
