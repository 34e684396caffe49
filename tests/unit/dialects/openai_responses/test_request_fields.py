"""Risk: a field of a request that vanishes, is refused without need, or is repeated wrongly in the response."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from modelmux.claude.notices import Notice
from modelmux.claude.request import NO_LIMIT, AnswerFormat, CacheOptions, ReasoningRequest
from modelmux.dialects.base import DialectOptions
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.request import decode
from modelmux.dialects.openai_shared.user_id import user_id
from modelmux.dialects.request_body import HALF_A_CHARACTER
from modelmux.errors import InvalidRequest
from support.responses_requests import OPTIONS, SEALER, decoded, function, inbound, notices, plan_of, request_of

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FORMAT = {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}


def refused(fields: dict[str, Any], options: DialectOptions = OPTIONS, **rest: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decoded(fields, options, **rest)
    return caught.value


def test_a_text_is_a_message_of_the_user() -> None:
    request = request_of({"input": "hello"})
    assert msgspec.to_builtins(request.body.messages) == [
        {"role": "user", "content": [{"type": "text", "text": "hello"}]}
    ]
    assert request.body.max_tokens == NO_LIMIT
    assert request.fields.max_tokens == ()
    assert request.notices == ()


def test_instructions_come_first() -> None:
    items = [{"role": "developer", "content": "two"}, {"role": "user", "content": "hi"}]
    body = request_of({"instructions": "one", "input": items}).body
    assert [block.text for block in body.system or ()] == ["one", "two"]


def test_limits_sampling_and_user() -> None:
    request = request_of({"max_output_tokens": 20, "temperature": 0.5, "top_p": 0.9, "user": "ann"})
    body = request.body
    assert (body.max_tokens, body.temperature, body.top_p) == (20, 0.5, 0.9)
    assert body.metadata is not None
    assert body.metadata.user_id == user_id("ann")
    assert request.fields.max_tokens == ("max_output_tokens",)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"input": None, "messages": []}, "messages"),
        ({"input": [{"content": "x"}]}, "input.0.type"),
        ({"input": [7]}, "input.0"),
        ({"input": [{"type": "item_reference"}]}, "input.0.id"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input.0.content.0.text"),
        ({"input": [{"role": "user", "content": [{"type": "video"}]}]}, "input.0.content.0.type"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"background_options": {}}, "background_options"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"generate": False}, "generate"),
        ({"moderation": {"model": "m", "policy": {"input": {"mode": "block"}}}}, "moderation"),
        ({"moderation": {"model": "m", "policy": {"output": "block"}}}, "moderation"),
        ({"moderation": {"policy": "block"}}, "moderation"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"truncation": "middle"}, "truncation"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"a": "x" * 513}}, "metadata"),
        ({"metadata": {"k" * 65: "x"}}, "metadata"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"prompt_cache_options": {"mode": "x"}}, "prompt_cache_options.mode"),
    ],
)
def test_what_is_refused_names_its_field(fields: dict[str, Any], param: str) -> None:
    error = refused(fields)
    assert error.param == param
    assert "secret" not in error.message


def test_messages_belong_to_another_endpoint() -> None:
    assert "/v1/chat/completions" in str(refused({"input": None, "messages": []}).hint)
    assert ("ignored", "messages") in notices({"messages": []})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tool_calls": 3}, ["max_tool_calls"]),
        ({"truncation": "auto"}, ["truncation"]),
        ({"truncation": "disabled", "top_logprobs": 0, "service_tier": "auto", "background": False}, []),
        ({"context_management": [{"type": "compaction"}]}, ["context_management"]),
        ({"top_logprobs": 2}, ["top_logprobs"]),
        ({"moderation": {"model": "m", "policy": {"input": {"mode": "score"}}}}, ["moderation"]),
        ({"moderation": {"model": "m"}}, ["moderation"]),
        ({"client_metadata": {"a": "b"}, "stream_id": "s", "generate": True, "x-extra": 1}, []),
        ({"stream_options": {"include_obfuscation": True}}, ["stream_options.include_obfuscation"]),
        ({"text": {"verbosity": "low"}}, ["text.verbosity"]),
        ({"include": ["reasoning.encrypted_content"]}, []),
        ({"include": ["message.output_text.logprobs", "new"]}, ["include.message.output_text.logprobs", "include.new"]),
        ({"user": "a", "safety_identifier": "b"}, ["user"]),
        ({"user": "a", "safety_identifier": "a"}, []),
        ({"provider": {}}, ["provider"]),
        ({"reasoning": {"mode": "pro"}}, ["reasoning.mode"]),
        ({"store": True}, []),
    ],
)
def test_what_has_no_effect_is_reported(fields: dict[str, Any], expected: list[str]) -> None:
    assert notices(fields) == [("ignored", field) for field in expected]


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (None, ReasoningRequest(shown=None, optional=True)),
        ({}, ReasoningRequest(shown=None, optional=True)),
        ({"summary": "auto"}, ReasoningRequest(shown=True, optional=True)),
        ({"generate_summary": "concise"}, ReasoningRequest(shown=True, optional=True)),
        ({"effort": "default", "summary": None}, ReasoningRequest(shown=None, optional=True)),
        ({"effort": "high"}, ReasoningRequest("high", shown=None)),
        ({"effort": "none", "summary": "detailed"}, ReasoningRequest("none", shown=True)),
    ],
)
def test_reasoning(reasoning: Any, expected: ReasoningRequest) -> None:
    assert request_of({"reasoning": reasoning}).reasoning == expected


def test_the_last_configuration_update_sets_the_effort() -> None:
    items = [
        {"type": "configuration_update", "reasoning": {"effort": "low"}},
        {"type": "configuration_update", "text": {}},
        {"role": "user", "content": "hi"},
    ]
    request = request_of({"input": items, "reasoning": {"effort": "high"}})
    assert request.reasoning == ReasoningRequest("low", shown=None)


@pytest.mark.parametrize(
    ("form", "expected", "strips"),
    [
        ({"type": "text"}, None, False),
        ({"type": "json_object"}, AnswerFormat(), True),
        (FORMAT, AnswerFormat(SCHEMA, "answer"), False),
    ],
)
def test_the_format_of_the_answer(form: Any, expected: AnswerFormat | None, strips: bool) -> None:
    assert request_of({"text": {"format": form}}).answer_format == expected
    assert plan_of({"text": {"format": form}}).strip_code_block is strips
    assert plan_of({"text": {"format": form}}).echo.text == {"format": form, "verbosity": "medium"}


def test_the_response_repeats_the_request() -> None:
    fields = {
        "instructions": "i", "max_output_tokens": 9, "max_tool_calls": 2, "metadata": {"a": "b"},
        "parallel_tool_calls": False, "prompt_cache_key": "k", "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": "s", "text": {"verbosity": "low"}, "tool_choice": "any",
        "tools": [function(strict=None), {"type": "unknown"}], "truncation": "auto", "user": "u",
    }  # fmt: skip
    echo = plan_of(fields).echo
    assert msgspec.to_builtins(echo) == {
        **fields, "previous_response_id": None, "tool_choice": "required", "tools": [function(strict=None)],
        "text": {"format": {"type": "text"}, "verbosity": "low"},
    }  # fmt: skip


def test_the_response_has_defaults() -> None:
    echo = msgspec.to_builtins(
        plan_of({"text": {"verbosity": "odd"}, "reasoning": {"summary": "odd", "effort": None}}).echo
    )
    assert echo["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert echo["reasoning"] == {"effort": None, "summary": None}
    assert (echo["tools"], echo["tool_choice"]) == ([], "auto")


def test_the_rest_of_the_plan() -> None:
    options = DialectOptions(SEALER, sends_done=True, stores_responses=True)
    result = decoded({"stream": True, "prompt_cache_key": "thread", "model": "x"}, options, originator="codex_cli_rs")
    plan = plan_of({}, options, originator="codex_cli_rs")
    assert (result.model, result.stream, result.conversation_id) == ("x", True, "thread")
    assert (plan.owner, plan.sealer, plan.sends_done, plan.refusal_as_text) == ("ann", SEALER, True, True)
    assert not plan_of({}, originator="other").refusal_as_text
    assert not plan_of({}, DialectOptions(codex_refusals_as_text=False), originator="codex_cli_rs").refusal_as_text


def test_caching_options() -> None:
    cache = request_of({"prompt_cache_options": {"mode": "explicit", "ttl": "12h"}}).cache
    assert cache == CacheOptions(explicit=True, ttl="1h")


def test_a_breakpoint_of_a_part_is_kept() -> None:
    part = {"type": "input_text", "text": "hi", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
    (turn,) = request_of({"input": [{"role": "user", "content": [part]}]}).body.messages
    assert turn.content[0].cache_control.ttl == "1h"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": 7, "input": "x"}', b'{"input": "x"}'])
def test_bodies_that_are_no_request(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode(inbound(), body)


@pytest.mark.parametrize(
    "place", ['"input":"a","other":"{}"', '"input":[{{"role":"user","content":"a","other":"{}"}}]']
)
def test_text_that_is_kept_and_not_read_is_utf_8(place: str) -> None:
    body = ('{"model":"m",' + place.format("é") + "}").encode()
    assert decode(inbound(), body).request is not None
    with pytest.raises(InvalidRequest, match="UTF-8"):
        decode(inbound(), body.replace("é".encode(), b"\xff"))


@pytest.mark.parametrize("half", [b"\\ud800", b"\xed\xa0\x80"])
def test_a_lone_surrogate_is_replaced_with_a_notice(half: bytes) -> None:
    body = json.dumps({"model": "m", "input": [{"role": "user", "content": "x"}]}).encode()
    request = decode(inbound(), body.replace(b'"x"', b'"' + half + b'"')).request
    assert request is not None
    assert request.body.messages[0].content[0].text == "\ufffd"
    assert request.notices == (Notice("changed", "input.0.content", HALF_A_CHARACTER),)


def test_lone_surrogates_are_replaced_in_what_is_stored() -> None:
    item = r'{"type":"custom_tool_call_output","call_id":"c","output":"a\ud83d"}'
    call = r'{"type":"custom_tool_call","call_id":"c","name":"f","input":"\udc00"}'
    body = f'{{"model":"m","store":true,"input":[{call},{item}]}}'.encode()
    decoded = decode(inbound(options=DialectOptions(stores_responses=True)), body)
    assert isinstance(decoded.plan, ResponsesPlan)
    stored = b"".join(item.data for item in decoded.plan.input_items)
    assert (stored.count(rb"\ufffd"), rb"\ud" in stored) == (2, False)
