"""The work on all schemas of one request: too little refuses real requests, too much lets a few bytes take seconds."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.claude.options import Options
from modelmux.claude.prepare import prepare
from modelmux.claude.property_keys import rename_in_schema, renamed_keys
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import AnswerFormat, ClaudeRequest
from modelmux.claude.schema.patterns import cost_of, patterns_of
from modelmux.claude.schema.root import to_object_root
from modelmux.claude.schema.subset import to_subset
from modelmux.claude.schema.valid import to_valid
from modelmux.claude.schema.work import MAX_REPAIRS, MAX_REQUEST_WORK, TooMuchWork, Work, request_work
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import InputMessage, MessagesRequest, TextBlock
from support.translation import SONNET

STRING = {"type": "string"}


def patterns(*found: str, size: int = 0) -> dict[str, Any]:
    """A schema with these regular expressions, ``size`` bytes longer than it has to be."""
    properties = {str(i): {"type": "string", "pattern": pattern} for i, pattern in enumerate(found)}
    return {"type": "object", "description": "x" * size, "properties": properties}


@pytest.mark.parametrize("size", [0, 10_000], ids=["remembered", "too long to be remembered"])
def test_an_expression_costs_once_in_a_request_whatever_is_remembered(size: int) -> None:
    for _ in range(2):  # the second time, it is remembered
        work = Work(1_000)
        to_valid(patterns("^a+$", "^a+$", size=size), work)
        to_valid(patterns("^a+$", size=size), work)
        assert work.left == 1_000 - cost_of("^a+$")


def test_expressions_are_charged_before_they_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelmux.claude.schema.draft2020.compiles", None)
    with pytest.raises(TooMuchWork):
        to_valid(patterns("^a+$"), Work(10))


def test_a_schema_without_expressions_costs_nothing() -> None:
    work = Work(0)
    plain = {"type": "object", "properties": {str(i): STRING for i in range(500)}}
    assert to_object_root(plain, "w", work).schema is plain


def test_expressions_are_found_wherever_schemas_are() -> None:
    schema = {"anyOf": [{"items": {"pattern": "a"}}, {"patternProperties": {"b": {"pattern": "c"}}}],
              "pattern": 5, "patternProperties": 5}  # fmt: skip
    assert sorted(patterns_of(schema)) == ["a", "b", "c"]


def test_a_schema_too_deep_to_be_encoded_is_charged_too() -> None:
    deep: dict[str, Any] = {"pattern": "^a+$"}
    for _ in range(100_000):
        deep = {"items": deep}
    work = Work(1_000)
    to_valid(deep, work)
    assert work.left == 1_000 - cost_of("^a+$")


@pytest.mark.parametrize(
    ("cheap", "costly"),
    [
        ("[a-z]", "[\u4e00-\u9fa5]"),
        ("[a-z]", r"[\u4e00-\u9fa5]"),
        ("[\u4e00-\u9fa5]", "(?i)[\u4e00-\u9fa5]"),
        ("\u4e00\u4e8c", "[\u4e00\u4e8c]"),
        ("[ -~]" * 3, "(?i)" + "[ -~]" * 3),
        ("(?i)[ -~\u4e00]", "(?i)[~\u4e00-\u9fa5]"),
    ],
)
def test_a_wide_set_of_characters_costs_more(cheap: str, costly: str) -> None:
    assert cost_of(costly) > cost_of(cheap) + 250


def test_only_ranges_that_end_outside_of_ascii_are_wide() -> None:
    assert cost_of("[a-zA-Z0-9_\u4e00-\u9fa5]") < cost_of("[\u4e00-\u9fa5]") + 50


def test_expressions_of_an_answer_are_charged_before_they_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("re.compile", None)
    schema = {"type": "string", "pattern": "[\x00-\uffff]" * 90}
    assert "too much work" in to_subset(schema).unsupported_reason


def test_all_schemas_of_a_request_share_one_limit() -> None:
    variants = {"anyOf": [{"type": "object", "properties": {f"p{i}": {"const": i}}} for i in range(1_000)]}
    work = request_work()
    with pytest.raises(InvalidRequest, match="of this request combine too much") as caught:
        for index in range(100):
            to_object_root(variants, f"tools.{index}", work)
    assert caught.value.param == "tools.3"


def test_a_schema_beyond_the_limit_is_not_in_the_subset() -> None:
    schema = {"type": "object", "properties": {"a": {"anyOf": [STRING] * 4_900}}, "required": ["a"]}
    work = request_work()
    reasons = [to_subset(schema, work).unsupported_reason for _ in range(4)]
    assert reasons == ["", "", *["the schemas of this request take too much work together"] * 2]


def test_real_requests_are_far_from_the_limit() -> None:
    """A hundred tools with five variants at the root, or with ten expressions of their own each."""
    work = request_work()
    for _ in range(100):
        to_object_root({"anyOf": [{"properties": {f"p{k}": STRING for k in range(8)}} for _ in range(5)]}, "w", work)
    assert work.left > MAX_REQUEST_WORK / 2
    work = request_work()
    for index in range(100):
        to_object_root(patterns(*(f"^[a-z]{{{index},{k}00}}$" for k in range(10))), "w", work)
    assert work.left > 0


def test_an_expression_that_could_not_be_paid_for_is_not_free_the_second_time() -> None:
    work = Work(10)
    for _ in range(2):
        with pytest.raises(TooMuchWork):
            to_valid(patterns("^a+$"), work)


def test_the_schema_of_an_answer_shares_the_limit() -> None:
    """Neither as a tool nor as a format is an expression compiled that takes long."""
    turns = [InputMessage("user", [TextBlock("hi")])]
    wanted = AnswerFormat(patterns("[\x00-\uffff]" * 90))
    request = ClaudeRequest(MessagesRequest("v", 9, turns), answer_format=wanted)
    with pytest.raises(InvalidRequest, match="too many regular expressions") as caught:
        prepare(request, ReplyPlan("m"), SONNET, Options(caching=False))
    assert caught.value.param == request.fields.answer_schema


def old_types(count: int) -> dict[str, Any]:
    """A schema with types that are not JSON Schema's."""
    return {"type": "object", "properties": {f"p{i}": {"type": "str"} for i in range(count)}}


def test_all_repairs_of_a_request_share_one_limit() -> None:
    half = old_types(MAX_REPAIRS // 2 - 1)
    work = request_work()
    to_valid(half, work)
    to_valid(half, work)
    with pytest.raises(TooMuchWork):
        to_valid(old_types(1), work)


def test_dependencies_that_are_put_right_count_as_repairs() -> None:
    repeated = {"dependencies": {f"p{i}": ["a", "a"] for i in range(MAX_REPAIRS)}}
    with pytest.raises(TooMuchWork):
        to_valid(repeated)


def test_valid_schemas_are_not_repaired() -> None:
    work = request_work()
    valid = {"type": "object", "properties": {f"p{i}": STRING for i in range(2 * MAX_REPAIRS)}}
    assert to_valid(valid, work).schema is valid


def test_keys_that_are_renamed_share_the_limit() -> None:
    schema = {"type": "object", "properties": {f"\u00e4 {i}": {} for i in range(5_000)}}
    work, names = request_work(), renamed_keys(schema)
    rename_in_schema(schema, names, work)
    rename_in_schema(schema, names, work)
    with pytest.raises(TooMuchWork):
        rename_in_schema(schema, names, work)
