"""Risk: an item that is decoded as something else, or an error that quotes what a client sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from modelmux.errors import InvalidRequest
from modelmux.wire.openai.responses_items import (
    FunctionCallItem,
    Head,
    OutputItem,
    RefusalPart,
    TextPart,
    decode_any,
    decode_head,
    decode_item,
    decode_output,
    decode_parts,
    decode_type,
)
from modelmux.wire.openai.responses_request import (
    decode_request,
    decode_tool,
    decode_web_search,
    unknown_fields,
)
from modelmux.wire.sliced_json import SLICE


def refused(function: Any, *args: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        function(*args)
    assert "secret" not in str(caught.value.message)
    return caught.value


def test_heads() -> None:
    assert decode_head(b'{"type": "message", "role": "user", "x": 1}', "input.0") == Head("message", "user")
    assert refused(decode_head, b'{"type": 7}', "input.3").param == "input.3.type"
    assert refused(decode_head, b'"secret"', "input.3").param == "input.3"


def test_the_path_of_an_error_is_that_in_the_request() -> None:
    assert refused(decode_item, FunctionCallItem, b'{"name": 1}', "input.2").param == "input.2.name"
    error = refused(decode_item, FunctionCallItem, b"{}", "input.2")
    assert (error.param, error.message) == ("input.2.name", "Missing required parameter: 'input.2.name'.")
    assert refused(decode_any, b"[" * 5000, "input.2").message


def test_an_item_is_decoded_by_its_shape() -> None:
    item = decode_item(FunctionCallItem, b'{"name": "f", "call_id": "c", "status": 1}', "input.0")
    assert item == FunctionCallItem("f", "c")
    assert bytes(decode_item(OutputItem, b'{"output": {"a": 1}}', "input.0").output) == b'{"a": 1}'
    assert bytes(decode_item(OutputItem, b"{}", "input.0").output) == b"null"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"null", None),
        (b' "a" ', "a"),
        (
            b'[{"type": "input_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]',
            [TextPart("a"), RefusalPart("b")],
        ),
        (b'[{"type": "input_text", "text": "a"}, 1]', '[{"type": "input_text", "text": "a"}, 1]'),
        (b'{"a": 1}', '{"a": 1}'),
        (b"1.5", "1.5"),
    ],
)
def test_outputs(raw: bytes, expected: Any) -> None:
    assert decode_output(raw, "input.0.output") == expected


def test_parts() -> None:
    assert decode_parts("a", "p") == "a"
    assert decode_parts(None, "p") is None
    assert refused(decode_output, b'[{"type": "input_text", "text": 7}]', "input.0.output").param == (
        "input.0.output.0.text"
    )
    assert refused(decode_type, b"{}", "tools.0").param == "tools.0.type"
    assert refused(decode_parts, [Raw(b'{"type": "secret"}')], "p").param == "p.0.type"
    assert refused(decode_parts, [Raw(b"{}")], "p").param == "p.0.type"


def test_tools_in_both_forms() -> None:
    flat = decode_tool(b'{"type": "function", "name": "f", "function": null}', "tools.0")
    nested = decode_tool(b'{"type": "function", "function": {"name": "f", "strict": true}}', "tools.0")
    assert (flat.name, flat.strict, nested.name, nested.strict) == ("f", None, "f", True)
    assert refused(decode_tool, b'{"type": "function", "function": {"name": 7}}', "tools.1").param == (
        "tools.1.function.name"
    )
    assert decode_web_search(b'{"type": "web_search", "filters": {}}', "tools.0")["filters"] == {}


def test_requests() -> None:
    request, fields = decode_request(b'{"model": "m", "input": [{"a": 1}], "new": 1, "store": false}')
    assert [bytes(raw) for raw in request.input or ()] == [b'{"a": 1}']  # type: ignore[arg-type]
    assert unknown_fields(fields) == ["new"]
    assert refused(decode_request, b'{"model": "m", "input": 7}').param == "input"
    assert refused(decode_request, b'{"model": "m", "tool_choice": {"tools": [{"name": 1}]}}').param == (
        "tool_choice.tools.0.name"
    )


def test_a_long_output_is_decoded_as_any_other() -> None:
    text = '\n"é' * SLICE
    assert decode_output(json.dumps(text).encode(), "input.0.output") == text
    assert refused(decode_output, json.dumps(text).encode()[:-1], "input.0.output").status == 400
