"""Half a character costs itself, not the reply."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.wire.anthropic import decode_event, decode_message
from modelmux.wire.lone_surrogates import without_halves


@pytest.mark.parametrize(
    ("said", "mended"),
    [
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\uDE00"', rb'"\ufffd"'),
        (rb'"\ud83d\ud83d\ude00\ude00"', rb'"\ufffd\ud83d\ude00\ufffd"'),
        (rb'"\ud83dx\ude00"', rb'"\ufffdx\ufffd"'),
        (rb'"\\\ud83d"', rb'"\\\ufffd"'),
        (rb'"\ud83d\n"', rb'"\ufffd\n"'),
    ],
)
def test_a_half_becomes_the_replacement_character(said: bytes, mended: bytes) -> None:
    assert without_halves(said) == mended


@pytest.mark.parametrize("said", [b"", b'"a"', rb'"\u00e9"', rb'"\ud83d\ude00"', rb'"\\ud83d"', rb'"\\\\ude00"', b"\\"])
def test_what_holds_no_half_is_left_alone(said: bytes) -> None:
    assert without_halves(said) is said


@given(st.text(alphabet=st.one_of(st.sampled_from('\\"ud83e\ud83d\ude00\n'), st.characters(exclude_categories=()))))
def test_only_halves_are_touched(text: str) -> None:
    """Python writes them as escapes and reads them back, so it can say what the mended text has to be."""
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert json.loads(without_halves(json.dumps(text).encode())) == expected


def test_a_reply_with_half_a_character_is_read() -> None:
    said = decode_message(
        rb'{"content":[{"type":"text","text":"a\ud83d"},{"type":"tool_use","id":"t","name":"n","input":{"a":"\ude00"}}]}'
    )
    text, call = said.content or []
    assert (text.text, bytes(call.input)) == ("a\ufffd", rb'{"a":"\ufffd"}')  # type: ignore[arg-type]


def test_an_event_with_half_a_character_is_read() -> None:
    event = decode_event(rb'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\ud83d"}}')
    assert event.delta is not None
    assert event.delta.text == "\ufffd"
