"""Risk: a native request is refused for one tool, or one that Claude takes is changed."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from modelmux.catalog import builtin
from modelmux.claude.native import NativeRequest, blocks_of
from modelmux.claude.options import Options
from modelmux.claude.property_keys import renamed_keys, to_legal_key
from modelmux.emulator.validation.json_schema import check_valid
from modelmux.errors import InvalidRequest
from modelmux.providers.base import NativePrepared
from modelmux.providers.vertex_claude.native.count_tokens import prepare_count
from modelmux.providers.vertex_claude.native.prepare import prepare_native
from support.odd_schemas import SCHEMAS, valid_by_jsonschema

CARD = builtin().card("claude-opus-5-5")
K = to_legal_key("a b")
COMBINERS = {"anyOf", "oneOf", "allOf"}
ODD = b'{ "properties":{"a b":{"type":"string"},"n":{"minimum":1.0}}, "type":"object","required":["a b"] }'
INPUT = b'{ "n":1.50e2,"a b":{"a b":12345678901234567890123}, "z":"a b"}'
HISTORY = (
    b'"messages":[{"role":"user","content":"hi"},5,{"role":"assistant","content":[ 7,{"type":"text","text":"a b"},'
    b'{"type":"tool_use","id":"t","name":"f","input":' + INPUT + b'},{"type":"tool_use","id":"u","name":"g","input":'
    + INPUT + b'},{"type":"tool_use","name":"f","input":5},{"type":"tool_use","name":"f","input":{"n":1}}]}]'
)  # fmt: skip


def prepare(body: bytes) -> NativePrepared:
    content = msgspec.json.decode(body)
    return prepare_native(NativeRequest(body, content, list(blocks_of(content))), CARD, Options())


def body_with(tools: bytes, rest: bytes = HISTORY) -> bytes:
    return b'{ "anthropic_version":"vertex-2023-10-16","stream":false, "tools":' + tools + b"," + rest + b' ,"x":1.0 }'


def tool(schema: bytes, rest: bytes = b"") -> bytes:
    return b'[{"name":"f", "input_schema":' + schema + rest + b'},{"name":"g","input_schema":{"type":"object"}}]'


def test_keys_are_renamed_where_they_stand_and_nothing_else_changes() -> None:
    body = body_with(tool(ODD, b',"input_examples":[{"a b":1},5]'))
    made = prepare(body)
    schema = {
        "properties": {K: {"type": "string", "description": '"a b"'}, "n": {"minimum": 1.0}}, "type": "object",
        "required": [K],
    }  # fmt: skip
    expected = body.replace(ODD, msgspec.json.encode(schema)).replace(b'[{"a b":1},5]', b'[{"%s":1},5]' % K.encode())
    expected = expected.replace(
        b'"name":"f","input":' + INPUT, b'"name":"f","input":' + INPUT.replace(b'"a b":{', b'"%s":{' % K.encode())
    )
    assert made.body == expected
    assert made.property_names == {"f": {K: "a b"}}
    assert [notice.field for notice in made.notices] == ["tools.0.input_schema"]


def test_a_schema_of_another_draft_is_rewritten() -> None:
    made = prepare(body_with(tool(b'{"type":"object","properties":{"n":{"minimum":0,"exclusiveMinimum":true}}}')))
    assert json.loads(made.body)["tools"][0]["input_schema"]["properties"] == {"n": {"exclusiveMinimum": 0}}
    assert INPUT in made.body
    assert made.property_names == {}
    assert [notice.field for notice in made.notices] == ["tools.0.input_schema"]


@pytest.mark.parametrize(
    "tools",
    [
        tool(b'{ "type":"object","$schema":"http://json-schema.org/draft-07/schema#","properties":{"a":{"properties":'
             b'{"a b":{}}}},"nullable":true }'),
        b'[{"type":"computer_20251124","name":"f","input_schema":' + ODD + b"}]",
        b'[5,{"name":"f"},{"name":"f","input_schema":true},{"name":"f","input_schema":null}]',
        tool(b'{ "type":"object","not":{"anyOf":[{}]},"if":{},"$defs":{"A":{"oneOf":[{}]}},"$ref":"#/$defs/A" }'),
        b"5",
    ],
)  # fmt: skip
def test_what_claude_takes_stays_in_its_bytes(tools: bytes) -> None:
    body = body_with(tools)
    made = prepare(body)
    assert (made.body, made.notices, made.property_names) == (body, [], {})


ROOTS = [
    (b'{"type":"object","nullable":true,"properties":{"a":{"type":"any"}}}',
     {"type": "object", "nullable": True, "properties": {"a": {}}}),
    (b'{"type":"any","properties":{"a":{}}}', {"type": "object", "properties": {"a": {}}}),
    (b'{"properties":{"a b":true}}', {"type": "object", "properties": {K: {"description": '"a b"'}}}),
    (b'{"title":"t"}', {"type": "object", "title": "t"}),
    (b'{"type":["object","null"],"title":"t"}', {"type": "object", "title": "t"}),
    (b'{"anyOf":null}', {"type": "object", "properties": {}}),
    (b'{"type":"object","properties":{"a":{}},"anyOf":null}', {"type": "object", "properties": {"a": {}}}),
    (b'{"type":"object","properties":{"a":{}},"anyOf":[{"required":["a"]},{"required":["b"]}],"allOf":null}',
     {"type": "object", "properties": {"a": {}}, "required": []}),
    (b'{"type":"object","oneOf":[{"properties":{"a b":{"type":"any"}},"required":["a b"]}]}',
     {"type": "object", "properties": {K: {"description": '"a b"'}}, "required": [K]}),
    (b'{"type":"object","allOf":[{"$ref":"#/$defs/A"}],"$defs":{"A":{"properties":{"a":{"type":"string"}}}}}',
     {"type": "object", "$defs": {"A": {"properties": {"a": {"type": "string"}}}},
      "properties": {"a": {"type": "string"}}, "required": []}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "expected"), ROOTS)
def test_e66_a_root_that_claude_refuses_becomes_an_object_as_in_the_other_dialects(
    schema: bytes, expected: dict[str, Any]
) -> None:
    body = body_with(tool(schema))
    made = prepare(body)
    sent = json.loads(made.body)["tools"][0]["input_schema"]
    assert sent == expected
    original = made.body.replace(msgspec.json.encode(sent), schema).replace(K.encode(), b"a b")
    assert original == body
    assert {notice.field for notice in made.notices} == {"tools.0.input_schema"}


def test_a_root_that_cannot_be_joined_is_refused_by_its_place() -> None:
    with pytest.raises(InvalidRequest) as raised:
        prepare(body_with(tool(b'{"allOf":[{"$ref":"#/$defs/A"}],"$defs":{"A":{"$ref":"#/$defs/A"}}}')))
    assert raised.value.param == "tools.0.input_schema"
    assert raised.value.message.startswith("tools.0.input_schema: The root")


def test_numbers_of_a_repaired_schema_keep_their_spelling() -> None:
    schema = (
        b'{"type":"object","properties":{"a b":{"maximum":1e2,"minLength":2.0,"enum":[12345678901234567890123.5]}}}'
    )
    (sent,) = [made.body for made in (prepare(body_with(tool(schema))),)]
    assert b'"maximum":1e2,"minLength":2.0,"enum":[12345678901234567890123.5]' in sent


def test_two_keys_of_a_call_do_not_become_one() -> None:
    call = b'{"a b":1,"%s":2}' % K.encode()
    history = b'"messages":[{"role":"assistant","content":[{"type":"tool_use","name":"f","input":' + call + b"}]}]"
    sent = json.loads(prepare(body_with(tool(ODD), history)).body)["messages"][0]["content"][0]["input"]
    assert sent == {K: 1, to_legal_key(K): 2}


@pytest.mark.parametrize("rest", [b'"messages":5', b'"messages":[{"content":"x"}]'])
def test_a_tool_without_a_name_and_odd_histories_are_left_to_claude(rest: bytes) -> None:
    made = prepare(
        body_with(b'[{"name":5,"input_schema":' + ODD + b'},{"name":"f","input_schema":' + ODD + b"}]", rest)
    )
    assert made.property_names == {"f": {K: "a b"}}
    assert made.body.count(K.encode()) == 4


def test_a_count_of_tokens_is_repaired_as_well() -> None:
    body = body_with(tool(ODD))
    content = msgspec.json.decode(body)
    made = prepare_count(NativeRequest(body, content, list(blocks_of(content))), CARD, Options(), refused=frozenset())
    assert made.body.count(K.encode()) == 3


@given(SCHEMAS)
def test_any_schema_is_repaired_or_stays(schema: dict[str, Any]) -> None:
    body = body_with(b'[{"name":"f","input_schema":' + json.dumps(schema).encode() + b"}]", b'"messages":[]')
    try:
        made = prepare(body)
    except InvalidRequest as error:
        assert error.param == "tools.0.input_schema"
        assert not COMBINERS.isdisjoint(schema)
        return
    sent = json.loads(made.body)["tools"][0]["input_schema"]
    assert valid_by_jsonschema(sent)
    assert renamed_keys(sent) == {}
    assert COMBINERS.isdisjoint(sent)
    assert sent["type"] == "object"
    check_valid(sent, "what the emulator says")
    is_root = schema.get("type") == "object" and COMBINERS.isdisjoint(schema)
    if is_root and valid_by_jsonschema(schema) and not renamed_keys(schema):
        assert made.body == body


def test_schemas_that_take_too_much_work_are_refused_by_name() -> None:
    schemas = [
        {"type": "object", "properties": {str(i): {"pattern": f"{at}{i}" * 300} for i in range(9)}} for at in range(9)
    ]
    tools = json.dumps([{"name": f"f{at}", "input_schema": schema} for at, schema in enumerate(schemas)]).encode()
    with pytest.raises(InvalidRequest, match="too many regular expressions") as caught:
        prepare(body_with(tools))
    assert caught.value.param is not None
    assert caught.value.param.endswith(".input_schema")


def test_renaming_that_takes_too_much_work_is_refused_by_name() -> None:
    references = [{"$ref": f"#/x/{'a' * i}%61{'a' * (99 - i)}"} for i in range(100)]
    target = {"properties": {"a b": {"description": "d" * 50_000}}}
    schema = {"type": "object", "properties": {"a b": {}}, "not": {"allOf": references}, "x": {"a" * 100: target}}
    with pytest.raises(InvalidRequest, match="combine too much") as caught:
        prepare(body_with(tool(json.dumps(schema).encode())))
    assert caught.value.param == "tools.0.input_schema"
