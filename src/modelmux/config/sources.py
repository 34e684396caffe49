"""Settings of one source each, with the origin of every value: files, the environment, the command line.

Reading only: what wins over what is decided in ``load.py``.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import functools
import io
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values

from modelmux.config.check import Path as Keys
from modelmux.config.check import Problem, from_text
from modelmux.config.line_numbers import lines_of
from modelmux.config.schema import Env
from modelmux.config.settings import PREFIX, Setting, settings

#: Variables with our prefix that are no settings.
CONFIG_VARIABLE: Final = "MODELMUX_CONFIG"
_NO_SETTINGS: Final = {CONFIG_VARIABLE, "MODELMUX_REQUIRE_CLIENTS", "MODELMUX_DEBUG"}
#: Names the 1.x program accepted for the same keys of [vertex] and [[vertex.models]].
_OLD_KEYS: Final = {"project_id": "project", "model_id": "model"}


@dataclass
class Layer:
    """One source of settings.

    :param name: how people know it: ``environment``, ``.env``, a file's path, ``command line``.
    :param tree: the values, nested as in TOML.
    :param warnings: what works but should be changed.
    """

    name: str
    tree: dict[str, Any]
    text: str | None = None
    set_by: dict[Keys, str] = field(default_factory=dict)
    shared: dict[Keys, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def origin(self, path: Keys) -> str:
        """Where a value comes from, for people: ``config.toml:12``, ``environment MODELMUX_SERVER_PORT``."""
        while path:
            if path in self.set_by:
                return f"{self.name} {self.set_by[path]}"
            if path in self._lines:
                return f"{self.name}:{self._lines[path]}"
            path = path[:-1]
        return self.name

    @functools.cached_property
    def _lines(self) -> dict[Keys, int]:
        if self.text is None:
            return {}
        lines = lines_of(self.text)
        return lines | {_renamed_path(path): line for path, line in lines.items()}


class Unreadable(Exception):
    """A source that cannot be read at all: what is wrong, in a sentence."""


def file_layer(path: Path) -> Layer:
    """A TOML file.

    :raises FileNotFoundError:
    :raises Unreadable: no permission, not UTF-8, not TOML.
    """
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError:
        raise Unreadable(f"{path}: cannot be read: it is not UTF-8 text") from None
    except OSError as error:
        raise Unreadable(f"{path}: cannot be read: {error.strerror}") from None
    return text_layer(text, str(path))


def text_layer(text: str, name: str) -> Layer:
    """TOML text.

    :raises Unreadable: not TOML.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        line = int(at[1]) if at else text.count("\n") + 1
        raise Unreadable(f"{name}:{line}: not valid TOML: {error}") from None
    layer = Layer(name, tree, text)
    layer.problems += _rename_old_keys(tree)
    return layer


def dotenv_variables(text: str) -> dict[str, str]:
    """The variables of a ``.env`` file; no variable is expanded in another's value."""
    return {k: v for k, v in dotenv_values(stream=io.StringIO(text), interpolate=False).items() if v is not None}


def environment_layer(variables: Mapping[str, str], name: str = "environment") -> Layer:
    """All settings that environment variables set. Empty variables count as not set."""
    layer = Layer(name, {})
    for setting in settings():
        given = [env for env in setting.env if variables.get(env.name, "").strip()]
        if given:
            _take(layer, setting, given[0], variables[given[0].name])
            if given[0].deprecated:
                layer.warnings.append(f"{given[0].name} is deprecated; set {setting.env[0].name} instead")
    layer.warnings += _unknown_variables(variables, name)
    return layer


def options_layer(options: Mapping[str, Any]) -> Layer:
    """Settings given on the command line: option name -> value, the option named by the setting it is for or ``--set
    path`` with text."""
    layer = Layer("command line", {})
    known = {setting.name: setting for setting in settings()}
    for name, value in options.items():
        setting = known.get(name)
        path: Keys = setting.path if setting else tuple(name.split("."))
        put(layer.tree, path, from_text(value, setting.kind) if setting and isinstance(value, str) else value)
        layer.set_by[path] = f"({name})"
    return layer


def put(tree: dict[str, Any], path: Keys, value: Any) -> None:
    """Set a value in a nested tree."""
    for key in path[:-1]:
        tree = tree.setdefault(str(key), {})
    tree[str(path[-1])] = value


def _take(layer: Layer, setting: Setting, env: Env, text: str) -> None:
    layer.set_by[setting.path] = env.name
    if env.shared:
        layer.shared[setting.path] = env.name
    if env.base64:
        try:
            text = base64.b64decode("".join(text.split()), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            layer.problems.append(Problem(setting.path, f"the value is not base64 of text; set {setting.env[0].name}"))
            return
    put(layer.tree, setting.path, from_text(text, setting.kind))


def _unknown_variables(variables: Mapping[str, str], layer: str) -> list[str]:
    known = {env.name for setting in settings() for env in setting.env}
    warnings = []
    for name in sorted(variables):
        if name.startswith(PREFIX) and name not in known and name not in _NO_SETTINGS:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            warnings.append(f"{layer}: {name} is not the name of a setting{hint}")
    return warnings


def _rename_old_keys(tree: dict[str, Any]) -> list[Problem]:
    """Give the keys of the 1.x program their present names, in place."""
    problems = []
    for path, table in _vertex_tables(tree):
        for old, new in _OLD_KEYS.items():
            if old in table and new in table:
                problems.append(Problem((*path, old), f"another name of {new}, which is set too; remove one"))
            if old in table:
                value = table.pop(old)
                table.setdefault(new, value)
    return problems


def _vertex_tables(tree: dict[str, Any]) -> list[tuple[Keys, dict[str, Any]]]:
    vertex = tree.get("vertex")
    if not isinstance(vertex, dict):
        return []
    models = vertex.get("models")
    entries = models if isinstance(models, list) else []
    inner = [(("vertex", "models", i), m) for i, m in enumerate(entries) if isinstance(m, dict)]
    return [(("vertex",), vertex), *inner]


def _renamed_path(path: Keys) -> Keys:
    last = path[-1]
    return (*path[:-1], _OLD_KEYS.get(last, last)) if path[0] == "vertex" and isinstance(last, str) else path
