"""Settings of one source each, with the origin of every value: files, the environment, the command line.

Reading only: ``load.py`` decides which source wins.
"""

from __future__ import annotations

import base64
import binascii
import functools
import io
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values

from modelmux.config.annotations import Env
from modelmux.config.check import Problem, from_text
from modelmux.config.deprecated_names import rewrite
from modelmux.config.line_numbers import line_numbers
from modelmux.config.near_names import misspelt, other_names
from modelmux.config.paths import KeyPath, set_path
from modelmux.config.settings import PREFIX, Setting, old_settings, settings

#: Variables with our prefix that are not settings.
CONFIG_VARIABLE: Final = "MODELMUX_CONFIG"
_NOT_SETTINGS: Final = {
    CONFIG_VARIABLE,
    "MODELMUX_ADMIN_URL",
    "MODELMUX_KEY",
    "MODELMUX_REQUIRE_CLIENTS",
    "MODELMUX_DEBUG",
}


@dataclass
class ConfigSource:
    """One source of settings.

    :param name: as shown to people: ``environment``, ``.env``, a file's path, ``command line``.
    :param tree: the values, nested as in TOML.
    :param set_by: path -> the variable or option that set it.
    :param shared: the same, for variables that other programs read too.
    :param renamed: path -> the path of an old name that set it.
    :param warnings: what works but should be changed.
    :param other_names: path -> warnings about variables that may hold it, under a name that is not read.
    """

    name: str
    tree: dict[str, Any]
    text: str | None = None
    set_by: dict[KeyPath, str] = field(default_factory=dict)
    shared: dict[KeyPath, str] = field(default_factory=dict)
    renamed: dict[KeyPath, KeyPath] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    other_names: dict[KeyPath, list[str]] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> str:
        """Where a value comes from, for people: ``config.toml:12``, ``environment MODELMUX_SERVER_PORT``."""
        while path:
            written = self.renamed.get(path, path)
            if written in self.set_by:
                return f"{self.name} {self.set_by[written]}"
            if written in self._lines:
                return f"{self.name}:{self._lines[written]}"
            path = path[:-1]
        return self.name

    @functools.cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return {} if self.text is None else line_numbers(self.text)

    def rewrite_old_names(self) -> None:
        """Replace old names by the present ones, each with a warning."""
        done = rewrite(self.tree)
        self.renamed |= done.renamed
        self.problems += done.problems
        for use in done.uses:
            if use.old in self.set_by and self.set_by[use.old].startswith(PREFIX):
                self.warnings.append(use.message(self._variable))
            else:
                line = self._lines.get(use.old)
                where = self.name if line is None else f"{self.name}:{line}"
                self.warnings.append(f"{where}: {use.message()}")

    def _variable(self, path: KeyPath) -> str:
        return self.set_by.get(path) or PREFIX + "_".join(map(str, path)).upper()


class UnreadableSource(Exception):
    """A source that cannot be read at all. The message says why; ``hint`` is a remedy, where there is one to tell."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def read_text(path: Path, remedy: str = "name another file with --config") -> str:
    """The text of a file of settings.

    :param remedy: for a user who must not read it.
    :raises FileNotFoundError:
    :raises UnreadableSource: no permission, not UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError:
        raise UnreadableSource(f"{path}: cannot be read: it is not UTF-8 text", "Save it as UTF-8.") from None
    except PermissionError as error:
        hint = f"Run it as a user who may read the file, or {remedy}."
        raise UnreadableSource(f"{path}: cannot be read: {error.strerror}", hint) from None
    except OSError as error:
        raise UnreadableSource(f"{path}: cannot be read: {error.strerror}") from None


def file_source(path: Path) -> ConfigSource:
    """A TOML file.

    :raises FileNotFoundError:
    :raises UnreadableSource: no permission, not UTF-8, not TOML.
    """
    return parse_source(read_text(path), str(path))


def parse_source(text: str, name: str) -> ConfigSource:
    """TOML text.

    :raises UnreadableSource: not TOML.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        line = int(at[1]) if at else text.count("\n") + 1
        raise UnreadableSource(f"{name}:{line}: not valid TOML: {error}") from None
    source = ConfigSource(name, tree, text)
    source.rewrite_old_names()
    return source


def dotenv_variables(text: str) -> dict[str, str]:
    """The variables of a ``.env`` file; references to variables in values are not expanded."""
    return {k: v for k, v in dotenv_values(stream=io.StringIO(text), interpolate=False).items() if v is not None}


def environment_source(variables: Mapping[str, str], name: str = "environment") -> ConfigSource:
    """All settings that environment variables set. Empty variables count as not set."""
    source = ConfigSource(name, {})
    for setting in (*settings(), *(old for _, old in old_settings())):
        present = [env for env in setting.env if variables.get(env.name, "").strip()]
        if present:
            _apply_variable(source, setting, present[0], variables[present[0].name])
            if present[0].deprecated:
                source.warnings.append(f"{present[0].name} is deprecated; set {setting.env[0].name} instead")
    source.rewrite_old_names()
    known = {env.name for setting in settings() for env in setting.env}
    ignored = _NOT_SETTINGS | {env.name for _, old in old_settings() for env in old.env}
    source.warnings += [f"{name}: {problem}" for problem in misspelt(variables, PREFIX, known, ignored)]
    for path, problems in other_names(variables, known).items():
        source.other_names[path] = [f"{name}: {problem}" for problem in problems]
    return source


def options_source(options: Mapping[str, Any]) -> ConfigSource:
    """Settings of the command line, by name. Text is parsed for the setting it is for."""
    source = ConfigSource("command line", {})
    known = {setting.name: setting for setting in (*(old for _, old in old_settings()), *settings())}
    for name, value in options.items():
        setting = known.get(name)
        path: KeyPath = setting.path if setting else tuple(name.split("."))
        set_path(source.tree, path, from_text(value, setting.kind) if setting and isinstance(value, str) else value)
        source.set_by[path] = f"({name})"
    source.rewrite_old_names()
    return source


def _apply_variable(source: ConfigSource, setting: Setting, env: Env, text: str) -> None:
    source.set_by[setting.path] = env.name
    if env.shared:
        source.shared[setting.path] = env.name
    if env.base64:
        try:
            text = base64.b64decode("".join(text.split()), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            source.problems.append(Problem(setting.path, f"the value is not base64 of text; set {setting.env[0].name}"))
            return
    set_path(source.tree, setting.path, from_text(text, setting.kind))
