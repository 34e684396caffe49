"""A parsed tree of settings -> typed settings, with every problem at once. No files, no environment.

msgspec stops at the first value that does not fit. A person who edits a file wants all of them, so each value is
converted on its own here, and the tables are put together afterwards.
"""

from __future__ import annotations

import datetime as dt
import difflib
import tomllib
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from modelmux.config.errors import ConfigError
from modelmux.config.introspection import describe, fields, is_table, item_of, strip
from modelmux.config.paths import KeyPath, dotted
from modelmux.config.values import Bytes, Milliseconds, Seconds, Secret

T = TypeVar("T", bound=Struct)

_PARSED: Final = (Seconds, Milliseconds, Bytes, Secret)
#: Longest value that is repeated in a message.
_MAX_SHOWN: Final = 60


class Problem(Struct, frozen=True):
    """What is wrong, and at which path."""

    path: KeyPath
    message: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


def convert(tree: Any, kind: type[T], problems: Sequence[Problem] = ()) -> T:
    """A parsed tree as settings of type ``kind``.

    :param problems: what an earlier step reported; raised together with the rest.
    :raises ConfigError: naming every unknown key and every value that does not fit.
    """
    settings, more = check(tree, kind)
    if problems or more:
        raise ConfigError([str(problem) for problem in (*problems, *more)])
    assert isinstance(settings, kind)
    return settings


def check(tree: Any, kind: type[Struct], path: KeyPath = ()) -> tuple[Any, list[Problem]]:
    """A table as an instance of ``kind``; None and the problems if there are any."""
    if not isinstance(tree, Mapping):
        return None, [Problem(path, f"{_describe_value(tree)}; expected a table")]
    known = {field.info.encode_name: field for field in fields(kind)}
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if key not in known:
            problems.append(Problem((*path, key), _unknown(key, path, known)))
            continue
        field = known[key]
        if value is None and field.info.default is None:
            continue
        values[field.info.name], more = check_value(value, field.kind, field.limits, (*path, key))
        problems += more
    problems += [
        Problem((*path, name), f"missing; expected {describe(field.kind, field.limits)}")
        for name, field in known.items()
        if field.info.required and name not in tree
    ]
    return (None, problems) if problems else (kind(**values), [])


def check_value(value: Any, kind: Any, limits: Meta | None, path: KeyPath) -> tuple[Any, list[Problem]]:
    """A value as one of type ``kind``; None and the problems if there are any."""
    if is_table(kind):
        return check(value, kind, path)
    item = item_of(kind)
    if item is not None:
        return _collection(value, kind, item, path)
    if get_origin(kind) in (Union, types.UnionType):
        tables = [strip(arg) for arg in get_args(kind) if is_table(strip(arg))]
        if isinstance(value, Mapping) and tables:
            return check(value, tables[0], path)
    if isinstance(value, str) and not _is_unicode(value):
        return None, [Problem(path, "it is not UTF-8; expected text that is")]
    problem = Problem(path, f"{_describe_value(value, secret=kind is Secret)}; expected {describe(kind, limits)}")
    if kind in _PARSED:
        try:
            parsed = kind.parse(value)
        except ValueError as error:
            if str(error) != kind.expected:  # it says more
                problem = Problem(path, f"{_describe_value(value, secret=kind is Secret)}; expected {error}")
            return None, [problem]
        return (parsed, []) if _within(parsed, limits) else (None, [problem])
    try:
        return msgspec.convert(value, _limited(kind, limits)), []
    except msgspec.ValidationError:
        near = difflib.get_close_matches(value, map(str, get_args(kind)), n=1) if isinstance(value, str) else []
        if near:
            problem = Problem(path, f"{problem.message}: did you mean {near[0]!r}?")
        return None, [problem]


def _collection(value: Any, kind: Any, item: Any, path: KeyPath) -> tuple[Any, list[Problem]]:
    if get_origin(kind) is dict:
        if item is Any and isinstance(value, Mapping):
            return dict(value), []
        entries: Iterable[tuple[str | int, Any]] = value.items() if isinstance(value, Mapping) else ()
        fits = isinstance(value, Mapping)
    else:
        entries = enumerate(value) if isinstance(value, list) else ()
        fits = isinstance(value, list)
    if not fits:
        return None, [Problem(path, f"{_describe_value(value, secret=item is Secret)}; expected {describe(kind)}")]
    checked = {key: check_value(inner, item, None, (*path, key)) for key, inner in entries}
    problems = [problem for _, more in checked.values() for problem in more]
    values = {key: inner for key, (inner, _) in checked.items()}
    return (values if get_origin(kind) is dict else list(values.values())), problems


def _within(value: Any, limits: Meta | None) -> bool:
    """Whether a parsed value is within its limits, of which msgspec checks only those of numbers."""
    if limits is None:
        return True
    is_enough = (limits.gt is None or value > limits.gt) and (limits.ge is None or value >= limits.ge)
    return bool(is_enough and (limits.le is None or value <= limits.le))


def _limited(kind: Any, limits: Meta | None) -> Any:
    return kind if limits is None else Annotated[kind, limits]


def _unknown(key: str, path: KeyPath, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return "unknown key" + (f": did you mean {dotted((*path, near[0]))}?" if near else "")


def _describe_value(value: Any, *, secret: bool = False) -> str:
    """A value as an error shows it: its type, and the value itself if it is short and not a secret."""
    if isinstance(value, bool):
        return f"{str(value).lower()} is a boolean"
    if isinstance(value, str):
        shown = "it" if secret or len(value) > _MAX_SHOWN or "://" in value else repr(value)  # URLs have passwords
        return f"{shown} is a string"
    if isinstance(value, (int, float)):
        return "it is a number" if secret else f"{value} is a number"
    if isinstance(value, list):
        return "it is a list"
    if value is None:
        return "it is null"
    if isinstance(value, Mapping):
        return "it is a table"
    if isinstance(value, dt.date | dt.time):
        return f"{value} is a {'date' if isinstance(value, dt.date) else 'time'}"
    return "it is of a type that TOML does not have"


def _is_unicode(text: str) -> bool:
    """Whether text can be encoded: bytes of an environment variable that are not UTF-8 become lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def from_text(text: str, kind: Any) -> Any:
    """The value of an environment variable or an option as TOML would hold it. Text that does not fit is returned
    unchanged, for ``check`` to report. Lists are separated by commas, or written as in TOML."""
    item = item_of(kind)
    if item is not None and text.strip().startswith("["):
        try:
            return tomllib.loads(f"list = {text.strip()}")["list"]
        except tomllib.TOMLDecodeError:
            return text
    if item is not None:
        return [from_text(part.strip(), item) for part in text.split(",") if part.strip()]
    if kind in (bool, int, float):
        words = {"yes": True, "on": True, "no": False, "off": False} if kind is bool else {}
        word = text.strip().lower()
        try:
            return words[word] if word in words else msgspec.convert(text.strip(), kind, strict=False)
        except msgspec.ValidationError:
            return text
    return text
