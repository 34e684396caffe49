"""Reading settings from a TOML file, with errors that say what to change."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from modelmux.catalog import Catalog, ModelCard
from modelmux.config.schema import Config, Secret

T = TypeVar("T")

#: Names the 1.x program accepted for the same setting.
_ALIASES: Final = {"project_id": "project", "model_id": "model"}


class ConfigError(Exception):
    """Settings that cannot be used. ``problems`` says what, one sentence each; ``hint`` what to do."""

    def __init__(self, problems: list[str], *, hint: str | None = None) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.hint = hint


def load(path: Path) -> Config:
    """Read a configuration file.

    :raises ConfigError: unreadable, not TOML, unknown keys, wrong types.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file"], hint="Name an existing file with --config.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from None
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems], hint=error.hint) from None


def parse(text: str) -> Config:
    """Settings from TOML text.

    :raises ConfigError: not TOML, unknown keys, wrong types.
    """
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"not valid TOML: {error}"]) from None
    return convert(settings, Config)


def convert(settings: dict[str, Any], kind: type[T]) -> T:
    """Parsed TOML as settings of type ``kind``.

    :raises ConfigError: naming every unknown key at once, and the first value of a wrong type.
    """
    settings = _renamed(settings)
    problems = [*_unknown_keys(settings, kind, "")]
    if problems:
        raise ConfigError(problems)
    try:
        return msgspec.convert(settings, kind, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError([_explain(error, "")]) from None


def add_cards(catalog: Catalog, cards: list[dict[str, Any]]) -> Catalog:
    """A catalog with the cards of ``[[catalog]]``.

    :raises ConfigError: naming every card without an id, with an unknown key or with a value of a wrong type.
    """
    problems: list[str] = []
    for index, card in enumerate(cards):
        where = f"catalog[{index}]"
        found = _unknown_keys(card, ModelCard, f"{where}.")
        if not isinstance(card.get("id"), str) or not card["id"].strip():
            found.append(f"{where}.id: a card needs the id of its model")
        try:
            catalog = catalog if found else catalog.with_cards([card])
        except msgspec.ValidationError as error:
            found.append(_explain(error, where))
        problems += found
    if problems:
        raise ConfigError(problems)
    return catalog


def _explain(error: msgspec.ValidationError, prefix: str) -> str:
    """What msgspec says, with the place first."""
    what, _, path = str(error).partition(" - at `$.")
    where = ".".join(part for part in (prefix, path.rstrip("`")) if part) or "the configuration"
    return f"{where}: {what[:1].lower()}{what[1:]}"


def _decode(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"Expected `str`, got `{type(value).__name__}`")  # msgspec adds the place


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {_ALIASES.get(k, k): _renamed(v) for k, v in value.items()}
    return [_renamed(v) for v in value] if isinstance(value, list) else value


def _unknown_keys(settings: Any, kind: Any, prefix: str) -> list[str]:
    """Every key below ``settings`` that has no field, with the nearest one that does."""
    if isinstance(settings, list):
        inner = msgspec.inspect.type_info(kind)
        item = inner.item_type if isinstance(inner, msgspec.inspect.ListType) else None
        cls = item.cls if isinstance(item, msgspec.inspect.StructType) else None
        return [p for i, s in enumerate(settings) for p in _unknown_keys(s, cls, f"{prefix[:-1]}[{i}].")] if cls else []
    if not isinstance(settings, dict) or not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return []
    types = {f.name: f.type for f in msgspec.structs.fields(kind)}
    problems: list[str] = []
    for key, value in settings.items():
        if key in types:
            problems += _unknown_keys(value, types[key], f"{prefix}{key}.")
        else:
            near = difflib.get_close_matches(key, types, n=1)
            problems.append(f"unknown key {prefix}{key}" + (f": did you mean {prefix}{near[0]}?" if near else ""))
    return problems
