"""All sources of settings put together: command line > environment > .env > user file > system file > defaults."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from modelmux.catalog import Catalog, ModelCard
from modelmux.config.check import Path as Keys
from modelmux.config.check import Problem, check, dotted
from modelmux.config.schema import Config
from modelmux.config.sources import (
    CONFIG_VARIABLE,
    Layer,
    Unreadable,
    dotenv_variables,
    environment_layer,
    file_layer,
    options_layer,
    text_layer,
)

T = TypeVar("T", bound=msgspec.Struct)

DEFAULT: Final = "default"


class ConfigError(Exception):
    """Settings that cannot be used. ``problems`` says what, one sentence each; ``hint`` what to do."""

    def __init__(self, problems: list[str], *, hint: str | None = None) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.hint = hint


@dataclass(frozen=True)
class Loaded:
    """Settings from all sources.

    :param layers: the sources that exist, strongest first.
    :param warnings: what works but should be changed, a sentence each.
    :param tree: what all sources say together, as ``Config.from_dict`` takes it; holds secrets as text.
    """

    config: Config
    layers: tuple[Layer, ...] = field(repr=False)
    warnings: list[str] = field(default_factory=list)
    tree: dict[str, Any] = field(default_factory=dict, repr=False)

    def origin(self, path: Keys) -> str:
        """Where the value at ``path`` comes from, for people; ``default`` if nothing sets it."""
        for layer in self.layers:
            if _get(layer.tree, path) is not _ABSENT:
                return layer.origin(path)
        return DEFAULT


def user_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the user's configuration lies on this platform, whether it exists or not."""
    if sys.platform == "win32":
        return Path(environment.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "modelmux" / "config.toml"
    base = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME") or Path.home()) / ".config"
    return Path(base) / "modelmux" / "config.toml"


#: The whole machine's configuration.
SYSTEM_FILE: Final = Path("/etc/modelmux/config.toml")


@dataclass(frozen=True)
class Place:
    """A file that settings may stand in.

    :param kind: ``.env``, ``named`` (by ``--config`` or MODELMUX_CONFIG), ``user`` or ``system``.
    :param read: whether it is read if it exists: a named file replaces the user's and the system's.
    """

    path: Path
    kind: str
    read: bool = True


def places(
    environment: Mapping[str, str] = os.environ,
    *,
    file: Path | None = None,
    dotenv: Path | None = Path(".env"),
    system_file: Path = SYSTEM_FILE,
) -> list[Place]:
    """The files that are looked at, strongest first."""
    named = file or (Path(environment[CONFIG_VARIABLE]).expanduser() if environment.get(CONFIG_VARIABLE) else None)
    found = [Place(dotenv, ".env")] if dotenv is not None else []
    found += [Place(named, "named")] if named else []
    return [*found, Place(user_file(environment), "user", not named), Place(system_file, "system", not named)]


def load_all(
    *,
    options: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
    dotenv: Path | None = Path(".env"),
    system_file: Path = SYSTEM_FILE,
) -> Loaded:
    """Settings from every source.

    :param options: settings of the command line by name, ``{"server.port": 8080}``.
    :param file: a file named by the user (or MODELMUX_CONFIG): then neither the user's nor the system's own is read.
    :param dotenv: the ``.env`` file; None reads none.
    :raises ConfigError: every problem of every source at once, each with its origin.
    """
    environment = os.environ if environment is None else environment
    layers = [options_layer(options or {}), environment_layer(environment)]
    unreadable: list[str] = []
    for place in places(environment, file=file, dotenv=dotenv, system_file=system_file):
        if not place.read:
            continue
        try:
            layers.append(_place_layer(place))
        except FileNotFoundError:
            if place.kind == "named":
                unreadable.append(f"{place.path}: no such file")
        except Unreadable as error:
            unreadable.append(str(error))
    return _join(layers, unreadable)


def _place_layer(place: Place) -> Layer:
    """:raises FileNotFoundError, Unreadable:"""
    if place.kind != ".env":
        return file_layer(place.path)
    try:
        return environment_layer(dotenv_variables(place.path.read_text("utf-8-sig")), str(place.path))
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{place.path}: cannot be read: {error}") from None


def load(path: Path) -> Config:
    """Read one configuration file, and nothing else.

    :raises ConfigError: unreadable, not TOML, unknown keys, wrong types: all problems with their lines.
    """
    try:
        return _join([file_layer(path)]).config
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file"], hint="Name an existing file with --config.") from None
    except Unreadable as error:
        raise ConfigError([str(error)]) from None


def parse(text: str) -> Config:
    """Settings from TOML text.

    :raises ConfigError: not TOML, unknown keys, wrong types.
    """
    try:
        return _join([text_layer(text, "configuration")]).config
    except Unreadable as error:
        raise ConfigError([str(error)]) from None


def convert(settings: dict[str, Any], kind: type[T]) -> T:
    """Parsed TOML as settings of type ``kind``.

    :raises ConfigError: naming every unknown key and every value that does not fit.
    """
    made, problems = check(settings, kind)
    if problems:
        raise ConfigError([str(problem) for problem in problems])
    assert isinstance(made, kind)
    return made


def _join(layers: Sequence[Layer], unreadable: Sequence[str] = ()) -> Loaded:
    """Layers, strongest first, as one configuration. Each is checked on its own, so that a problem that another layer
    hides is said too."""
    problems = list(unreadable)
    tree: dict[str, Any] = {}
    for layer in reversed(layers):
        _, found = check(layer.tree, Config)
        problems += [_told(layer, problem) for problem in [*layer.problems, *found]]
        _lay_over(tree, layer.tree)
    if problems:
        hint = "Name an existing file with --config." if any(p.endswith("no such file") for p in problems) else None
        raise ConfigError(problems, hint=hint)
    config = convert(tree, Config)
    warnings = [w for layer in layers for w in layer.warnings] + _overruled(layers) + _useless(config)
    return Loaded(config, tuple(layers), warnings, tree)


def _told(layer: Layer, problem: Problem) -> str:
    where = layer.origin(problem.path)
    return f"{where}: {problem}" if where else str(problem)


def _useless(config: Config) -> list[str]:
    """Settings that do nothing beside the others."""
    vertex = config.vertex
    if vertex.fallback_to_default and not (vertex.model or vertex.url):
        return ["vertex.fallback_to_default does nothing: there is no default model; set vertex.model, or remove it"]
    return []


def _overruled(layers: Sequence[Layer]) -> list[str]:
    """Values that somebody wrote down and that a variable meant for other programs replaces: worth a warning."""
    warnings = []
    for i, layer in enumerate(layers):
        for path, variable in layer.shared.items():
            value = _get(layer.tree, path)
            if any(_get(stronger.tree, path) is not _ABSENT for stronger in layers[:i]):
                continue
            below = next((w for w in layers[i + 1 :] if w.text and _get(w.tree, path) not in (_ABSENT, value)), None)
            if below is not None:
                warnings.append(
                    f"{variable} of the {layer.name} overrules {dotted(path)} of {below.origin(path)}; "
                    f"unset it or set MODELMUX_{'_'.join(map(str, path)).upper()} if the file is right"
                )
    return warnings


_ABSENT: Final = object()


def _get(tree: Any, path: Keys) -> Any:
    for key in path:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return tree


def _lay_over(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Put ``above`` over ``below``, in place: tables are joined, everything else is replaced."""
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = _copied(value)


def _copied(value: Any) -> Any:
    return {k: _copied(v) for k, v in value.items()} if isinstance(value, dict) else value


def add_cards(catalog: Catalog, cards: list[dict[str, Any]]) -> Catalog:
    """A catalog with the cards of ``[[catalog]]``.

    :raises ConfigError: naming every card without an id, with an unknown key or with a value of a wrong type.
    """
    problems: list[Problem] = []
    for index, card in enumerate(cards):
        path: Keys = ("catalog", index)
        if not isinstance(card.get("id"), str) or not card["id"].strip():
            problems.append(Problem((*path, "id"), "a card needs the id of its model"))
        _, found = check(card, ModelCard, path)
        problems += [p for p in found if p.path[2:] != ("id",) and not p.message.startswith("missing")]
        if not problems:
            catalog = catalog.with_cards([card])
    if problems:
        raise ConfigError([str(problem) for problem in problems])
    return catalog
