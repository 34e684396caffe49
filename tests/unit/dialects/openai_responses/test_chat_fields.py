"""Risk: a limit, an effort or a format in the words of Chat Completions is silently not applied."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.claude.request import AnswerFormat
from modelmux.errors import InvalidRequest
from support.responses_requests import plan_of, request_of

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
SHOWN = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_limits(name: str) -> None:
    request = request_of({name: 10})
    assert request.body.max_tokens == 10
    assert [(notice.action, notice.field) for notice in request.notices] == [("changed", name)]
    assert plan_of({name: 10}).echo.max_output_tokens == 10


def test_efforts() -> None:
    request = request_of({"reasoning_effort": "low"})
    assert request.reasoning is not None
    assert request.reasoning.level == "low"
    both = request_of({"reasoning_effort": "low", "reasoning": {"summary": "auto"}})
    assert both.reasoning is not None
    assert (both.reasoning.level, both.reasoning.shown) == ("low", True)


@pytest.mark.parametrize(
    ("form", "expected", "shown"),
    [
        (
            JSON_SCHEMA,
            AnswerFormat(SCHEMA, "n"),
            {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True},
        ),
        ({"type": "json_object"}, AnswerFormat(), {"type": "json_object"}),
        ({"type": "text"}, None, {"type": "text"}),
    ],
)
@pytest.mark.parametrize("text", [{}, {"text": {"verbosity": "medium"}}])
def test_formats(form: Any, expected: AnswerFormat | None, shown: Any, text: Any) -> None:
    assert request_of({"response_format": form, **text}).answer_format == expected
    assert plan_of({"response_format": form, **text}).echo.text == {"format": shown, "verbosity": "medium"}


@pytest.mark.parametrize(
    "fields",
    [
        {"max_output_tokens": 5, "max_tokens": 10},
        {"max_tokens": None},
        {"reasoning": {"effort": "high"}, "reasoning_effort": "low"},
        {"text": {"format": {"type": "text"}}, "response_format": JSON_SCHEMA},
        {"response_format": None},
    ],
)
def test_the_fields_of_responses_take_precedence(fields: dict[str, Any]) -> None:
    name = list(fields)[-1]
    request = request_of(fields)
    assert request.body.max_tokens == fields.get("max_output_tokens", 0)
    assert request.answer_format is None
    expected = [("ignored", name)] if fields[name] is not None else []  # null says nothing
    assert [(notice.action, notice.field) for notice in request.notices] == expected


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": "many"}, "max_tokens"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "text.format.schema"),
    ],
)
def test_values_that_do_not_fit_are_rejected(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        request_of(fields)
    assert caught.value.param == param


def test_places_are_named_by_the_fields_that_the_client_sent() -> None:
    fields = request_of({"max_tokens": 10, "reasoning_effort": "low", "response_format": JSON_SCHEMA}).fields
    assert (fields.max_tokens, fields.reasoning) == (("max_tokens",), "reasoning_effort")
    assert (fields.answer_format, fields.answer_schema) == ("response_format", "response_format.json_schema.schema")
    fields = request_of({"max_output_tokens": 10, "text": {"format": SHOWN}}).fields
    assert (fields.max_tokens, fields.answer_format, fields.answer_schema) == (
        ("max_output_tokens",), "text.format", "text.format.schema",
    )  # fmt: skip
