"""Adding settings to a client's own file without changing anything else in it. No I/O.

JSON is merged by value. YAML is edited as text, so that comments survive; the result is read again, and rejected unless
it has exactly the wanted values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

import yaml

#: Keys that identify an entry of a list: an entry with the same value is replaced.
_IDENTITY: Final = ("name", "model_id")
_INDENT: Final = re.compile(r"^\{\s*?\n([ \t]+)\S")


class CannotMerge(Exception):
    """Why a file cannot be changed, in a sentence without the file's name, and what to do."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


def merge_json(text: str, wanted: Any, remove: Mapping[str, Collection[str]] = MappingProxyType({})) -> str:
    """A JSON document with the wanted settings; ``text`` itself if it has them.

    :param remove: key of an object that has wanted settings -> keys that it must not have.
    :raises CannotMerge: it is not a JSON object, or has comments or repeated keys, which would be lost.
    """
    if not text.strip():
        return json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
    document = text.removeprefix("\ufeff").lstrip()
    try:
        tree = json.loads(document, object_pairs_hook=_without_repeated_keys)
    except ValueError as error:
        raise CannotMerge(
            f"it is not valid JSON: {error}", "Correct it first; if it has comments, add the settings by hand."
        ) from None
    merged = _merged(tree, wanted, ())
    for name, keys in remove.items():
        merged[name] = {key: value for key, value in merged[name].items() if key not in keys}
    if merged == tree:
        return text
    indent = _INDENT.match(document)
    return json.dumps(merged, indent=indent[1] if indent else 2, ensure_ascii=False) + "\n"


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key is repeated")
    return tree


def merge_yaml(text: str, wanted: Any, keep: tuple[str, ...] = ()) -> str:
    """A YAML document with the wanted settings; ``text`` itself if it has them.

    :param keep: keys that are added only where they are missing.
    :raises CannotMerge: it is not valid, or its form does not allow a change that keeps everything else.
    """
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise CannotMerge(f"it is not valid YAML{line}", "Correct it first, or add the settings by hand.") from None
    if tree is None:
        return text + ("" if not text or text.endswith("\n") else "\n") + _dump(wanted)
    merged = _merged(tree, wanted, keep)
    if merged == tree:
        return text
    if isinstance(wanted, list):
        edited = _edit_list(text, yaml.compose(text), tree, wanted)
    else:
        edited = _edit_keys(text, tree, wanted, merged)
    try:
        correct = yaml.safe_load(edited) == merged
    except yaml.YAMLError:
        correct = False
    if not correct:
        raise CannotMerge("it cannot be changed without losing comments or order", "Add the settings by hand.")
    return edited


def _merged(tree: Any, wanted: Any, keep: tuple[str, ...]) -> Any:
    """Values with the wanted ones added or replaced.

    :raises CannotMerge: an object is wanted where there is something else.
    """
    if isinstance(wanted, dict):
        if not isinstance(tree, dict):
            raise CannotMerge(*_other_form("an object"))
        changed = {k: _merged(tree[k], v, ()) if k in tree else v for k, v in wanted.items()}
        return {**tree, **{k: v for k, v in changed.items() if k not in tree or k not in keep}}
    if isinstance(wanted, list) and wanted and isinstance(wanted[0], dict):
        if not isinstance(tree, list):
            raise CannotMerge(*_other_form("a list"))
        entries = list(tree)
        for entry in wanted:
            position = _position(entries, entry)
            entries[position:position + 1] = [entry]  # fmt: skip
        return entries
    return wanted


def _other_form(form: str) -> tuple[str, str]:
    return f"it has something else where {form} is expected", "Correct it first, or add the settings by hand."


def _position(entries: list[Any], wanted: dict[str, Any]) -> int:
    """Where the entry with the same identity is; the end if there is none."""
    key = next(key for key in _IDENTITY if key in wanted)
    matches = (i for i, entry in enumerate(entries) if isinstance(entry, dict) and entry.get(key) == wanted[key])
    return next(matches, len(entries))


def _edit_keys(text: str, tree: dict[str, Any], wanted: dict[str, Any], merged: dict[str, Any]) -> str:
    for key, value in wanted.items():
        if key in tree and merged[key] == tree[key]:
            continue
        if key not in tree:
            text += ("" if text.endswith("\n") else "\n") + _dump({key: value})
            continue
        root = yaml.compose(text)
        assert isinstance(root, yaml.MappingNode)
        node = next(node for name, node in root.value if name.value == key)
        if isinstance(value, list):
            text = _edit_list(text, node, tree[key], value)
        else:
            text = text[: node.start_mark.index] + _scalar(value) + text[node.end_mark.index :]
    return text


def _edit_list(text: str, node: yaml.Node | None, entries: list[Any], wanted: list[dict[str, Any]]) -> str:
    """Add an entry at the end of a list, or replace the one with the same identity."""
    (entry,) = wanted  # the table has no client with more
    if not isinstance(node, yaml.SequenceNode) or node.flow_style or not node.value:
        raise CannotMerge("its list has another form than one entry per line", "Add the settings by hand.")
    position = _position(entries, entry)
    if position < len(entries):
        old = node.value[position]
        body = _indented(_dump(entry), old.start_mark.column).strip()
        return text[: old.start_mark.index] + body + text[_end(old) :]
    body = _indented(_dump([entry]), node.start_mark.column)
    line_end = text.find("\n", _end(node.value[-1]) - 1)
    return text + "\n" + body if line_end < 0 else text[: line_end + 1] + body + text[line_end + 1 :]


def _end(node: yaml.Node) -> int:
    """Where the text of a node ends. (The end mark of a block is that of the next token, after comments.)"""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(node, yaml.MappingNode) else last
    end: int = node.end_mark.index
    return end


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _dump(value: Any) -> str:
    """Block style with quoted strings, lists of words on one line."""
    if isinstance(value, list):
        return "".join("- " + _indented(_dump(entry), 2).lstrip() for entry in value)
    out = ""
    for key, inner in value.items():
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            out += f"{key}:\n" + _indented(_dump(inner), 2)
        else:
            out += f"{key}: {_scalar(inner)}\n"
    return out


def _indented(text: str, width: int) -> str:
    return "".join(" " * width + line if line.strip() else line for line in text.splitlines(keepends=True))
