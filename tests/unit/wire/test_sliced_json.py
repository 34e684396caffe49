"""Large JSON in slices: another result than that of one call would change requests, a large slice delays all others."""

from __future__ import annotations

import itertools
import json
import operator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.wire import sliced_json
from modelmux.wire.sliced_json import (
    ONE_CALL,
    SLICE,
    count_objects,
    count_values,
    decode_sliced,
    decode_struct,
    decode_text,
    encode_long_texts,
    encode_text,
    encode_texts,
    has_larger_object,
    needs_slices,
    text_slices,
)

SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    SCALARS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=6),
    max_leaves=60,
)


@given(JSON, st.integers(1, 40), st.sampled_from([None, 1]))
def test_slices_make_the_same_value(value: Any, size: int, indent: int | None) -> None:
    data = json.dumps(value, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sliced_json, "SLICE", size)
        patch.setattr(sliced_json, "TEXT_SLICE", size)
        assert decode_sliced(data) == msgspec.json.decode(data)


def test_the_last_of_two_members_of_one_name_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliced_json, "SLICE", 4)
    monkeypatch.setattr(sliced_json, "TEXT_SLICE", 4)
    assert decode_sliced(b'{"a": [1, 2], "b": 0, "a": [3, 4]}') == {"a": [3, 4], "b": 0}


@pytest.mark.parametrize("data", [b"[[1, 2], [3, 4]", b'{"a": [1, 2], "b"}', b"[1, 2, tru]", b"", b'["\xff", "abc"]'])
def test_what_is_not_json_stays_so(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliced_json, "SLICE", 4)
    monkeypatch.setattr(sliced_json, "TEXT_SLICE", 4)
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode_sliced(data)


@pytest.mark.parametrize(
    "value",
    [
        [{}] * 200_000,
        {"messages": [{"role": "user", "content": "x" * 50}] * 20_000},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 50_000}]},
        {"tools": [{"input_schema": {"properties": {f"p{i}": {} for i in range(50_000)}}}]},
    ],
)
def test_no_call_of_the_decoder_makes_more_than_a_slice(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Watched:
        def __init__(self, decoder: msgspec.json.Decoder[Any]) -> None:
            self.decoder = decoder

        def decode(self, data: bytes) -> Any:
            sizes.append(len(data))
            return self.decoder.decode(data)

    monkeypatch.setattr(sliced_json, "_any", Watched(sliced_json._any))
    monkeypatch.setattr(sliced_json, "_any_list", Watched(sliced_json._any_list))
    assert decode_sliced(b" " * 100 + msgspec.json.encode(value)) == value
    assert sum(sizes) >= 100_000, "most of it is decoded in slices"
    assert max(sizes) <= sliced_json.SLICE + 2


def test_a_long_text_is_one_slice() -> None:
    text = "x" * (2 * sliced_json.SLICE)
    assert decode_sliced(msgspec.json.encode({"a": [text]})) == {"a": [text]}


def test_the_depth_of_slices_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliced_json, "SLICE", 1)
    monkeypatch.setattr(sliced_json, "TEXT_SLICE", 1)
    value: Any = "x"
    for _ in range(50):
        value = [value]
    assert decode_sliced(msgspec.json.encode(value)) == value


def test_what_is_counted_is_never_too_few() -> None:
    data = json.dumps({"a": [{}, [], {"b": "{["}], "c": 1}).encode()
    assert count_objects(data) == 7
    assert count_values(data) == 3


@pytest.mark.parametrize(
    ("data", "larger"),
    [
        (b'{"a":1,"b":2,"c":3}', True),
        (b'[{"a":1},{"a":{"b" : 1,"c":[],"d\\"":{}}}]', True),
        (b'{"a":1,"b":{"a":1,"b":[1,2,3]}}', False),
        (b'[{"a":1,"b":2},{"a":1,"b":2},3,4]', False),
        (b'{"a":1,"b":"{,,:\\\\\\"{,,:"}', False),
        (b'{"a":"::::"}', False),
        (b"]::::,,,{", False),  # is not JSON
        (b"", False),
    ],
)
@pytest.mark.parametrize("size", [1, 2**17])
def test_an_object_of_many_members_is_found(
    monkeypatch: pytest.MonkeyPatch, data: bytes, size: int, *, larger: bool
) -> None:
    monkeypatch.setattr(sliced_json, "SLICE", size)
    assert has_larger_object(data, 2) is larger
    assert not has_larger_object(data, len(data))


@given(JSON, st.integers(0, 5))
def test_an_object_is_larger_if_one_has_more_members(value: Any, most: int) -> None:
    def larger(value: Any) -> bool:
        inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        return (isinstance(value, dict) and len(value) > max(most, 1)) or any(map(larger, inner))

    assert has_larger_object(json.dumps(value).encode(), max(most, 1)) is larger(value)


#: What must not be divided.
TOKENS = ["a", r"\\", '\\"', "\\ud83d\\ude00", "\\u00e9", "é", "€", "😀", "\ud83d\ude00", "\udc00", '"', "\n"]


@given(st.lists(st.sampled_from(TOKENS), max_size=60), st.integers(1, 40))
def test_slices_of_text_end_between_characters(tokens: list[str], size: int) -> None:
    data = "".join(tokens).encode("utf-8", "surrogatepass")
    parts = list(text_slices(data, size))
    assert b"".join(parts) == data
    ends = set(itertools.accumulate(len(token.encode("utf-8", "surrogatepass")) for token in tokens))
    assert ends.issuperset(itertools.accumulate(map(len, parts)))
    assert all(0 < len(part) <= max(size, 12) for part in parts)


def test_slices_of_what_is_no_text_end_somewhere() -> None:
    assert list(map(len, text_slices(b"\x80" * 100, 40))) == [36, 36, 28]


CHARACTERS = st.text(st.sampled_from('ab\\"/ud\n\x01é€😀'), max_size=60)


@given(CHARACTERS, st.integers(1, 30), st.booleans(), st.sampled_from(["", " \n"]))
def test_a_text_in_slices_is_the_same(text: str, size: int, escaped: bool, space: str) -> None:
    data = (space + json.dumps(text, ensure_ascii=escaped) + space).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sliced_json, "SLICE", size)
        patch.setattr(sliced_json, "TEXT_SLICE", size)
        assert decode_text(data) == text
        assert bytes(encode_text(text)) == msgspec.json.encode(text)
        assert msgspec.json.encode(encode_texts({"a": [text, 1]})) == msgspec.json.encode({"a": [text, 1]})


PIECES = st.lists(st.sampled_from([b'"', b"\\", b"u", b"d83d", b"\\ud83d", b"\\ude00", b"a", b"\xc3", b"\x80", b"\n"]))


@given(PIECES, st.integers(1, 30))
def test_what_is_no_text_stays_so(pieces: list[bytes], size: int) -> None:
    def result(decode: Any) -> Any:
        try:
            return decode(b'"' + b"".join(pieces) + b'"')
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sliced_json, "SLICE", size)
        patch.setattr(sliced_json, "TEXT_SLICE", size)
        assert result(decode_text) == result(msgspec.json.Decoder(str).decode)


class Inner(msgspec.Struct):
    text: str = ""


class Held(msgspec.Struct):
    text: str = ""
    free: dict[str, Any] | None = None
    raw: msgspec.Raw = msgspec.Raw(b"")
    inner: Inner | None = None
    number: int = 0
    other: str = msgspec.field(default="", name="else")


@pytest.mark.parametrize(
    "value",
    [
        {
            "text": "long " * 9,
            "free": {"a": ["x"] * 9, "b": {}},
            "raw": "raw " * 9,
            "else": "y" * 40,
            "zz": "x" * 40,
        },
        {"raw": {"a": "raw " * 9}, "number": 5},
        {"inner": {"text": "long " * 9}},
        {"text": "short"},
    ],
)
def test_a_struct_in_slices_is_the_same(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data, decoder = json.dumps(value).encode(), msgspec.json.Decoder(Held)
    monkeypatch.setattr(sliced_json, "SLICE", 12)
    monkeypatch.setattr(sliced_json, "TEXT_SLICE", 12)
    assert decode_struct(data, decoder) == decoder.decode(data)


@pytest.mark.parametrize("data", [b'{"number": "long long long"}', b"[]", b'{"text": "long long long"', b'{"number":'])
def test_an_error_of_a_struct_stays_the_same(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliced_json, "SLICE", 12)
    monkeypatch.setattr(sliced_json, "TEXT_SLICE", 12)
    decoder = msgspec.json.Decoder(Held)
    with pytest.raises(msgspec.DecodeError) as expected:
        decoder.decode(data)
    with pytest.raises(msgspec.DecodeError) as caught:
        decode_struct(data, decoder)
    assert str(caught.value) == str(expected.value)


def test_only_long_texts_are_encoded_first() -> None:
    long = "x" * (sliced_json.TEXT_SLICE + 1)
    for value in ("short", ["short"], {"a": "short"}, Held("short"), 5, None):
        assert encode_texts(value) is value
    assert encode_texts(Held(long)) == Held(msgspec.Raw(msgspec.json.encode(long)))  # type: ignore[arg-type]
    deep: Any = long
    for _ in range(sliced_json._ENCODED_LEVELS + 1):
        deep = [deep]
    assert encode_texts(deep) is deep


def test_lists_without_long_texts_are_not_copied() -> None:
    long = "x" * (sliced_json.TEXT_SLICE + 1)
    short: list[Any] = ["short", {"a": ["short"], "b": 5}, [["short"]], Held("short"), None]
    assert encode_long_texts(short) is short
    assert all(map(operator.is_, encode_long_texts([*short, long]), short))
    raw: Any = msgspec.Raw(msgspec.json.encode(long))
    held = [{"a": ["short", long]}, Held(long), [[long]], long]
    assert encode_long_texts(held) == [{"a": ["short", raw]}, Held(raw), [[raw]], raw]


def test_no_call_decodes_or_encodes_more_than_a_slice_of_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    decoder, encode = sliced_json._text, sliced_json._encode

    class Watched:
        def decode(self, data: bytes) -> str:
            sizes.append(len(data))
            return decoder.decode(data)

    def watched(value: Any) -> bytes:
        sizes.append(len(value))
        return encode(value)

    monkeypatch.setattr(sliced_json, "_text", Watched())
    monkeypatch.setattr(sliced_json, "_encode", watched)
    text = '\n"😀' * 1_000_000
    assert decode_sliced(msgspec.json.encode({"a": [text]})) == {"a": [text]}
    assert bytes(encode_text(text)) == msgspec.json.encode(text)
    assert sum(sizes) > 2 * sliced_json.TEXT_SLICE
    assert max(sizes) <= sliced_json.TEXT_SLICE + 2


def test_a_large_body_is_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliced_json, "_SEARCHED", 7)
    for size, few in ((0, 0), (0, 3), (0, 1_000), (1_000, 3)):
        monkeypatch.setattr(sliced_json, "SLICE", size)
        monkeypatch.setattr(sliced_json, "_FEW_MARKS", few)
        assert count_objects(b"{[x]}" * 100) == 200
        assert count_values(b",,x" * 100) == 200
        assert count_values(b"x" * 100) == 0


def test_what_one_call_decodes_is_a_long_text_or_has_few_values() -> None:
    few_objects, few_values, text = sliced_json._FEW_OBJECTS, sliced_json._FEW_VALUES, b"x" * SLICE
    assert not needs_slices(b"," * SLICE)
    assert not needs_slices(b"x" * ONE_CALL)
    assert needs_slices(b"x" * (ONE_CALL + 1))
    for mark, few in ((b"{", few_objects), (b"[", few_objects), (b",", few_values)):
        assert not needs_slices(text + mark * few)
        assert needs_slices(text + mark * (few + 1))
    slowest = 7e-6  # seconds for 1e-320
    assert slowest * (few_objects + few_values) < 0.1
