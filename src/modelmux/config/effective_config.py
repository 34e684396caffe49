"""The effective settings, secrets masked: as a tree, those that are set or all, or one by one with their origins.
It writes no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo

from modelmux.config.introspection import fields
from modelmux.config.load import DEFAULT, Loaded
from modelmux.config.paths import KeyPath
from modelmux.config.postgres_url import is_postgres
from modelmux.config.redis_url import is_redis
from modelmux.config.toml_writer import plain
from modelmux.config.values import Secret

#: User name and password in a URL.
_USERINFO: Final = re.compile(r"(?<=://)[^/?#\s]+(?=@)")
#: The same in the URL of a store, also in one that is not right: a password may have any characters.
_STORE_USERINFO: Final = re.compile(r"(?<=://).*(?=@)")


class Setting(Struct, frozen=True, kw_only=True):
    """:param value: for JSON, secrets masked. :param origin: for people; ``default`` if nothing sets it."""

    name: str
    value: Any
    origin: str


class Settings(Struct, frozen=True, kw_only=True):
    """The settings in force, without secrets.

    :param values: all of them, but for those without a default that nothing sets.
    :param warnings: what works but should be changed, a sentence each.
    """

    values: tuple[Setting, ...] = ()
    warnings: tuple[str, ...] = ()


NO_SETTINGS: Final = Settings()


def settings_of(loaded: Loaded) -> Settings:
    """What ``modelmux config show --all --origin`` shows."""
    values = [
        Setting(name=_name(path), value=plain(value), origin=loaded.origin(path))
        for path, value in _leaves(effective(loaded, everything=True), ())
    ]
    return Settings(values=tuple(values), warnings=tuple(loaded.warnings))


def origins(tree: Any, loaded: Loaded) -> dict[str, str]:
    """Of each setting in a tree of ``effective``."""
    return {_name(path): loaded.origin(path) for path, _ in _leaves(tree, ())}


def _leaves(tree: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Values with their paths. Entries of lists are apart where they are tables; an empty table has no value."""
    if isinstance(tree, dict):
        for name, inner in tree.items():
            yield from _leaves(inner, (*path, name))
    elif isinstance(tree, list) and any(isinstance(entry, dict) for entry in tree):
        for index, inner in enumerate(tree):
            yield from _leaves(inner, (*path, index))
    else:
        yield path, tree


def _name(path: KeyPath) -> str:
    return ".".join(map(str, path))


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
        is_store = is_postgres(value) or is_redis(value)
        return (_STORE_USERINFO if is_store else _USERINFO).sub(str(Secret("")), value)
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
