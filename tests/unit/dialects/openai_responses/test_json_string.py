"""The text of a custom tool call, wherever its JSON is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.dialects.openai_responses.json_string import InputString


def decoded(*pieces: str) -> list[str]:
    """What each piece adds, and the end."""
    stream = InputString()
    return [*map(stream.feed, pieces), stream.finish()]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "a\\nb"}', "a\nb"),
        (' {\n "input" : "x"} ', "x"),
        ('{"input": ""}', ""),
        (r'{"input": "\"\\\/\b\f\n\r\t"}', '"\\/\b\f\n\r\t'),
        (r'{"input": "\u00e9\uD83D\uDE00\ud83d\ude00"}', "é😀😀"),
        (r'{"input": "\uD83D"}', "\ufffd"),
        (r'{"input": "\uD83Dx\uDE00"}', "\ufffdx\ufffd"),
        (r'{"input": "\uD83D\u0041"}', "\ufffdA"),
        (r'{"input": "\uD83D\n"}', "\ufffd\n"),
        ('{"input": "a", "more": 1}', "a"),
        ('{"more": 1, "input": "a"}', "a"),
        ('{"command": "a"}', '{"command": "a"}'),
        ('{"input": 5}', '{"input": 5}'),
        ('{"input": null, "x": "y"}', '{"input": null, "x": "y"}'),
        ('["input"]', '["input"]'),
        ("{}", "{}"),
        # cut off
        ("", ""),
        ('{"inp', '{"inp'),
        ('{"input": ', '{"input": '),
        ('{"input": "ab', "ab"),
        ('{"input": "ab\\', "ab"),
        (r'{"input": "ab\u00e', "ab"),
        (r'{"input": "ab\uD83D', "ab\ufffd"),
        (r'{"input": "ab\uD83D\uDE0', "ab\ufffd"),
        # no valid JSON
        (r'{"input": "\x\u00zz"}', "xu00zz"),
        ('{"input": "a\nb"}', "a\nb"),
    ],
)
def test_the_text_is_the_same_however_its_json_is_cut(arguments: str, text: str) -> None:
    assert "".join(decoded(arguments)) == text
    assert "".join(decoded(*arguments)) == text
    for at in range(len(arguments)):
        assert "".join(decoded(arguments[:at], arguments[at:])) == text


def test_text_is_passed_on_as_it_comes() -> None:
    assert decoded('{"inp', 'ut":"a', "b\\u00", "e9", "\\", 'n"', "}") == ["", "a", "b", "é", "", "\n", "", ""]
    assert decoded('{"x":', '"a', '"}') == ["", "", "", '{"x":"a"}']


@given(st.text(), st.booleans(), st.data())
def test_any_text_comes_through(text: str, escaped: bool, data: st.DataObject) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=escaped)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arguments)), max_size=6)))
    pieces = [arguments[a:b] for a, b in zip([0, *cuts], [*cuts, len(arguments)], strict=True)]
    assert "".join(decoded(*pieces)) == text
