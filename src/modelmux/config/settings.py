"""The table of settings as a list: what the schema says of each, in words. It holds no values and reads none."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any, Final, get_args

import msgspec
from msgspec import Meta, Struct

from modelmux.config.annotations import Doc, Env
from modelmux.config.deprecated_names import EACH, OLD_NAMES, OldName
from modelmux.config.introspection import describe, fields, is_table, item_of
from modelmux.config.schema import Config
from modelmux.config.values import Secret

#: The environment variable of a setting is this and its path.
PREFIX: Final = "MODELMUX_"


class Setting(Struct, frozen=True):
    """One setting.

    :param path: its keys; ``[]`` stands for the entries of a list of tables: ``("vertex", "models", "[]", "name")``.
    :param kind: its type, without ``None``.
    :param default: the value if nothing sets it; ``msgspec.NODEFAULT`` if it is required.
    :param example: a value to show where the default shows nothing.
    :param env: environment variables that set it, the first that is set wins; empty inside lists of tables.
    """

    path: tuple[str, ...]
    kind: Any
    default: Any
    description: str
    env: tuple[Env, ...]
    limits: Meta | None = None
    example: Any = None

    @property
    def name(self) -> str:
        """Its name in messages and options: ``server.port``, ``vertex.models[].name``."""
        return dotted_name(self.path)

    @property
    def secret(self) -> bool:
        return self.kind is Secret or Secret in get_args(self.kind)

    @property
    def expected(self) -> str:
        """What values it takes, in words."""
        return describe(self.kind, self.limits)


class Section(Struct, frozen=True):
    """A table of settings, with the sentences that introduce it."""

    path: tuple[str, ...]
    description: str
    settings: tuple[Setting, ...]


@functools.cache
def sections() -> tuple[Section, ...]:
    """All tables in the order of the schema; the settings outside any table come first."""
    return tuple(_sections(Config, ()))


@functools.cache
def settings() -> tuple[Setting, ...]:
    """All settings, in the order of the schema."""
    return tuple(setting for section in sections() for setting in section.settings)


@functools.cache
def old_settings() -> tuple[tuple[OldName, Setting], ...]:
    """Every old name with a ``Setting`` of that name: what it takes, and its environment variables."""
    known = {setting.path: setting for setting in settings()}
    return tuple((name, _old_setting(name, known[name.new])) for name in OLD_NAMES)


def _old_setting(name: OldName, now: Setting) -> Setting:
    kind = now.kind if name.kind is None else name.kind
    env = _variables(name.old) if name.deprecated and EACH not in name.old else ()
    return Setting(name.old, kind, msgspec.NODEFAULT, f"Now {now.name}.", env, now.limits)


def dotted_name(path: tuple[str, ...]) -> str:
    """A path with ``[]`` for the entries of a list: ``vertex.models[].name``."""
    return ".".join(path).replace(f".{EACH}", EACH)


def _sections(table: type[Struct], path: tuple[str, ...]) -> Iterator[Section]:
    own: list[Setting] = []
    tables: list[tuple[type[Struct], tuple[str, ...]]] = []
    for info, kind, doc, limits in fields(table):
        here = (*path, info.encode_name)
        if is_table(kind):
            tables.append((kind, here))
            continue
        if is_table(item_of(kind)):
            tables.append((item_of(kind), (*here, EACH)))
        default = info.default
        if default is msgspec.NODEFAULT and info.default_factory is not msgspec.NODEFAULT:
            default = info.default_factory()
        text, example = (doc.text, doc.example) if doc else ("", None)
        own.append(Setting(here, kind, default, text, _env(here, kind, doc), limits, example))
    if own:
        yield Section(path, " ".join((inspect.getdoc(table) or "").split()) if path else "", tuple(own))
    for inner, here in tables:
        yield from _sections(inner, here)


def _env(path: tuple[str, ...], kind: Any, doc: Doc | None) -> tuple[Env, ...]:
    item = item_of(kind)
    if EACH in path or (item is not None and item not in (str, int, Secret)):
        return ()
    return (*dict.fromkeys([*_variables(path), *(doc.env if doc else ())]),)


def _variables(path: tuple[str, ...]) -> tuple[Env, ...]:
    """The variables derived from a path."""
    return Env(PREFIX + "_".join(path).upper()), Env(PREFIX + "__".join(path).upper())
