"""A parsed tree of settings -> typed settings, with every problem at once. No files, no environment.

msgspec stops at the first value that does not fit. A person who edits a file wants all of them, so each value is
converted on its own here and the tables are put together afterwards.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from modelmux.config.settings import describe, fields, is_table, item_of, strip
from modelmux.config.values import Bytes, Milliseconds, Seconds, Secret

#: Keys and list positions from the root to a value.
Path = tuple[str | int, ...]

_PARSED: Final = (Seconds, Milliseconds, Bytes, Secret)
#: Longest value that is repeated in a message.
_SHOWN: Final = 60


class Problem(Struct, frozen=True):
    """What is wrong, and where."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


def dotted(path: Iterable[str | int]) -> str:
    """A path as people write it: ``vertex.models[1].name``."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def check(tree: Any, kind: type[Struct], path: Path = ()) -> tuple[Any, list[Problem]]:
    """A table as an instance of ``kind``; None and the problems if there are any."""
    if not isinstance(tree, Mapping):
        return None, [Problem(path, f"{_found(tree)}; expected a table")]
    known = {info.encode_name: (info, plain, limits) for info, plain, _, limits in fields(kind)}
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if key not in known:
            problems.append(Problem((*path, key), _unknown(key, path, known)))
            continue
        info, plain, limits = known[key]
        if value is None and info.default is None:
            continue
        values[info.name], found = _value(value, plain, limits, (*path, key))
        problems += found
    problems += [
        Problem((*path, name), f"missing; expected {describe(plain, limits)}")
        for name, (info, plain, limits) in known.items()
        if info.required and name not in tree
    ]
    return (None, problems) if problems else (kind(**values), [])


def _value(value: Any, kind: Any, limits: Meta | None, path: Path) -> tuple[Any, list[Problem]]:
    if is_table(kind):
        return check(value, kind, path)
    item = item_of(kind)
    if item is not None:
        return _collection(value, kind, item, path)
    if get_origin(kind) in (Union, types.UnionType):
        tables = [strip(arg) for arg in get_args(kind) if is_table(strip(arg))]
        if isinstance(value, Mapping) and tables:
            return check(value, tables[0], path)
    problem = Problem(path, f"{_found(value, secret=kind is Secret)}; expected {describe(kind, limits)}")
    if kind in _PARSED:
        try:
            made = kind.parse(value)
        except ValueError:
            return None, [problem]
        return (made, []) if limits is None or limits.gt is None or made > limits.gt else (None, [problem])
    try:
        return msgspec.convert(value, _limited(kind, limits)), []
    except msgspec.ValidationError:
        near = difflib.get_close_matches(value, map(str, get_args(kind)), n=1) if isinstance(value, str) else []
        if near:
            problem = Problem(path, f"{problem.message}: did you mean {near[0]!r}?")
        return None, [problem]


def _collection(value: Any, kind: Any, item: Any, path: Path) -> tuple[Any, list[Problem]]:
    if get_origin(kind) is dict:
        if item is Any and isinstance(value, Mapping):
            return dict(value), []
        entries: Iterable[tuple[str | int, Any]] = value.items() if isinstance(value, Mapping) else ()
        fits = isinstance(value, Mapping)
    else:
        entries = enumerate(value) if isinstance(value, list) else ()
        fits = isinstance(value, list)
    if not fits:
        return None, [Problem(path, f"{_found(value, secret=item is Secret)}; expected {describe(kind)}")]
    made = {key: _value(inner, item, None, (*path, key)) for key, inner in entries}
    problems = [problem for _, found in made.values() for problem in found]
    plain = {key: inner for key, (inner, _) in made.items()}
    return (plain if get_origin(kind) is dict else list(plain.values())), problems


def _limited(kind: Any, limits: Meta | None) -> Any:
    return kind if limits is None else Annotated[kind, limits]


def _unknown(key: str, path: Path, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return "unknown key" + (f": did you mean {dotted((*path, near[0]))}?" if near else "")


def _found(value: Any, *, secret: bool = False) -> str:
    """A value as an error shows it: what it is, and itself if it is short and no secret."""
    if isinstance(value, bool):
        return f"{str(value).lower()} is true or false"
    if isinstance(value, str):
        shown = "it" if secret or len(value) > _SHOWN else repr(value)
        return f"{shown} is text"
    if isinstance(value, (int, float)):
        return "it is a number" if secret else f"{value} is a number"
    return "it is a list" if isinstance(value, list) else "it is a table" if isinstance(value, Mapping) else (
        f"it is a {type(value).__name__}"
    )  # fmt: skip


def from_text(text: str, kind: Any) -> Any:
    """The value of an environment variable or an option as TOML would hold it; text that fits nothing stays text, for
    ``check`` to say so. Lists are separated by commas."""
    item = item_of(kind)
    if item is not None:
        return [from_text(part.strip(), item) for part in text.split(",") if part.strip()]
    if kind in (bool, int, float):
        words = {"yes": True, "on": True, "no": False, "off": False} if kind is bool else {}
        try:
            return words[text.strip().lower()] if text.strip().lower() in words else msgspec.convert(
                text.strip(), kind, strict=False
            )  # fmt: skip
        except msgspec.ValidationError:
            return text
    return text
