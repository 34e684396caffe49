"""A lone surrogate is replaced and does not invalidate the reply."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.wire.anthropic import decode_event, decode_message
from modelmux.wire.lone_surrogates import replace_lone_surrogates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\uDE00"', rb'"\ufffd"'),
        (rb'"\ud83d\ud83d\ude00\ude00"', rb'"\ufffd\ud83d\ude00\ufffd"'),
        (rb'"\ud83dx\ude00"', rb'"\ufffdx\ufffd"'),
        (rb'"\\\ud83d"', rb'"\\\ufffd"'),
        (rb'"\ud83d\n"', rb'"\ufffd\n"'),
    ],
)
def test_a_lone_surrogate_becomes_the_replacement_character(text: bytes, expected: bytes) -> None:
    assert replace_lone_surrogates(text) == expected


@pytest.mark.parametrize("text", [b"", b'"a"', rb'"\u00e9"', rb'"\ud83d\ude00"', rb'"\\ud83d"', rb'"\\\\ude00"', b"\\"])
def test_json_without_lone_surrogates_is_not_changed(text: bytes) -> None:
    assert replace_lone_surrogates(text) is text


@given(st.text(alphabet=st.one_of(st.sampled_from('\\"ud83e\ud83d\ude00\n'), st.characters(exclude_categories=()))))
def test_only_lone_surrogates_are_replaced(text: str) -> None:
    """Python encodes and decodes lone surrogates, so it can compute the expected text."""
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert json.loads(replace_lone_surrogates(json.dumps(text).encode())) == expected


def test_a_reply_with_a_lone_surrogate_is_decoded() -> None:
    reply = decode_message(
        rb'{"content":[{"type":"text","text":"a\ud83d"},{"type":"tool_use","id":"t","name":"n","input":{"a":"\ude00"}}]}'
    )
    text, call = reply.content or []
    assert (text.text, bytes(call.input)) == ("a\ufffd", rb'{"a":"\ufffd"}')  # type: ignore[arg-type]


def test_an_event_with_a_lone_surrogate_is_decoded() -> None:
    event = decode_event(rb'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\ud83d"}}')
    assert event.delta is not None
    assert event.delta.text == "\ufffd"
