"""Large JSON in slices: another result than that of one call would change requests, a large slice delays all others."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.wire import sliced_json
from modelmux.wire.sliced_json import count_objects, count_values, decode_sliced

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
        assert decode_sliced(data) == msgspec.json.decode(data)


def test_the_last_of_two_members_of_one_name_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliced_json, "SLICE", 4)
    assert decode_sliced(b'{"a": [1, 2], "b": 0, "a": [3, 4]}') == {"a": [3, 4], "b": 0}


@pytest.mark.parametrize("data", [b"[[1, 2], [3, 4]", b'{"a": [1, 2], "b"}', b"[1, 2, tru]", b"", b'["\xff", "abc"]'])
def test_what_is_not_json_stays_so(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliced_json, "SLICE", 4)
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
    value: Any = "x"
    for _ in range(50):
        value = [value]
    assert decode_sliced(msgspec.json.encode(value)) == value


def test_what_is_counted_is_never_too_few() -> None:
    data = json.dumps({"a": [{}, [], {"b": "{["}], "c": 1}).encode()
    assert count_objects(data) == 7
    assert count_values(data) == 3
