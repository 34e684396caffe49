"""The text of a configuration file with every setting, generated from the table: those that are set, and the others as
comments with their default and description.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_origin

import msgspec

from modelmux.config.introspection import is_table, item_of
from modelmux.config.settings import Section, Setting, sections
from modelmux.config.toml_writer import key, literal, tables

_HEAD: Final = """\
# The configuration of ModelMux. Lines that begin with "#" and no space are settings that are not set, with their
# default or an example: remove the "#" to set them. Durations may be written as "30s" or "500ms", sizes as "64KiB".
# The command line, the environment and .env in the working directory take precedence over this file.
# `modelmux config validate` checks it, `modelmux config show --origin` shows every value and where it comes from.
"""
_WIDTH: Final = 118
#: Types that are obvious from the default or the example.
_OBVIOUS: Final = ("a string", "true or false", "a list of strings")


def render(values: Mapping[str, Any]) -> str:
    """The complete file.

    :param values: the settings to set, nested as in TOML.
    """
    return "\n".join(_lines(values)).rstrip("\n") + "\n"


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    yield _HEAD
    open_ended = [s for section in sections() for s in section.settings if _is_open(s)]
    for section in sections():
        if "[]" in section.path:
            yield from _example(section, set_already=_at(values, section.path[: section.path.index("[]")]) or [])
            continue
        if all(setting in open_ended for setting in section.settings):
            continue
        if section.path:
            yield from _comment(section.description)
            yield f"[{'.'.join(section.path)}]"
        for setting in section.settings:
            if not is_table(item_of(setting.kind)) and setting not in open_ended:
                yield from _setting(setting, _at(values, setting.path))
        yield ""
    for setting in open_ended:
        yield from _open(setting, _at(values, setting.path))


def _setting(setting: Setting, value: Any) -> Iterator[str]:
    plain = setting.expected in _OBVIOUS
    yield from _comment(
        setting.description if plain else f"{setting.description.removesuffix('.')} ({setting.expected})."
    )
    name = key(setting.path[-1])
    yield f"{name} = {literal(value)}" if value is not None else f"#{name} = {literal(shown(setting))}"


def shown(setting: Setting) -> Any:
    """The default of a setting, or an example if it has none."""
    absent = setting.default is None or setting.default is msgspec.NODEFAULT
    return setting.example if absent else setting.default


def _example(section: Section, set_already: list[Mapping[str, Any]]) -> Iterator[str]:
    """Entries of a list of tables: the existing ones, and one with all its keys, as a comment."""
    listed = section.path[-1] == "[]"  # else a table inside an entry
    nested = not listed or section.path.count("[]") > 1
    header = ".".join(part for part in section.path if part != "[]")
    yield from _comment(section.description)
    if set_already and not nested:
        tree: Any = set_already
        for part in reversed(section.path[:-1]):
            tree = {part: tree}
        yield tables(tree)
    yield f"#[[{header}]]" if listed else f"#[{header}]"
    for setting in section.settings:
        if not is_table(item_of(setting.kind)):
            yield from _setting(setting, None)
    yield ""


def _open(setting: Setting, value: Any) -> Iterator[str]:
    """A table with arbitrary keys, or a list of such tables."""
    name = ".".join(setting.path)
    yield from _comment(setting.description)
    if value:
        tree: Any = value
        for part in reversed(setting.path):
            tree = {part: tree}
        yield tables(tree)
        return
    yield f"#[[{name}]]" if get_origin(setting.kind) is list else f"#[{name}]"
    yield from (f"#{key(k)} = {literal(v)}" for k, v in setting.example.items())
    yield ""


def _is_open(setting: Setting) -> bool:
    item = item_of(setting.kind)
    return get_origin(setting.kind) is dict or get_origin(item) is dict


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text.replace("``", ""), _WIDTH, initial_indent="# ", subsequent_indent="# ")


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        values = values.get(part) if isinstance(values, Mapping) else None
    return values
