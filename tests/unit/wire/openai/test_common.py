"""Errors for clients: they name the field, quote no values of the body, and always have four keys."""

from __future__ import annotations

import json

import pytest

from modelmux.errors import GatewayError, InvalidRequest, ModelNotFound
from modelmux.wire.openai import common
from modelmux.wire.openai.chat_request import decode_request
from modelmux.wire.openai.common import Model, ModelList, dotted, encode, envelope
from modelmux.wire.sliced_json import SLICE


def test_an_error_has_all_four_keys_and_no_details_for_the_operator() -> None:
    error = InvalidRequest("Bad.", param="n", hint="Mend it.", detail="SECRET")
    assert json.loads(encode(envelope(error))) == {
        "error": {"message": "Bad. Mend it.", "type": "invalid_request_error", "param": "n", "code": None}
    }
    assert json.loads(encode(envelope(ModelNotFound("None.")))) == {
        "error": {"message": "None.", "type": "invalid_request_error", "param": None, "code": "model_not_found"}
    }
    assert json.loads(encode(envelope(GatewayError("Oh.", code="x"))))["error"]["code"] == "x"


def test_a_model_list_has_the_shape_the_sdks_read() -> None:
    model = Model(
        id="m", created=5, context_window=9, context_length=9, max_model_len=9, max_output_tokens=4,
        max_completion_tokens=4,
    )  # fmt: skip
    assert json.loads(encode(ModelList(data=[model]))) == {
        "object": "list",
        "data": [
            {
                "id": "m", "object": "model", "created": 5, "owned_by": "anthropic", "context_window": 9,
                "context_length": 9, "max_model_len": 9, "max_output_tokens": 4, "max_completion_tokens": 4,
            }
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""),
        ("$", ""),
        ("$.model", "model"),
        ("$.messages[0].content[12].text", "messages.0.content.12.text"),
        ("$[3].a", "3.a"),
        ("$.metadata[...]", "metadata"),
        ("$.tools[0].function.parameters[...][0][...].x", "tools.0.function.parameters"),
    ],
)
def test_paths_have_openais_form(path: str, expected: str) -> None:
    assert dotted(path) == expected


VALID = b'"model":"m","messages":[{"role":"user","content":"x"}]'
DEEP = b"[" * 100_000 + b"]" * 100_000
HOSTILE: list[tuple[str, bytes, str | None, str]] = [
    ("nothing", b"", None, "The request body is empty. Send a JSON object."),
    ("white space", b" \r\n\t", None, "The request body is empty. Send a JSON object."),
    ("binary", b"\x00\x01", None, "The request body is not valid JSON: invalid character (byte 0)."),
    ("cut", b"{" + VALID, None, "The request body is not valid JSON: Input data was truncated."),
    ("two values", b"{" + VALID + b"}{}", None, "The request body is not valid JSON: trailing characters (byte 57)."),
    ("byte order mark", b"\xef\xbb\xbf{" + VALID + b"}", None, "not valid JSON: invalid character (byte 0)"),
    ("raw NUL in a string", b'{"model":"a\x00"}', None, "not valid JSON: invalid character (byte 11)"),
    ("NaN", b'{"temperature":NaN}', None, "not valid JSON"),
    ("Infinity", b'{"temperature":-Infinity}', None, "not valid JSON"),
    ("bad UTF-8", b'{"model":"\xff"}', None, "The request body is not valid UTF-8."),
    ("overlong UTF-8", b'{"model":"\xc0\x80"}', None, "not valid UTF-8"),
    ("a surrogate in UTF-8", b'{"model":"\xed\xa0\x80"}', None, "not valid UTF-8"),
    ("a lone surrogate", rb'{"model":"\ud800"}', None, "not valid JSON"),
    ("a lone surrogate as a key", rb'{"metadata":{"\udc00":1}}', None, "not valid JSON"),
    ("1e400", b"{" + VALID + b',"temperature":1e400}', "temperature", "number out of range"),
    ("-1e400 in a free field", b"{" + VALID + b',"metadata":{"a":[-1e400]}}', "metadata", "number out of range"),
    ("an integer without end", b"{" + VALID + b',"seed":' + b"9" * 5000 + b"}", "seed", "integer value out of range"),
    ("float for an integer", b"{" + VALID + b',"max_tokens":1.5}', "max_tokens", "expected an integer or null, got a"),
    ("deep", DEEP, None, "Invalid value for the request body: expected an object, got an array."),
    ("deep in an unknown field", b"{" + VALID + b',"x":' + DEEP + b"}", None, "nested too deeply"),
    ("deep in a free field", b"{" + VALID + b',"metadata":{"a":' + DEEP + b"}}", None, "nested too deeply"),
    ("deep and cut", b'{"metadata":{"a":' + b'{"a":' * 100_000, None, "nested too deeply"),
    ("a number", b"5", None, "Invalid value for the request body: expected an object, got a number."),
    ("no model", b'{"messages":[]}', "model", "Missing required parameter: 'model'."),
    ("no role", b'{"model":"m","messages":[{}]}', "messages.0.role", "Missing required parameter: 'messages.0.role'."),
    ("a role that is none", b'{"model":"m","messages":[{"role":"SECRET"}]}', "messages.0.role",
     "Invalid value for 'messages.0.role': unknown value."),
    ("a word that is none", b"{" + VALID + b',"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"SECRET",'
     b'"tools":[]}}}', "tool_choice.allowed_tools.mode", "Invalid value for 'tool_choice.allowed_tools.mode': unknown"),
    ("a role in the words of our own errors", b'{"model":"m","messages":[{"role":"missing required field `SECRET`"}]}',
     "messages.0.role", "unknown value"),
    ("a role with a path in it", b'{"model":"m","messages":[{"role":"SECRET - at `$.model`"}]}', "messages.0.role",
     "unknown value"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param", "says"), [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
def test_the_error_for_a_hostile_body_names_the_field_and_quotes_no_value(
    body: bytes, param: str | None, says: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_request(body)
    error = caught.value
    assert says in error.public_message
    assert error.param == param
    assert "SECRET" not in f"{error.public_message}{error.param}{error.detail}"
    assert error.status == 400


def test_a_missing_field_has_openais_code() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_request(b'{"model":"m"}')
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", "messages")


def test_the_last_of_two_equal_keys_wins_and_big_integers_are_exact() -> None:
    request = decode_request(b'{"model":"a","model":"b","messages":[],"seed":1' + b"0" * 400 + b"}")
    assert (request.model, request.seed) == ("b", 10**400)


def test_an_unknown_form_of_validation_message_is_still_an_error() -> None:
    error = common.invalid_field("Something new")
    assert error.public_message == "Invalid value for the request body: something new."


def test_a_long_value_is_decoded_as_any_other() -> None:
    long = json.dumps({"a": ["x" * (SLICE + 1), {"b": 1}]}).encode()
    assert common.decode_any(long) == json.loads(long)
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        common.decode_any(long[:-1])
