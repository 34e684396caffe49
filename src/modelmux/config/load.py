"""All sources of settings together: command line > environment > .env > user file > system file > defaults."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from modelmux.config.check import Problem, check, convert
from modelmux.config.errors import ConfigError
from modelmux.config.home import expand_user, home_directory
from modelmux.config.near_names import missing
from modelmux.config.paths import ABSENT, KeyPath, copy_tree, dotted, get_path
from modelmux.config.schema import Config
from modelmux.config.settings import PREFIX
from modelmux.config.sources import (
    CONFIG_VARIABLE,
    ConfigSource,
    UnreadableSource,
    dotenv_variables,
    environment_source,
    file_source,
    options_source,
    parse_source,
    read_text,
)

DEFAULT: Final = "default"
_NAME_ANOTHER: Final = "Name an existing file with --config."


@dataclass(frozen=True)
class Loaded:
    """Settings from all sources.

    :param sources: those that exist, strongest first.
    :param warnings: what works but should be changed, a sentence each.
    :param tree: the merged values, as ``Config.from_dict`` accepts them; holds secrets as text.
    """

    config: Config
    sources: tuple[ConfigSource, ...] = field(repr=False)
    warnings: list[str] = field(default_factory=list)
    tree: dict[str, Any] = field(default_factory=dict, repr=False)

    def origin(self, path: KeyPath) -> str:
        """Where the value at ``path`` comes from, for people; ``default`` if nothing sets it."""
        for source in self.sources:
            if get_path(source.tree, path) is not ABSENT:
                return source.origin(path)
        return DEFAULT


def user_file(environment: Mapping[str, str] = os.environ) -> Path:
    """The path of the user's configuration on this platform, whether it exists or not."""
    if sys.platform == "win32":
        return (
            Path(environment.get("APPDATA") or home_directory(environment) / "AppData" / "Roaming")
            / "modelmux"
            / "config.toml"
        )
    base = environment.get("XDG_CONFIG_HOME") or home_directory(environment) / ".config"
    return Path(base) / "modelmux" / "config.toml"


#: The configuration of the machine.
SYSTEM_FILE: Final = Path("/etc/modelmux/config.toml")


@dataclass(frozen=True)
class ConfigFile:
    """A file that may hold settings.

    :param kind: ``.env``, ``named`` (by ``--config`` or MODELMUX_CONFIG), ``user`` or ``system``.
    :param read: whether it is read if it exists: a named file replaces the user's and the system's.
    """

    path: Path
    kind: str
    read: bool = True


def config_files(
    environment: Mapping[str, str] = os.environ,
    *,
    file: Path | None = None,
    dotenv: Path | None = Path(".env"),
    system_file: Path = SYSTEM_FILE,
) -> list[ConfigFile]:
    """All files that may hold settings, strongest first, whether they exist or not."""
    named = file or (expand_user(environment[CONFIG_VARIABLE]) if environment.get(CONFIG_VARIABLE) else None)
    files = [ConfigFile(dotenv, ".env")] if dotenv is not None else []
    files += [ConfigFile(named, "named")] if named else []
    user = ConfigFile(user_file(environment), "user", not named)
    return [*files, user, ConfigFile(system_file, "system", not named)]


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
    :param file: a file named by the user (or MODELMUX_CONFIG): then neither the user's nor the system's file is read.
    :param dotenv: the ``.env`` file; None reads none.
    :raises ConfigError: every problem of every source at once, each with its origin.
    """
    environment = os.environ if environment is None else environment
    sources = [options_source(options or {}), environment_source(environment)]
    unreadable: list[UnreadableSource] = []
    for each in config_files(environment, file=file, dotenv=dotenv, system_file=system_file):
        if not each.read:
            continue
        try:
            sources.append(_read(each))
        except FileNotFoundError:
            if each.kind == "named":
                unreadable.append(UnreadableSource(f"{each.path}: no such file", _NAME_ANOTHER))
        except UnreadableSource as error:
            unreadable.append(error)
    return _combine(sources, unreadable)


def _read(file: ConfigFile) -> ConfigSource:
    """:raises FileNotFoundError, UnreadableSource:"""
    if file.kind != ".env":
        return file_source(file.path)
    return environment_source(dotenv_variables(read_text(file.path, "work in another directory")), str(file.path))


def load(path: Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read one configuration file, and nothing else. Old names work, with a ``DeprecationWarning``.

    :param options: settings by name that override those of the file, ``{"server.port": 8080}``.
    :raises ConfigError: unreadable, not TOML, unknown keys, wrong types: all problems with their lines.
    """
    try:
        return _config_of(file_source(path), options)
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file"], hint=_NAME_ANOTHER) from None
    except UnreadableSource as error:
        raise ConfigError([str(error)], hint=error.hint) from None


def parse(text: str, options: Mapping[str, Any] | None = None) -> Config:
    """Settings from TOML text. Old names work, with a ``DeprecationWarning``.

    :param options: settings by name that override those of the text.
    :raises ConfigError: not TOML, unknown keys, wrong types.
    """
    try:
        return _config_of(parse_source(text, "configuration"), options)
    except UnreadableSource as error:
        raise ConfigError([str(error)]) from None


def load_text(text: str, name: str, environment: Mapping[str, str] | None = None, dotenv: Path | None = None) -> Loaded:
    """Settings from TOML text, with their origins; as from a named file, in an environment if one is given.

    :param name: what origins call the text.
    :raises ConfigError: not TOML, unknown keys, wrong types; every problem of the environment.
    """
    try:
        sources = [environment_source(environment)] if environment is not None else []
        if dotenv is not None:
            with contextlib.suppress(FileNotFoundError):
                sources.append(_read(ConfigFile(dotenv, ".env")))
        return _combine([*sources, parse_source(text, name)])
    except UnreadableSource as error:
        raise ConfigError([str(error)], hint=error.hint) from None


def _config_of(source: ConfigSource, options: Mapping[str, Any] | None) -> Config:
    given = options_source(options or {})
    config = _combine([given, source]).config
    for warning in (*given.warnings, *source.warnings):
        warnings.warn(warning, DeprecationWarning, stacklevel=3)
    return config


def _combine(sources: Sequence[ConfigSource], unreadable: Sequence[UnreadableSource] = ()) -> Loaded:
    """Sources, strongest first, as one configuration. Each is checked on its own, so that a value of one source does
    not hide a problem of another."""
    problems = [str(error) for error in unreadable]
    tree: dict[str, Any] = {}
    for source in reversed(sources):
        _, more = check(source.tree, Config)
        problems += [_with_origin(source, problem) for problem in [*source.problems, *more]]
        _merge(tree, source.tree)
    if problems:
        hints = dict.fromkeys(error.hint for error in unreadable if error.hint is not None)
        raise ConfigError(problems, hint=" ".join(hints) or None)
    config = convert(tree, Config)
    notes = [w for source in sources for w in source.warnings] + _shadowed_values(sources) + _unused_settings(config)
    notes += [w for path in missing(config) for source in sources for w in source.other_names.get(path, ())]
    return Loaded(config, tuple(sources), notes, tree)


def _with_origin(source: ConfigSource, problem: Problem) -> str:
    """A problem with its origin, under the name that was written there."""
    where = source.origin(problem.path)
    written = Problem(source.renamed.get(problem.path, problem.path), problem.message)
    return f"{where}: {written}" if where else str(written)


def _unused_settings(config: Config) -> list[str]:
    """Settings that have no effect together with the others."""
    vertex = config.vertex
    if vertex.default_for_unknown_models and not (vertex.model or vertex.url):
        return [
            "vertex.default_for_unknown_models has no effect: there is no default model; set vertex.model, or remove it"
        ]
    return []


def _shadowed_values(sources: Sequence[ConfigSource]) -> list[str]:
    """Values of a file that a variable overrides which other programs read too, so that it may not be meant for us."""
    notes = []
    for i, source in enumerate(sources):
        for path, variable in source.shared.items():
            value = get_path(source.tree, path)
            if any(get_path(stronger.tree, path) is not ABSENT for stronger in sources[:i]):
                continue
            file = next((s for s in sources[i + 1 :] if s.text and get_path(s.tree, path) not in (ABSENT, value)), None)
            if file is not None:
                notes.append(
                    f"{variable} of the {source.name} overrides {dotted(path)} of {file.origin(path)}; "
                    f"unset it or set {PREFIX}{'_'.join(map(str, path)).upper()} if the file is right"
                )
    return notes


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Put ``above`` over ``below``, in place: tables are merged, everything else is replaced."""
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = copy_tree(value)
