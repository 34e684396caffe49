"""Plain values and typed settings -> TOML text. It writes no files; tomllib reads."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from modelmux.config.paths import KeyPath
from modelmux.config.values import Bytes, Seconds, Secret

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def key(name: str) -> str:
    """A key, quoted if necessary."""
    return name if _BARE.fullmatch(name) else _text(name)


def literal(value: Any) -> str:
    """A value on one line. Durations and sizes keep their units, secrets are masked.

    :raises TypeError: TOML has no such value, None for example.
    """
    if isinstance(value, Secret):
        return _text(str(value))
    if isinstance(value, (Seconds, Bytes)):
        return _text(str(value)) if type(value).parse(str(value)) == value else _number(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key(k)} = {literal(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(literal, value))}]"
    raise TypeError(type(value).__name__)


def tables(tree: Mapping[str, Any], note: Callable[[KeyPath], str] | None = None) -> str:
    """A complete document.

    :param note: path -> a comment to write after its value.
    """
    return "\n".join(_table(tree, (), note)).strip("\n") + "\n"


def _table(tree: Mapping[str, Any], path: KeyPath, note: Callable[[KeyPath], str] | None) -> Iterator[str]:
    later: list[str] = []
    for name, value in tree.items():
        if isinstance(value, Mapping) or _is_tables(value):
            later.append(name)
            continue
        comment = f"  # {note((*path, name))}" if note else ""
        yield f"{key(name)} = {literal(value)}{comment}"
    for name in later:
        here = (*path, name)
        value = tree[name]
        header = ".".join(key(part) for part in here if isinstance(part, str))
        if isinstance(value, Mapping):
            if any(not isinstance(v, Mapping) and not _is_tables(v) for v in value.values()) or not value:
                yield f"\n[{header}]"
            yield from _table(value, here, note)
            continue
        for number, entry in enumerate(value):
            yield f"\n[[{header}]]"
            yield from _table(entry, (*here, number), note)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))
    return repr(float(value)) if float(value) != int(value) else f"{float(value):.1f}"


def _text(value: str) -> str:
    """A basic string: the escapes of JSON, and DEL, which JSON does not escape."""
    text = value.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be written as UTF-8
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def plain(value: Any) -> Any:
    """A typed value for JSON: durations in seconds, sizes in bytes, secrets masked."""
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, Seconds):
        return float(value)
    if isinstance(value, Bytes):
        return int(value)
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, (dt.datetime, dt.date, dt.time)) else value
