"""Risk: the emulator takes a tool that Claude refuses, or refuses one that Claude takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from modelmux.emulator.errors import ApiError
from modelmux.emulator.validation.json_schema import check_valid
from modelmux.emulator.validation.metaschema import is_valid
from support.odd_schemas import KEYWORDS, SCHEMAS, valid_by_jsonschema

#: One value of each shape, for every keyword.
VALUES: list[Any] = [
    None, True, "x", "1 x", "a#b", "[", "object", 0, 1, -1, 1.5, 2.0, [], [1], ["a"], ["a", "a"], ["null", "object"],
    [{}], [[]], {}, {"a": 1}, {"a": {}}, {"a": ["b"]}, {"a": ["b", "b"]}, {"[": {}}, {"a": True}, {"type": "any"},
]  # fmt: skip


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_every_keyword_is_judged_like_the_metaschema(keyword: str) -> None:
    for value in VALUES:
        assert is_valid({keyword: value}) == valid_by_jsonschema({keyword: value}), value


@given(SCHEMAS)
def test_any_schema_is_judged_like_the_metaschema(schema: dict[str, Any]) -> None:
    assert is_valid(schema) == valid_by_jsonschema(schema)


def test_what_python_warns_of_and_what_is_too_deep() -> None:
    assert is_valid({"pattern": "[[a]"})
    deep: dict[str, Any] = {}
    for _ in range(111):
        deep = {"not": deep}
    assert not is_valid(deep)


def refusal(schema: dict[str, Any]) -> str:
    with pytest.raises(ApiError) as caught:
        check_valid(schema, "tools.0.custom.input_schema")
    return str(caught.value.message)


@pytest.mark.parametrize("key", ["a b", "filter[id]", "数量", "", "x" * 65, "a\n"])
def test_keys_under_the_root_are_checked_and_no_others(key: str) -> None:
    words = "tools.0.custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'"
    assert refusal({"type": "object", "properties": {"a.b-c_D": {}, key: {}}}) == words
    check_valid({"type": "object", "properties": {"a": {"properties": {key: {}}}}}, "tools.0")


def test_another_draft_is_named_in_the_words_of_the_service() -> None:
    words = "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12"
    assert refusal({"minimum": 0, "exclusiveMinimum": True}).startswith(words)
    check_valid({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}, "tools.0")
