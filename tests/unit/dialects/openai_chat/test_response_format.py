"""Structured output: native, by a tool or by instruction, and code fences that come in any number of pieces."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.catalog import builtin
from modelmux.claude.options import Options
from modelmux.claude.structured_output import JSON_INSTRUCTION
from modelmux.dialects.openai_shared.code_block import CodeBlockStripper, strip_code_block
from modelmux.errors import InvalidRequest
from support.translation import OPUS, PREFILL, SONNET, notices, sent, translate
from support.work import assert_linear

NO_FORMAT = builtin().card("claude-opus-4-1")
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}, "required": ["a"]}
#: Does not fit the subset.
OPEN = {"type": "object", "properties": {"a": True}}
FUNCTION = {"type": "function", "function": {"name": "f"}}


def form(schema: Any, **fields: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": schema, **fields}}}


def test_text_asks_for_nothing() -> None:
    assert sent({"response_format": {"type": "text"}}) == sent({})
    assert notices({"response_format": {"type": "text"}}) == []


def test_a_schema_goes_natively_and_what_does_not_bind_is_said() -> None:
    body = sent(form(SCHEMA, name="x", strict=True), OPUS)
    assert body["output_config"] == {
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object", "properties": {"a": {"type": "string", "description": "{minLength: 1}"}},
                "required": ["a"], "additionalProperties": False,
            },
        }
    }  # fmt: skip
    assert "tools" not in body
    assert notices(form(SCHEMA), OPUS) == [("changed", "response_format.json_schema.schema")]
    assert notices(form({"type": "object", "properties": {}}), OPUS) == []
    plan = translate(form(SCHEMA), OPUS).plan
    assert (plan.answer_tool, plan.answer_schema) == (None, None)


def test_effort_and_format_go_together() -> None:
    body = sent({**form(SCHEMA), "reasoning_effort": "high"}, OPUS)
    assert (body["output_config"]["effort"], "format" in body["output_config"]) == ("high", True)


def test_an_object_without_a_schema_is_asked_for_at_the_end_of_the_system_prompt() -> None:
    fields = {"response_format": {"type": "json_object"}}
    assert sent(fields)["system"] == [{"type": "text", "text": JSON_INSTRUCTION}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    assert [b["text"] for b in sent({**fields, "messages": messages})["system"]] == ["Be brief.", JSON_INSTRUCTION]
    assert translate(fields).plan.strip_code_block
    assert not translate({}).plan.strip_code_block


BY_TOOL: list[tuple[str, Any, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    # what, card, request, tool choice, the tool that is the answer
    ("no native form", NO_FORMAT, form(SCHEMA, name="my answer", description="D."), {"type": "tool"},
     {"name": "my_answer_acf8b9d3", "input_schema": SCHEMA, "description": "D."}),
    ("a schema that does not fit", SONNET, form(OPEN), {"type": "tool"},
     {"name": "answer", "input_schema": OPEN, "description": "Gives the answer. Call it exactly once."}),
    ("beside other tools", SONNET, {**form(OPEN), "tools": [FUNCTION]}, {"type": "any"}, {"name": "answer"}),
    ("beside tools that may not be called", SONNET, {**form(OPEN), "tools": [FUNCTION], "tool_choice": "none"},
     {"type": "tool"}, {"name": "answer"}),
    ("beside a tool of its name", SONNET, {**form(OPEN, name="f"), "tools": [FUNCTION]}, {"type": "any"},
     {"name": "f_answer"}),
    ("variants at the root", SONNET, form({"anyOf": [{"properties": {"a": {}}}]}), {"type": "tool"},
     {"input_schema": {"type": "object", "properties": {"a": {}}, "required": []}}),
]  # fmt: skip


@pytest.mark.parametrize(("card", "fields", "choice", "tool"), [b[1:] for b in BY_TOOL], ids=[b[0] for b in BY_TOOL])
def test_a_tool_stands_in_where_there_is_no_native_form(
    card: Any, fields: dict[str, Any], choice: dict[str, Any], tool: dict[str, Any]
) -> None:
    body = sent(fields, card)
    made = body["tools"][-1]
    assert {name: made[name] for name in tool} == tool
    # Two answers would be none: a forced answer is one call.
    named = {"name": made["name"], "disable_parallel_tool_use": True} if choice["type"] == "tool" else {}
    assert body["tool_choice"] == choice | named
    assert "output_config" not in body
    plan = translate(fields, card).plan
    assert plan.answer_tool == made["name"]
    assert plan.answer_schema == fields["response_format"]["json_schema"]["schema"]
    assert ("changed", "response_format.json_schema.schema") in notices(fields, card)
    assert len({t["name"] for t in body["tools"]}) == len(body["tools"])


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (SONNET, {"response_format": {"type": "xml"}}, "response_format.type"),
    (SONNET, {"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
    (SONNET, {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
     "response_format.json_schema.schema"),
    (OPUS, form({"type": "object"}), "response_format.json_schema.schema"),
    (SONNET, form({"$ref": "#/$defs/A", "$defs": {"A": {"type": "array"}}}), "response_format.json_schema.schema"),
    (SONNET, form({"anyOf": [OPEN, {"type": "null"}]}), "response_format.json_schema.schema"),
    (OPUS, form(OPEN), "response_format.json_schema.schema"),
    (SONNET, form({"type": "array", "items": True}), "response_format.json_schema.schema"),
]  # fmt: skip


@pytest.mark.parametrize(("card", "fields", "param"), WRONG)
def test_a_form_nobody_can_give_is_refused_by_name(card: Any, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent(fields, card, Options(forced_tool_choice="downgrade"))
    assert caught.value.param == param


def test_an_answer_by_schema_cannot_continue_a_message() -> None:
    """Neither output_config.format nor a forced call goes with a prefill (structured outputs, incompatibilities)."""
    fields = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "{ "}]}
    for schema in (SCHEMA, OPEN):
        with pytest.raises(InvalidRequest, match="cannot continue an assistant message") as caught:
            sent({**fields, **form(schema)}, PREFILL)
        assert (caught.value.param, caught.value.status) == ("response_format", 400)
        assert "leave out 'response_format'" in str(caught.value.hint)
        body = sent({**fields, **form(schema)}, PREFILL, Options(caching=False, prefill="continue"))
        assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert notices({**fields, **form(OPEN)}, PREFILL, Options(prefill="continue")) == [
        ("changed", "response_format.json_schema.schema"), ("added", "messages"),
    ]  # fmt: skip
    # An instruction goes with it: "{" is how people have asked for JSON.
    instructed = sent({**fields, "response_format": {"type": "json_object"}}, PREFILL)
    assert instructed["messages"][-1] == {"role": "assistant", "content": [{"type": "text", "text": "{"}]}


@pytest.mark.parametrize(
    ("own", "description", "said"),
    [(None, "F.", "F."), ("S.", "F.", "F.\n\nS."), ("F.", "F.", "F."), ("S.", None, "S."), (5, "F.", "F.")],
)
def test_the_description_of_the_form_reaches_the_model(own: Any, description: Any, said: str) -> None:
    schema = {"type": "object", "properties": {}} | ({"description": own} if own else {})
    body = sent(form(schema, description=description), OPUS)
    assert body["output_config"]["format"]["schema"]["description"] == said


def test_how_a_root_was_changed_is_said_with_the_reason_for_the_call() -> None:
    (notice,) = translate(form({"anyOf": [OPEN]}), SONNET).notices
    assert notice.reason.startswith("Followed by means of a tool call, because")
    assert notice.reason.endswith("its variants were joined.")


FENCES: list[tuple[str, str]] = [
    ("", ""),
    ('{"a":1}', '{"a":1}'),
    ('```json\n{"a":1}\n```', '{"a":1}'),
    ('```\n{"a":1}\n```\n', '{"a":1}'),
    ('\n ```json \t\r\n{"a":1}\r\n``` \n', '{"a":1}'),
    ('```json{"a":1}```', '{"a":1}'),
    ('```json\n{"a":"```"}\n```', '{"a":"```"}'),
    ('```json\n{"a":1}', '{"a":1}'),
    ('{"a":1}\n```', '{"a":1}\n```'),
    ('```json\n{"a":1}\n``` and more', '{"a":1}\n``` and more'),
    ("text ```json\n{}\n```", "text ```json\n{}\n```"),
    ("``{}", "``{}"),
    ("`", "`"),
    ("```", ""),
    ("```json", ""),
    ("```json\n", ""),
    ("```\n```", ""),
    ("  ", "  "),
    (" {}  ", " {}  "),
    ("```json\n{}  ", "{}  "),
    ("```json\n{}``", "{}``"),
    ("```json\n{}" + " " * 200 + "\n```", "{}" + " " * 137),
    (" " * 65 + "```json\n{}\n```", " " * 65 + "```json\n{}\n```"),
]


@pytest.mark.parametrize(("text", "expected"), FENCES)
def test_a_fence_around_the_whole_is_taken_off_however_it_is_cut(text: str, expected: str) -> None:
    assert strip_code_block(text) == expected
    for size in (1, 2, 3, 5):
        assert in_pieces([text[i : i + size] for i in range(0, len(text), size)]) == expected


def in_pieces(pieces: list[str]) -> str:
    stripper = CodeBlockStripper()
    return "".join(map(stripper.feed, pieces)) + stripper.finish()


SCRAPS = st.sampled_from(["```", "`", "``", "json", "\n", "\r\n", " ", "\t", "{}", "x", " " * 63, " " * 70, "é"])


@given(st.lists(SCRAPS, max_size=12), st.lists(st.integers(0, 300), max_size=6))
def test_the_cuts_never_matter(scraps: list[str], cuts: list[int]) -> None:
    text = "".join(scraps)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert in_pieces([text[a:b] for a, b in itertools.pairwise(places)]) == strip_code_block(text)
    assert in_pieces(list(text)) == strip_code_block(text)


def test_text_is_held_back_no_longer_than_it_may_be_a_fence() -> None:
    stripper = CodeBlockStripper()
    assert [stripper.feed(piece) for piece in ("``", "`json", "\n", '{"a"', ": 1}", "\n``", "`", " x", "y")] == [
        "", "", "", '{"a"', ": 1}", "", "", "\n``` x", "y",
    ]  # fmt: skip
    assert [CodeBlockStripper().feed(piece) for piece in ("{", "a b", " {")] == ["{", "a b", " {"]


@pytest.mark.parametrize("opening", ["", "```json\n", "```json\n{}"])
def test_white_space_without_end_costs_linear_work_and_no_memory(opening: str) -> None:
    def strip(pieces: int) -> int:
        stripper = CodeBlockStripper()
        out = len(stripper.feed(opening))
        for _ in range(pieces):
            out += len(stripper.feed("    "))
        return out

    assert_linear(strip, 1_000)
    assert strip(50_000) > 199_000


def test_a_root_that_cannot_be_joined_is_named_by_its_place() -> None:
    circle = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    with pytest.raises(InvalidRequest) as caught:
        sent(form(circle), NO_FORMAT)
    assert caught.value.param == "response_format.json_schema.schema"
