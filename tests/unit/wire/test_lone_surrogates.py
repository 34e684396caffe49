"""A lone surrogate is replaced and does not invalidate the reply."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.wire import lone_surrogates
from modelmux.wire.anthropic import decode_event, decode_message
from modelmux.wire.lone_surrogates import positions_of_surrogates, replace_lone_surrogates
from modelmux.wire.sliced_json import TEXT_SLICE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\uDE00"', rb'"\ufffd"'),
        (rb'"\ud83d\ud83d\ude00\ude00"', rb'"\ufffd\ud83d\ude00\ufffd"'),
        (rb'"\ud83dx\ude00"', rb'"\ufffdx\ufffd"'),
        (rb'"\\\ud83d"', rb'"\\\ufffd"'),
        (rb'"\ud83d\n"', rb'"\ufffd\n"'),
        (rb'"\\ud83d\ude00"', rb'"\\ud83d\ufffd"'),
        (rb'"\uD83D\uD83D"', rb'"\ufffd\ufffd"'),
        (b'"\xed\xa0\xbd"', b'"\xef\xbf\xbd"'),
        (b'"\xed\xb8\x80x"', b'"\xef\xbf\xbdx"'),
        (b'"\xed\xa0\xbd\xed\xb8\x80"', b'"\xf0\x9f\x98\x80"'),
        (b'"\xed\xa0\xbd\\ude00\xed\x9f\xbf"', b'"\xef\xbf\xbd\\ufffd\xed\x9f\xbf"'),
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


@given(st.text(alphabet=st.one_of(st.sampled_from('\\"a\ud83d\ude00\n'), st.characters(exclude_categories=()))))
def test_surrogates_in_bytes_are_replaced_and_nothing_else(text: str) -> None:
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    data = json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert json.loads(replace_lone_surrogates(data)) == expected


@pytest.mark.parametrize(
    ("value", "positions"),
    [
        ({"messages": [{"role": "user", "content": "a\ud83d"}]}, ["messages.0.content"]),
        ({"b": "\ude00", "a": ["x", "\ud83d", "\ud83d"]}, ["b", "a.1", "a.2"]),
        ({"a": {"b": {"c": {"d": {"e": ["x", "\ud83d"]}}}}}, ["a.b.c.d"]),
        ({"metadata": {"Some key": ["\ud83d"]}}, ["metadata"]),
        ({"metadata": {"\ud83d": 1}}, ["metadata"]),
        ({"\ud83d": 1}, ["body"]),
        ({"\ud83d": 1, "a": "\ud83d", "Some key": "\ud83d"}, ["body", "a"]),
        ({"a\nb": {"c": "\ud83d"}}, ["body"]),
        ({"": "\ud83d"}, ["body"]),
        ("\ud83d", ["body"]),
        ({"a": "x", "b": 1}, []),
        ({"a": ["\ud83d"] * 100}, [f"a.{index}" for index in range(25)]),
    ],
)
def test_places_are_named_as_far_as_no_key_is_the_clients_own(value: object, positions: list[str]) -> None:
    assert positions_of_surrogates(json.dumps(value).encode()) == positions
    assert positions_of_surrogates(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == positions


@pytest.mark.parametrize("data", [b"", rb'{"a":"\ud83d"', b"\xff", b"[" * 100_000 + rb'"\ud83d"' + b"]" * 100_000])
def test_what_cannot_be_read_has_no_places(data: bytes) -> None:
    assert positions_of_surrogates(data) == []


def test_characters_that_mark_places_may_be_in_the_text() -> None:
    value = {"a": "".join(map(chr, range(0xFDD0, 0xFDEF))), "b": "\ud83d"}
    assert positions_of_surrogates(json.dumps(value).encode()) == ["b"]
    assert positions_of_surrogates(json.dumps(value).upper().replace("\\U", "\\u").encode()) == ["body"]  # of key B
    assert positions_of_surrogates(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == ["b"]
    value["a"] += chr(0xFDEF)  # the first one is taken
    assert positions_of_surrogates(json.dumps(value).encode()) == ["a", "b"]


@pytest.mark.parametrize("pair", [rb"\ud83d\ude00", "\ud83d\ude00".encode("utf-8", "surrogatepass"), rb"\\"])
def test_no_end_of_a_slice_divides_a_pair(pair: bytes) -> None:
    for before in range(TEXT_SLICE - 14, TEXT_SLICE + 2):
        data = b'"' + b"x" * before + pair + rb'\udc00"'
        assert json.loads(replace_lone_surrogates(data))[before:] in ("😀\ufffd", "\\\ufffd")


def test_large_json_is_replaced_and_searched_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """4.8 million halves of characters held the event loop for 2 s."""
    sizes: list[int] = []
    slices = lone_surrogates.text_slices

    def spy(data: bytes) -> Iterator[bytes]:
        for part in slices(data):
            sizes.append(len(part))
            yield part

    monkeypatch.setattr(lone_surrogates, "text_slices", spy)
    value = {"messages": [{"content": "\ud83d" * (TEXT_SLICE // 2)}]}
    data = json.dumps(value).encode()
    assert replace_lone_surrogates(data).count(b"\\ufffd") == TEXT_SLICE // 2
    assert positions_of_surrogates(data) == ["messages.0.content"]
    assert sum(sizes) == 2 * len(data)
    assert max(sizes) <= TEXT_SLICE


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
