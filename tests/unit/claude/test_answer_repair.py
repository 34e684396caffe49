"""Answers that a tool call carries: known deformations are undone, everything else passes, and streams stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.claude import answer_repair
from modelmux.claude.answer_repair import MAX_LAYERS, AnswerText, repaired_answer
from modelmux.claude.schema.work import MAX_LEVELS, Work
from support.work import assert_linear

FACT = {"type": "object", "properties": {"what": {"type": "string"}, "at": {"type": "object"}}, "required": ["what"]}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "facts": {"type": "array", "items": FACT},
        "title": {"type": "string"},
        "either": {"type": ["string", "array"]},
        "size": {"type": "integer"},
        "maybe": {"anyOf": [{"$ref": "#/$defs/Fact"}, {"type": "null"}]},
    },
    "required": ["facts"],
    "$defs": {"Fact": FACT},
}
FACTS = '{"facts": [ {"what":"x [1]", "at":{"n":1.50}} ]}'
OPEN = {"type": "object"}
KEYED = {"type": "object", "additionalProperties": {"type": "array"}}


def quoted(text: str) -> str:
    return json.dumps(text)


def within(key: str, text: str) -> str:
    """An object with one key."""
    return f'{{"{key}":{text}}}'


def array(text: str, count: int) -> str:
    return f"[{','.join([text] * count)}]"


REPAIRED: list[tuple[str, dict[str, Any], str, str]] = [
    ("an envelope", SCHEMA, within("parameter", FACTS), FACTS),
    ("an envelope by any name", SCHEMA, f' {{ "$PARAMETER_NAME" :{FACTS} }} \n', FACTS),
    ("an envelope with an escape in its name", SCHEMA, within("\\u0069nput", FACTS), FACTS),
    ("an envelope inside another", SCHEMA, within("input", within("facts_answer", FACTS)), FACTS),
    ("an envelope around a string", SCHEMA, within("input", quoted(FACTS)), FACTS),
    ("an envelope around a string that begins with space", SCHEMA, within("input", quoted("\n\t " + FACTS)), FACTS),
    ("an envelope inside a string inside an envelope", SCHEMA,
     within("input", quoted(within("parameter", FACTS))), FACTS),
    ("a string that is everything", SCHEMA, quoted(FACTS), FACTS),
    ("an array as a string", SCHEMA, '{"title":"[1]", "facts": "[{\\"what\\":\\"\\u00e9\\"}]", "size":1}',
     '{"title":"[1]", "facts": [{"what":"\u00e9"}], "size":1}'),
    ("an array as a string with space around it", SCHEMA, '{"facts":" \\n[]\\n"}', '{"facts":[]}'),
    ("an object as a string", SCHEMA, '{"facts":["{\\"what\\":\\"x\\"}",{"what":"y","at":"{}"}]}',
     '{"facts":[{"what":"x"},{"what":"y","at":{}}]}'),
    ("a string inside a string", SCHEMA, within("facts", quoted('[{"what":"x","at":"{\\"a\\":\\"[1]\\"}"}]')),
     '{"facts":[{"what":"x","at":{"a":"[1]"}}]}'),
    ("encoded three times", SCHEMA, within("facts", quoted(quoted(quoted("[]")))), '{"facts":[]}'),
    ("an array as a string inside an envelope", SCHEMA, '{"parameter":{"facts":"[]"}}', '{"facts":[]}'),
    ("one of several variants", SCHEMA, '{"facts":[],"maybe":"{\\"what\\":\\"x\\"}"}',
     '{"facts":[],"maybe":{"what":"x"}}'),
    ("the value of a key that the schema has no name for", KEYED, '{"a":[],"b":"[1]"}', '{"a":[],"b":[1]}'),
    ("the only value of such a key", KEYED, '{"a":"[1]"}', '{"a":[1]}'),
    ("some variants allow a string", {"anyOf": [
        {"properties": {"kind": {"const": "a"}, "value": {"type": "string"}}, "required": ["kind", "value"]},
        {"properties": {"kind": {"const": "b"}, "value": {"type": "array"}}, "required": ["kind", "value"]}]},
     '{"kind":"b","value":"[1]"}', '{"kind":"b","value":[1]}'),
    ("only one of two is certain", {
        "properties": {"list": {"type": "array"}},
        "anyOf": [{"properties": {"value": {"type": "string"}, "kind": {"const": "a"}}},
                  {"properties": {"value": {"type": "array"}, "kind": {"const": "b"}}}]},
     '{"kind":"a","value":"[1]","list":"[2]"}', '{"kind":"a","value":"[1]","list":[2]}'),
]  # fmt: skip

UNCHANGED: list[tuple[str, dict[str, Any] | None, str]] = [
    ("it fits", SCHEMA, FACTS),
    ("no schema", None, '{"parameter":{"facts":[]}}'),
    ("any object fits", OPEN, '{"parameter":{"facts":[]}}'),
    ("an envelope that is a property", {**SCHEMA, "properties": {**SCHEMA["properties"], "parameter": {}}},
     '{"parameter":{"facts":[]}}'),
    ("what is inside does not fit either", SCHEMA, '{"parameter":{"facts":[5]}}'),
    ("more than an envelope", SCHEMA, '{"parameter":{"facts":[]},"more":1}'),
    ("a string that is not JSON", SCHEMA, '{"facts":"[none]"}'),
    ("a string of prose", SCHEMA, '{"facts":"none","size":1}'),
    ("a string that is the JSON of a string", SCHEMA, '{"facts":"\\"x\\""}'),
    ("an empty string", SCHEMA, '{"facts":"","title":" "}'),
    ("an envelope around nothing", SCHEMA, '{"input":""}'),
    ("an envelope around prose", SCHEMA, '{"input":"I cannot"}'),
    ("an envelope around blanks", SCHEMA, '{"input":"  \\n"}'),
    ("an envelope around a number", SCHEMA, '{"input":5}'),
    ("an envelope around broken JSON", SCHEMA, '{"input":"{\\"facts\\":"}'),
    ("a string that does not fit as JSON", SCHEMA, '{"facts":"[1]"}'),
    ("another fault besides", SCHEMA, '{"facts":"[]","size":"5"}'),
    ("a string where one is allowed", SCHEMA, '{"facts":[],"either":"[1]"}'),
    ("a number as a string", SCHEMA, '{"facts":[],"size":"5"}'),
    ("not an object", SCHEMA, "5"),
    ("an array", SCHEMA, '[{"facts":[]}]'),
    ("nothing", SCHEMA, ""),
    ("an empty object", SCHEMA, "{}"),
    ("cut off", SCHEMA, '{"parameter":{"facts":[]}'),
    ("cut off in a string", SCHEMA, '{"facts":"[1,2'),
    ("cut off in an escape", SCHEMA, '{"facts":"[\\'),
    ("something behind it", SCHEMA, '{"parameter":{"facts":[]}} {}'),
    ("a key that is not JSON", SCHEMA, '{"para\\x": {"facts":[]}}'),
    ("half a surrogate pair in a key", SCHEMA, '{"\ud800": {"facts":[]}}'),
    ("half a surrogate pair in a string", SCHEMA, '{"facts": "[\\"\\ud800\\"]"}'),
    ("a mark too many", SCHEMA, "]"),
    ("a comma alone", SCHEMA, ","),
    ("a colon alone", SCHEMA, ":"),
    ("an object as a key", SCHEMA, "{{}:1}"),
    ("a number too large", SCHEMA, '{"parameter":{"facts":[],"size":1e999}}'),
    ("too many envelopes", SCHEMA, '{"a":' * (MAX_LAYERS + 1) + FACTS + "}" * (MAX_LAYERS + 1)),
    ("nested too deeply", SCHEMA, '{"parameter":{"facts":[],"x":' + "[" * MAX_LEVELS + "]" * MAX_LEVELS + "}}"),
    ("nested too deeply in a string", SCHEMA, '{"facts":"' + "[" * (MAX_LEVELS + 1) + "]" * (MAX_LEVELS + 1) + '"}'),
    ("a regular expression", {"type": "object", "propertyNames": {"pattern": "x"}}, '{"parameter":{"x":1}}'),
]  # fmt: skip


def in_pieces(text: str, schema: dict[str, Any] | None, size: int = 1) -> list[str]:
    answer = AnswerText(schema)
    pieces = [answer.feed(text[at : at + size]) for at in range(0, len(text), size)]
    return [*pieces, answer.finish()]


@pytest.mark.parametrize(("schema", "text", "want"), [case[1:] for case in REPAIRED], ids=[c[0] for c in REPAIRED])
def test_known_deformations_are_undone(schema: dict[str, Any], text: str, want: str) -> None:
    assert repaired_answer(text, schema) == want
    assert "".join(in_pieces(text, schema)) == want
    assert "".join(in_pieces(text, schema, 7)) == want
    assert repaired_answer(want, schema) == want


@pytest.mark.parametrize(("schema", "text"), [case[1:] for case in UNCHANGED], ids=[c[0] for c in UNCHANGED])
def test_all_else_passes_as_it_is(schema: dict[str, Any] | None, text: str) -> None:
    assert repaired_answer(text, schema) == text
    assert "".join(in_pieces(text, schema)) == text
    assert "".join(in_pieces(text, schema, 7)) == text


def test_an_answer_streams_once_its_first_key_is_known() -> None:
    assert in_pieces('{"facts":[{"what":"x"}]}', SCHEMA)[:9] == [*[""] * 7, '{"facts"', ":"]
    text = '{"facts": [{"what": "[x] \\n", "at": {}}], "maybe": null, "either": "[1]", "size": 5}'
    pieces = in_pieces(text, SCHEMA)
    assert pieces[8:] == [*text[8:], ""]


@pytest.mark.parametrize(
    ("before", "held", "after"),
    [
        ('{"facts":', '"', 'none",'),  # until the string does not look like JSON
        ('{"facts":', '" \\n ', 'none",'),
        ('{"facts":', '"[none]', '",'),  # until it turns out that it is not JSON
        ('{"size":1,"facts":', '"', "x"),
        ("", '{"other":', '5,"more":'),  # until the value is not one that an envelope has
        ("", '{"other":"', "prose"),
        ("", '{"other":{"a":1}', ',"more'),  # until there is another key
    ],
)
def test_what_is_held_back_is_let_go_as_soon_as_nothing_is_possible(before: str, held: str, after: str) -> None:
    """The character that ends the doubt brings all that was held back before it."""
    pieces = in_pieces(before + held + after, SCHEMA)[len(before) :]
    assert pieces == [*[""] * len(held), held + after[0], *after[1:], ""]


KEYS = {"a_b__0123456789ab": "a b"}
SPACED = {"type": "object", "properties": {"a b": {"type": "array"}}, "required": ["a b"]}
RENAMED = [
    ("an envelope", SPACED, within("parameter", '{ "a_b__0123456789ab" :[1.50] }'), '{ "a b" :[1.50] }'),
    ("a string", SPACED, quoted('{"a_b__0123456789ab":[]}'), '{"a b":[]}'),
    ("an envelope around a string", SPACED, within("input", quoted('{"a_b__0123456789ab":"[]"}')), '{"a b":[]}'),
    ("two envelopes", SPACED, within("x", within("y", '{"a_b__0123456789ab":[]}')), '{"a b":[]}'),
    ("a schema that takes an envelope, too", {"type": "object", "properties": {"a b": {}}},
     within("parameter", '{"a_b__0123456789ab":1}'), '{"a b":1}'),
    ("keys of the client's own in an envelope it takes", {"type": "object", "properties": {"a b": {}}},
     within("parameter", '{"a b":1}'), within("parameter", '{"a b":1}')),
    ("no envelope", SPACED, '{"a b":[{"a_b__0123456789ab":1}]}', '{"a b":[{"a_b__0123456789ab":1}]}'),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "text", "want"), [case[1:] for case in RENAMED], ids=[c[0] for c in RENAMED])
def test_renamed_keys_inside_of_a_deformation_come_back(schema: dict[str, Any], text: str, want: str) -> None:
    assert repaired_answer(text, schema, KEYS) == want
    answer = AnswerText(schema, KEYS)
    assert "".join(map(answer.feed, text)) + answer.finish() == want


def test_two_doubts_at_once() -> None:
    """Not an envelope after all, but a string was held back on the way."""
    text = '{"other":{"a":"[1]"},"facts":[]}'
    schema = {**SCHEMA, "additionalProperties": {"properties": {"a": {"type": "array"}}}}
    assert repaired_answer(text, schema) == '{"other":{"a":[1]},"facts":[]}'
    pieces = in_pieces(text, schema)
    assert [piece for piece in pieces if piece] == ['{"other":{"a":', '[1]},"facts":[]}']
    assert repaired_answer('{"facts":[{"what":"', schema) == '{"facts":[{"what":"'


def test_an_answer_beyond_the_limit_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_repair, "MAX_TEXT", 40)
    text = '{"parameter":{"facts":[],"title":"' + "x" * 20 + '"}}'
    pieces = in_pieces(text, SCHEMA)
    assert pieces[:42] == [*[""] * 40, text[:41], text[41]]
    assert "".join(pieces) == text == repaired_answer(text, SCHEMA)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (SCHEMA | {"anyOf": [OPEN] * 1000}, '{"parameter":{"facts":[]}}'),
        (SCHEMA, within("parameter", within("facts", array('{"what":"x"}', 100)))),
        (SCHEMA, within("facts", quoted(array('{"what":"x"}', 100)))),
        ({"additionalProperties": {"$ref": "#/$defs/A"}, "$defs": {"A": {"anyOf": [OPEN] * 600}}}, '{"a":{},"b":"{}"}'),
        (SCHEMA, '{"facts":"' + r"\n" * 600 + '[]"}'),
    ],
    ids=["schema", "envelope", "string", "schema of a property", "escaped white space"],
)
def test_an_answer_that_is_too_much_work_passes(
    schema: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert repaired_answer(text, schema) != text
    monkeypatch.setattr(answer_repair, "Work", lambda: Work(500))
    assert repaired_answer(text, schema) == text == "".join(in_pieces(text, schema))


@pytest.mark.parametrize("piece", [1, 50, 10**9])
@pytest.mark.parametrize(
    "text",
    [
        lambda n: within("facts", array('{"what":"a\\nb"}', n)),
        lambda n: within("parameter", within("facts", array('{"what":"x"}', n))),
        lambda n: within("facts", quoted(array('{"what":"x"}', n))),
        lambda n: within("facts", array('"{\\"what\\":\\"x\\"}"', n)),
        lambda n: '{"facts":"' + " " * n,
        lambda n: '{"facts":"' + "\\n" * n,
        lambda n: '{"facts":"[' + "\\\\" * n,
        lambda n: '{"a":' * n,
        lambda n: '{"facts":["[", ' + '"[x]", ' * n,
        lambda n: '{"title":"' + "x" * n,
    ],
    ids=["plain", "envelope", "string", "strings", "blank", "line ends", "backslashes", "nested", "broken", "text"],
)
def test_the_work_is_linear(text: Any, piece: int) -> None:
    assert_linear(lambda n: in_pieces(text(n), SCHEMA, piece), 300)
