"""Risk: a renamed key that is cut in a stream stays, a value that looks like a key is renamed, or text is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.wire.json_keys import KeyRewriter, rename_keys

NAMES = {"a": "A b", "b": "数量", 'q"\\': "x", "": "empty"}
KEYS = st.sampled_from(["a", "b", 'q"\\', "", "c", "A b", "é"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.integers(), st.sampled_from(["a", '{"a":1}', '"a":', "\\", "é\n"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":1}', '{"A b":1}'),
        (
            '{ "a" : "a", "c":{"a":["a"]},\n"b":[{"a":1},"a"] }',
            '{ "A b" : "a", "c":{"a":["a"]},\n"数量":[{"a":1},"a"] }',
        ),
        (r'{"\u0061":1,"q\"\\":2,"":3}', '{"A b":1,"x":2,"empty":3}'),
        (r'{"c":"\"a\":","d":"\\","a":1}', r'{"c":"\"a\":","d":"\\","A b":1}'),
        ('["a","b",{"a":1}]', '["a","b",{"a":1}]'),
        ('"a"', '"a"'),
        ("", ""),
        ("{}", "{}"),
        ('{"a":1}{"a":2}', '{"A b":1}{"A b":2}'),
        (r'{"\ud83d":1,"\x":2,"a"', r'{"\ud83d":1,"\x":2,"A b"'),
        ("nonsense, ]} a", "nonsense, ]} a"),
    ],
)
def test_only_keys_of_the_root_are_renamed(text: str, expected: str) -> None:
    assert rename_keys(text, NAMES) == expected
    rewriter = KeyRewriter(NAMES)
    assert "".join(map(rewriter.feed, text)) + rewriter.finish() == expected


@pytest.mark.parametrize("cut", ['{"a', '{"', '{"c\\', '{"c":1,"b'])
def test_what_came_of_a_key_that_was_cut_off_is_not_lost(cut: str) -> None:
    assert rename_keys(cut, NAMES) == cut
    rewriter = KeyRewriter(NAMES)
    assert '"' not in rewriter.feed(cut)[cut.rindex('"') :]


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.booleans(), st.lists(st.integers(1, 9), min_size=1), st.data())
def test_any_object_cut_anywhere(
    value: dict[str, Any], ascii_only: bool, sizes: list[int], data: st.DataObject
) -> None:
    indent = data.draw(st.sampled_from([None, 1]))
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    rewriter, written, at = KeyRewriter(NAMES), "", 0
    while at < len(text):
        size = sizes[at % len(sizes)]
        written += rewriter.feed(text[at : at + size])
        at += size
    written += rewriter.finish()
    assert written == rename_keys(text, NAMES)
    pairs = json.loads(written, object_pairs_hook=list)
    expected = [(NAMES.get(key, key), part) for key, part in value.items()]
    assert [key for key, _ in pairs] == [key for key, _ in expected]
    assert json.loads(written) == dict(expected)


@given(st.text(), st.lists(st.text(max_size=3)))
def test_any_text_passes(text: str, pieces: list[str]) -> None:
    assert rename_keys(text, {}) == text or '"' in text
    rewriter = KeyRewriter({"\0": "x"})
    assert "".join(map(rewriter.feed, pieces)) + rewriter.finish() == "".join(pieces)
