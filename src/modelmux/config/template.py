"""A configuration file with every setting in it, made of the table: those that are set, and the others commented out
with their default and what they are for. No files here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_origin

import msgspec

from modelmux.config.settings import Section, Setting, is_table, item_of, sections
from modelmux.config.toml_writer import key, literal, tables

_HEAD: Final = """\
# The configuration of ModelMux. Lines that begin with "#" and no space show settings that are not set, with their
# default or an example: take the "#" away to set them. Durations may be written "30s" or "500ms", sizes "64KiB".
# The command line, the environment and .env in the working directory win over this file.
# `modelmux config validate` checks it, `modelmux config show --origin` shows what is in force and why.
"""
_WIDTH: Final = 118
#: Types that the default or the example tells well enough.
_OBVIOUS: Final = ("text", "true or false", "a list of texts")


def render(values: Mapping[str, Any]) -> str:
    """The whole file.

    :param values: the settings to set, nested as in TOML.
    """
    return "\n".join(_lines(values)).rstrip("\n") + "\n"


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    yield _HEAD
    open_ended = [s for s in sections()[0].settings if _is_open(s)]
    for section in sections():
        if "[]" in section.path:
            yield from _example(section, set_already=_at(values, section.path[: section.path.index("[]")]) or [])
            continue
        if section.path:
            yield from _comment(section.about)
            yield f"[{'.'.join(section.path)}]"
        for setting in section.settings:
            if not is_table(item_of(setting.kind)) and setting not in open_ended:
                yield from _setting(setting, _at(values, setting.path))
        yield ""
    for setting in open_ended:
        yield from _open(setting, _at(values, setting.path))


def _setting(setting: Setting, value: Any) -> Iterator[str]:
    plain = setting.expected in _OBVIOUS
    yield from _comment(setting.about if plain else f"{setting.about.removesuffix('.')} ({setting.expected}).")
    name = key(setting.path[-1])
    yield f"{name} = {literal(value)}" if value is not None else f"#{name} = {literal(shown(setting))}"


def shown(setting: Setting) -> Any:
    """The default of a setting, or an example where it has none."""
    absent = setting.default is None or setting.default is msgspec.NODEFAULT
    return setting.example if absent else setting.default


def _example(section: Section, set_already: list[Mapping[str, Any]]) -> Iterator[str]:
    """Entries of a list of tables: those that are there, and one with all its keys, commented out."""
    listed = section.path[-1] == "[]"  # else a table inside of an entry
    nested = not listed or section.path.count("[]") > 1
    header = ".".join(part for part in section.path if part != "[]")
    yield from _comment(section.about)
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
    """A table with keys of the user's choice, or a list of such."""
    name = setting.path[-1]
    yield from _comment(setting.about)
    if value:
        yield tables({name: value})
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
