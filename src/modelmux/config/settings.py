"""The table of settings as a list: what the schema says of each, in words. No values here, and no reading of any."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from modelmux.config.schema import About, Config, Env
from modelmux.config.values import Bytes, Milliseconds, Seconds, Secret

#: In the environment, a setting is this and its path.
PREFIX: Final = "MODELMUX_"


class Setting(Struct, frozen=True):
    """One setting.

    :param path: its keys; ``[]`` stands for the entries of a list of tables: ``("vertex", "models", "[]", "name")``.
    :param kind: its type, without ``None``.
    :param default: the value if nothing sets it; ``msgspec.NODEFAULT`` where it has to be set.
    :param example: a value to show where the default shows nothing.
    :param env: environment variables that set it, the first that is set wins; none inside lists of tables.
    """

    path: tuple[str, ...]
    kind: Any
    default: Any
    about: str
    env: tuple[Env, ...]
    limits: Meta | None = None
    example: Any = None

    @property
    def name(self) -> str:
        """As people write it: ``server.port``, ``vertex.models[].name``."""
        return ".".join(self.path).replace(".[]", "[]")

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
    about: str
    settings: tuple[Setting, ...]


@functools.cache
def sections() -> tuple[Section, ...]:
    """All tables in the order of the schema, the settings outside of any table first."""
    return tuple(_sections(Config, ()))


@functools.cache
def settings() -> tuple[Setting, ...]:
    """All settings, in the order of the schema."""
    return tuple(setting for section in sections() for setting in section.settings)


def fields(kind: type[Struct]) -> Iterator[tuple[msgspec.structs.FieldInfo, Any, About | None, Meta | None]]:
    """Each field of a table: what msgspec knows of it, its type without annotations, its sentence, its limits."""
    hints = _hints(kind)
    for info in msgspec.structs.fields(kind):
        hint = hints[info.name]
        said = hint.__metadata__ if get_origin(hint) is Annotated else ()
        about = next((m for m in said if isinstance(m, About)), None)
        yield info, strip(hint), about, next((m for m in said if isinstance(m, Meta)), None)


@functools.cache
def _hints(kind: type[Struct]) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def strip(hint: Any) -> Any:
    """A type without its annotations and without ``None``."""
    if get_origin(hint) is Annotated:
        return strip(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not type(None)]
        return strip(rest[0]) if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007 - made at run time
    return hint


def is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def item_of(kind: Any) -> Any:
    """The type of the entries of a list or of the values of a dict; None for other types."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is list:
        return strip(args[0])
    return strip(args[1]) if origin is dict else None


def _sections(kind: type[Struct], path: tuple[str, ...]) -> Iterator[Section]:
    own: list[Setting] = []
    tables: list[tuple[type[Struct], tuple[str, ...]]] = []
    for info, plain, said, limits in fields(kind):
        here = (*path, info.encode_name)
        if is_table(plain):
            tables.append((plain, here))
            continue
        if is_table(item_of(plain)):
            tables.append((item_of(plain), (*here, "[]")))
        default = info.default
        if default is msgspec.NODEFAULT and info.default_factory is not msgspec.NODEFAULT:
            default = info.default_factory()
        text, example = (said.text, said.example) if said else ("", None)
        own.append(Setting(here, plain, default, text, _env(here, plain, said), limits, example))
    if own:
        yield Section(path, " ".join((inspect.getdoc(kind) or "").split()) if path else "", tuple(own))
    for table, here in tables:
        yield from _sections(table, here)


def _env(path: tuple[str, ...], kind: Any, said: About | None) -> tuple[Env, ...]:
    item = item_of(kind)
    if "[]" in path or (item is not None and item not in (str, int, Secret)):
        return ()
    own = [Env(PREFIX + "_".join(path).upper()), Env(PREFIX + "__".join(path).upper())]
    return (*dict.fromkeys([*own, *(said.env if said else ())]),)


_WORDS: Final = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def describe(kind: Any, limits: Meta | None = None) -> str:
    """What values a type takes, in words."""
    if get_origin(kind) is Literal:
        *most, last = [str(choice) for choice in get_args(kind)]
        return f"{', '.join(most)} or {last}" if most else last
    if kind in (Seconds, Milliseconds, Bytes, Secret):
        return f"{kind.expected}, more than {limits.gt}" if limits and limits.gt is not None else str(kind.expected)
    if get_origin(kind) is list:
        return "a list of tables" if is_table(item_of(kind)) or get_origin(item_of(kind)) is dict else (
            f"a list of {_PLURAL.get(item_of(kind), 'values')}"
        )  # fmt: skip
    if get_origin(kind) is dict or is_table(kind):
        return "a table"
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(describe(strip(arg)) for arg in get_args(kind))
    if get_origin(kind) is tuple:
        return "a list"
    words = _WORDS.get(kind, "a date such as 2027-01-31")
    if limits is not None and limits.ge is not None and limits.le is not None:
        words += f" from {limits.ge} to {limits.le}"
    return words


_PLURAL: Final = {str: "texts", int: "whole numbers", Secret: "texts"}
