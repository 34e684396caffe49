"""Edits in the bytes of a document: what is not edited stays as it was written."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.wire.json_edit import DuplicateKey, Path, dotted, edit, members_of

SPACED = b' { "a" : 1 , "b":[1, 2,3 ],\n"c":{"x":1e400, "\\u0079": "\\ud83d\\ude00"}}\n'


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ({}, SPACED),
        ({("a",): None}, b' { "b":[1, 2,3 ],\n"c":{"x":1e400, "\\u0079": "\\ud83d\\ude00"}}\n'),
        ({("c",): None}, b' { "a" : 1 , "b":[1, 2,3 ]}\n'),
        ({("a",): None, ("b",): None, ("c",): None}, b" {}\n"),
        ({("b", 0): None}, b' { "a" : 1 , "b":[ 2,3 ],\n"c":{"x":1e400, "\\u0079": "\\ud83d\\ude00"}}\n'),
        (
            {("b", 2): None, ("b", 0): b"7"},
            b' { "a" : 1 , "b":[7, 2 ],\n"c":{"x":1e400, "\\u0079": "\\ud83d\\ude00"}}\n',
        ),
        ({("c", "y"): b"2"}, b' { "a" : 1 , "b":[1, 2,3 ],\n"c":{"x":1e400, "\\u0079": 2}}\n'),
        ({("d",): b"2"}, b' {"d":2, "a" : 1 , "b":[1, 2,3 ],\n"c":{"x":1e400, "\\u0079": "\\ud83d\\ude00"}}\n'),
        ({("d",): b"2", ("a",): None}, b' {"d":2 , "b":[1, 2,3 ],\n"c":{"x":1e400, "\\u0079": "\\ud83d\\ude00"}}\n'),
        ({("d",): None}, SPACED),
        ({("c",): b"{}", ("c", "x"): None}, b' { "a" : 1 , "b":[1, 2,3 ],\n"c":{}}\n'),
    ],
)
def test_only_what_is_edited_changes(edits: dict[Path, bytes | None], expected: bytes) -> None:
    assert edit(SPACED, edits) == expected


def test_members_are_added_to_empty_objects() -> None:
    assert edit(b"{ }", {("a",): b"1", ("b",): b"2"}) == b'{"a":1,"b":2 }'


@pytest.mark.parametrize(
    ("document", "edits", "path"),
    [
        (b'{"a":1,"a":2}', {("b",): b"0"}, "a"),
        (b'{"a":2,"b":0,"a":2}', {("b",): b"0"}, "a"),
        (b'{"a":1,"\\u0061":1}', {("b",): b"0"}, "a"),
        (b'{"m":[{"t":1,"t":1}]}', {("m", 0, "t"): None}, "m.0.t"),
        (b'{"a":12,"a":1,"model":"x"}', {("model",): None}, "a"),
        (b'{"a":1,"a":12}', {("a",): b"0"}, "a"),
        (b'{"a":1.5e3 ,"a":1}', {("b",): b"0"}, "a"),
    ],
)
def test_a_key_that_occurs_twice_is_rejected(document: bytes, edits: dict[Path, bytes | None], path: str) -> None:
    with pytest.raises(DuplicateKey, match="occurs twice") as raised:
        edit(document, edits)
    assert dotted(raised.value.path) == path


def test_objects_that_are_not_edited_are_not_read() -> None:
    assert edit(b'{"a":{"b":1,"b":2},"c":3}', {("c",): None}) == b'{"a":{"b":1,"b":2}}'


def test_members_have_their_exact_positions() -> None:
    document = b'{"a" : [ 1,"x" ] }'
    (member,) = members_of(document)
    assert document[member.start : member.end] == b'"a" : [ 1,"x" ]'
    assert document[member.value : member.end] == b'[ 1,"x" ]'
    assert [document[m.start : m.end][m.value : m.end] for m in members_of(b"[]")] == []


_scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8)
_documents = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        _scalars,
        lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=4), below, max_size=4),
        max_leaves=12,
    ),
    max_size=6,
)


def _paths(value: Any, path: Path = ()) -> list[Path]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    paths: list[Path] = [path] if path else []
    for key, child in children:
        paths += _paths(child, (*path, key))
    return paths


def _apply(value: Any, edits: dict[Path, bytes | None]) -> Any:
    """The same edits by way of Python objects; indexes are those before any edit, so later ones go first."""
    value = copy.deepcopy(value)
    for path in sorted(
        edits, key=lambda p: [(isinstance(k, int), k if isinstance(k, int) else 0) for k in p], reverse=True
    ):
        target, new = value, edits[path]
        for key in path[:-1]:
            target = target[key]
        if new is not None:
            target[path[-1]] = json.loads(new)
        elif isinstance(target, list) or path[-1] in target:
            del target[path[-1]]
    return value


@given(document=_documents, data=st.data(), indent=st.sampled_from([None, 1]), escaped=st.booleans())
def test_an_edited_document_decodes_to_the_edited_value(
    document: dict[str, Any], data: st.DataObject, indent: int | None, escaped: bool
) -> None:
    paths = _paths(document)
    chosen: list[Path] = []
    for path in data.draw(st.lists(st.sampled_from(paths), max_size=3, unique=True)) if paths else []:
        if not any(path[: len(other)] == other or other[: len(path)] == path for other in chosen):
            chosen.append(path)
    edits = {path: data.draw(st.sampled_from([None, b"[7]", b'"new"'])) for path in chosen}
    encoded = json.dumps(document, indent=indent, ensure_ascii=escaped).encode()
    edited = edit(encoded, edits)
    assert json.loads(edited) == _apply(document, edits)
    assert list(json.loads(edited)) == [key for key in document if edits.get((key,), b"") is not None]
    if not edits:
        assert edited == encoded
