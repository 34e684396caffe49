"""Risk: a reply that stopped inside a tool's input is not JSON, or says more or less than the model wrote."""

from __future__ import annotations

import json
from typing import Any

import jiter
import pytest

from modelmux.wire.json_prefix import completed
from support.work import assert_linear

VALUES: list[Any] = [
    {"filename": "taxes.txt", "lines": ["# A", "", 'a "quoted" \\ \n text', {"deep": [[1, 22], {"x": None}]}], "n": -1},
    [True, False, None, 0, "x", [], {}],
    {"a": {"b": {"c": [{"d": "ü😀"}]}}, "empty": "", "{": "}", "[,]": ":"},
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("indent", [None, 1])
def test_every_beginning_is_completed_as_the_sdk_does_it(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=indent is None)
    for end in range(1, len(text) + 1):
        beginning = text[:end].encode()
        result = completed(beginning)
        assert result is not None
        assert json.loads(result) == jiter.from_json(beginning, partial_mode=True), beginning
    assert json.loads(completed(text.encode()) or b"") == value


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"n": 1.5e', b"{}"),
        (b"[1.5e3", b"[1.5e3]"),
        (b'{"a":1,"b', b'{"a":1}'),
        (b'{"a":1} x', b'{"a":1}'),
        (b'{"a",1', b"{}"),
    ],
)
def test_what_is_not_finished_is_left_out(data: bytes, expected: bytes) -> None:
    assert completed(data) == expected


@pytest.mark.parametrize(
    "data", [b"", b'"a', b"12", b"tru", b"}", b"]", b'{"a" 1}', b"{]", b"nonsense", b'{"a":1}}', b"[" * 100_000]
)  # fmt: skip
def test_what_no_object_begins_with_is_none(data: bytes) -> None:
    assert completed(data) is None


def test_its_work_is_linear() -> None:
    assert_linear(lambda size: completed(b'[{"a":' * 10 + b'["x",' + b'"y",' * size), 1000)
