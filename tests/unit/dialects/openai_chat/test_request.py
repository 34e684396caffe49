"""Nothing vanishes: every field is in the table, is named where it is changed or rejected, and the bytes never vary."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from modelmux.catalog import builtin
from modelmux.claude.fold import to_events
from modelmux.claude.notices import reject_notices
from modelmux.claude.prefix import first_difference
from modelmux.dialects.openai_chat.field_support import FIELD_SUPPORT
from modelmux.dialects.openai_chat.fold import fold_chunks
from modelmux.dialects.openai_chat.response import translate_response
from modelmux.dialects.openai_chat.stream import ChatEncoder
from modelmux.dialects.openai_shared.user_id import user_id
from modelmux.errors import InvalidRequest
from modelmux.wire import anthropic
from modelmux.wire.anthropic import encode_request
from modelmux.wire.openai.chat_request import ChatRequest, decode_request
from support.translation import OPUS, PREFILL, SONNET, body_of, chunks_of, notices, sent, translate, translate_request

#: Binds thoughts to their prefix, and thinks only if asked to.
HAIKU = replace(builtin().card("claude-haiku-5-5"), thinking_default="off")
UNKNOWN = builtin().card("claude-of-tomorrow")


def test_every_field_has_exactly_one_fate() -> None:
    assert set(FIELD_SUPPORT) == set(ChatRequest.__struct_fields__)
    reported = [support for support in FIELD_SUPPORT.values() if support.kind in ("ignored", "rejected")]
    assert all(support.explanation.endswith((".", ";")) for support in reported)


#: For each field with a support of its own, a value that asks for something.
ASKS: dict[str, Any] = {
    "n": 2, "logprobs": True, "top_logprobs": 3, "logit_bias": {"1": 5}, "audio": {"voice": "x"},
    "modalities": ["text", "audio"], "moderation": {"mode": "block"}, "verbosity": "low", "seed": 0,
    "frequency_penalty": 0.5, "presence_penalty": -1, "metadata": {"a": "b"}, "store": True, "service_tier": "flex",
    "prompt_cache_key": "k", "prompt_cache_retention": "24h", "prediction": {},
}  # fmt: skip
#: And values that ask for nothing.
HARMLESS: list[tuple[str, Any]] = [
    ("n", 1), ("logprobs", False), ("top_logprobs", 0), ("logit_bias", {}), ("modalities", ["text"]),
    ("modalities", []), ("verbosity", "medium"), ("frequency_penalty", 0), ("presence_penalty", 0.0), ("metadata", {}),
    ("store", False), ("service_tier", "auto"), ("service_tier", "default"), ("reasoning_effort", "default"),
    ("stream_options", {"include_obfuscation": False}), ("tools", []), ("functions", []), ("function_call", "auto"),
    ("tool_choice", "none"), ("parallel_tool_calls", True), ("response_format", {"type": "text"}),
    ("user", ""), ("stop", []),
]  # fmt: skip


def test_the_tables_here_hold_every_such_field() -> None:
    assert set(ASKS) == {name for name, support in FIELD_SUPPORT.items() if support.kind in ("ignored", "rejected")}


@pytest.mark.parametrize("name", ASKS)
def test_an_ignored_field_is_noted_and_a_rejected_one_refused(name: str) -> None:
    if FIELD_SUPPORT[name].kind == "ignored":
        assert notices({name: ASKS[name]}) == [("ignored", name)]
        assert sent({name: ASKS[name]}) == sent({})
        return
    with pytest.raises(InvalidRequest, match=f"Unsupported parameter: '{name}'") as caught:
        sent({name: ASKS[name]})
    assert (caught.value.param, caught.value.code) == (name, "unsupported_parameter")
    assert caught.value.hint == FIELD_SUPPORT[name].explanation


@pytest.mark.parametrize(("name", "value"), HARMLESS)
def test_what_asks_for_nothing_is_neither_noted_nor_refused(name: str, value: Any) -> None:
    for given in (value, None):
        assert notices({name: given}) == []
        assert sent({name: given}) == sent({})


@pytest.mark.parametrize("name", ["n", "top_logprobs"])
def test_no_neutral_value_stands_for_another(name: str) -> None:
    """Zero choices are not one, and log probabilities are not off at one."""
    with pytest.raises(InvalidRequest):
        sent({name: 1 - FIELD_SUPPORT[name].neutral_values[0]})  # type: ignore[operator]


def test_fields_nobody_knows_are_noted_and_cut() -> None:
    request = decode_request(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    translated = translate_request(request, SONNET, unknown=["top_a", "x" * 200])
    assert [(n.action, n.field) for n in translated.notices] == [("ignored", "top_a"), ("ignored", "x" * 80)]


def test_the_smallest_request_to_the_byte() -> None:
    assert encode_request(translate({}).body) == (
        b'{"anthropic_version":"vertex-2023-10-16","max_tokens":128000,'
        b'"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}'
    )


def test_a_large_request_is_the_same_bytes_every_time() -> None:
    fields = {
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "é"}], "stop": ["b", "a"],
        "tools": [{"type": "function", "function": {"name": n, "parameters": {"properties": {"z": {}, "a": {}}}}}
                  for n in "zya"],
        "temperature": 0.1, "user": "ann", "tool_choice": "required", "stream": True,
    }  # fmt: skip
    first = encode_request(translate(fields).body)
    assert all(encode_request(translate(fields).body) == first for _ in range(3))
    assert [t["name"] for t in json.loads(first)["tools"]] == ["z", "y", "a"]
    assert list(json.loads(first)["tools"][0]["input_schema"]["properties"]) == ["z", "a"]


def test_no_messages_are_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent({"messages": []})
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ({}, None), ({"user": ""}, None), ({"user": "ann"}, "ann"), ({"safety_identifier": "", "user": "ann"}, "ann"),
        ({"safety_identifier": "bob", "user": "ann"}, "bob"),
    ],
)  # fmt: skip
def test_a_user_is_known_by_a_hash_only(fields: dict[str, Any], who: str | None) -> None:
    metadata = sent(fields).get("metadata")
    assert metadata == ({"user_id": user_id(who)} if who else None)
    assert "ann" not in json.dumps(metadata)
    assert user_id("ann") == "49915e0d7d4b402e3017d010bc1c0e83cac6c797d6c16e66340fe3268693a6a1"


USAGE: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"stream": True}, False),
    ({"stream_options": {"include_usage": True}}, False),
    ({"stream": True, "stream_options": {"include_usage": True}}, True),
    ({"stream": True, "stream_options": {"include_usage": False}}, False),
    ({"stream": True, "stream_options": {}}, False),
]


def test_padding_that_is_asked_for_and_not_done_is_said() -> None:
    fields = {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": True}}
    assert notices(fields) == [("ignored", "stream_options.include_obfuscation")]


@pytest.mark.parametrize(("asked", "told"), [(None, UNSET), ("auto", "default"), ("flex", "default")])
def test_the_service_tier_is_told_to_who_names_one(asked: str | None, told: object) -> None:
    shape = translate({"service_tier": asked}).plan
    assert shape.service_tier == told
    reply = translate_response(anthropic.Message(content=[]), shape, id="i", created=1)
    assert reply.service_tier == told
    encoder = ChatEncoder(shape, id="i", created=1)
    stream = b"".join(map(encoder.feed, to_events(anthropic.Message(content=[]))))
    assert fold_chunks(chunks_of(stream), reply.usage) == reply


@pytest.mark.parametrize(("fields", "expected"), USAGE)
def test_usage_in_a_stream_comes_only_if_asked_for(fields: dict[str, Any], expected: bool) -> None:
    shape = translate(fields).plan
    assert (shape.include_usage, shape.model) == (expected, "m")


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, True), ({"reasoning_effort": "high"}, True), ({"reasoning": {"effort": "high", "exclude": True}}, False),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, False), ({"reasoning": {"exclude": True}}, False),
        ({"reasoning": {"exclude": False}}, True), ({"reasoning_effort": "low", "reasoning": {"exclude": True}}, False),
        ({"reasoning": {"exclude": True}, "thinking": {"type": "adaptive"}}, True),
    ],
)  # fmt: skip
def test_reasoning_is_shown_unless_the_client_wants_none(fields: dict[str, Any], shown: bool) -> None:
    assert translate(fields).plan.show_reasoning is shown


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "sig"}
THINKER = [
    {"role": "user", "content": "q"},
    {"role": "assistant", "content": "a", "thinking_blocks": [THOUGHT]},
    {"role": "user", "content": "q"},
]
BOUND: list[tuple[str, Any, dict[str, Any], dict[str, Any] | None, tuple[str, ...]]] = [
    ("thoughts on a model that binds them", OPUS, {},
     {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}},
     ("thinking-binding-controls-2026-08-01",)),
    ("with reasoning asked for", OPUS, {"reasoning_effort": "low"},
     {"type": "adaptive", "display": "summarized", "block_binding": {"prefix_mismatch_behavior": "drop_block"}},
     ("thinking-binding-controls-2026-08-01",)),
    ("without thoughts", OPUS, {"messages": THINKER[:1]}, None, ()),
    ("on a model that does not", SONNET, {}, None, ()),
    ("on one nobody knows", UNKNOWN, {}, None, ()),
    ("on a model that thinks only if asked", HAIKU, {}, None, ()),
    ("asked not to", HAIKU, {"reasoning_effort": "none"}, None, ()),
    ("on one that thinks unless asked not to", builtin().card("claude-haiku-5-5"), {},
     {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}},
     ("thinking-binding-controls-2026-08-01",)),
    ("that one, asked not to", builtin().card("claude-haiku-5-5"), {"reasoning_effort": "none"},
     {"type": "disabled"}, ()),
    ("asked to", HAIKU, {"reasoning": {"enabled": True}},
     {"type": "adaptive", "display": "summarized", "block_binding": {"prefix_mismatch_behavior": "drop_block"}},
     ("thinking-binding-controls-2026-08-01",)),
    ("between tools", builtin().card("claude-sonnet-5-5"), {"reasoning_effort": "none"}, {"type": "between_tools"}, ()),
]  # fmt: skip


@pytest.mark.parametrize(("card", "fields", "thinking", "betas"), [b[1:] for b in BOUND], ids=[b[0] for b in BOUND])
def test_a_thought_whose_prefix_changed_is_dropped_and_not_an_error(
    card: Any, fields: dict[str, Any], thinking: dict[str, Any] | None, betas: tuple[str, ...]
) -> None:
    translated = translate({"messages": THINKER, **fields}, card)
    body = body_of(translated)
    assert body.get("thinking") == thinking
    assert translated.betas == betas


def test_strict_mode_refuses_what_would_be_a_notice() -> None:
    reject_notices([])
    some = translate({"seed": 1, "temperature": 1.5}).notices
    with pytest.raises(InvalidRequest) as caught:
        reject_notices(some)
    assert (caught.value.param, caught.value.code) == ("seed", "strict_mode")
    assert "'seed' would be ignored: Claude does not support `seed`." in caught.value.message
    assert "'temperature' would be clamped" in caught.value.message
    many = translate({"messages": [{"role": "user", "content": "a", "name": "n"}] * 50}).notices
    with pytest.raises(InvalidRequest) as caught:
        reject_notices(many)
    assert caught.value.message.count("would be") == 10


CONVERSATION = [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}]
LONGER = [*CONVERSATION, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
TOOL = {"type": "function", "function": {"name": "f"}}
TOOL_SENT = '{"name":"f","input_schema":{"type":"object","properties":{}}}'
DIFFERENCES: list[tuple[str, dict[str, Any], dict[str, Any], str | None]] = [
    ("the same", {"messages": CONVERSATION}, {"messages": CONVERSATION}, None),
    ("longer", {"messages": CONVERSATION}, {"messages": LONGER}, None),
    ("only breakpoints differ", {"messages": CONVERSATION, "cache_control": {}}, {"messages": LONGER}, None),
    ("shorter", {"messages": LONGER}, {"messages": CONVERSATION}, "block 2 (assistant) is missing"),
    ("changed", {"messages": CONVERSATION}, {"messages": [CONVERSATION[0], {"role": "user", "content": "z" * 200}]},
     'block 1 differs: was user {"type":"text","text":"a"}, is user {"type":"text","text":"' + "z" * 97 + "…"),
    ("a tool more", {"messages": CONVERSATION}, {"messages": LONGER, "tools": [TOOL]},
     'block 0 differs: was system prompt {"type":"text","text":"s"}, is tool ' + TOOL_SENT),
    ("system text more", {"messages": CONVERSATION}, {"messages": [CONVERSATION[0], *LONGER]},
     'block 1 differs: was user {"type":"text","text":"a"}, is system prompt {"type":"text","text":"s"}'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("earlier", "later", "expected"), [d[1:] for d in DIFFERENCES], ids=[d[0] for d in DIFFERENCES]
)
def test_where_one_request_stops_extending_another(
    earlier: dict[str, Any], later: dict[str, Any], expected: str | None
) -> None:
    assert first_difference(translate(earlier).body, translate(later).body) == expected


BEGUN = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "It is"}]


def test_a_begun_answer_is_continued_without_thinking() -> None:
    """Vertex AI refuses a last assistant message that does not begin with a thinking block, if the model thinks."""
    asked = {"reasoning_effort": "high", "max_tokens": 30_000}
    assert "thinking" not in sent({**asked, "messages": BEGUN, "temperature": 0.5}, PREFILL)
    assert notices({**asked, "messages": BEGUN, "temperature": 0.5}, PREFILL) == [("dropped", "reasoning")]
    assert sent({**asked, "messages": BEGUN[:1]}, PREFILL)["thinking"]["type"] == "enabled"
    assert notices({"reasoning_effort": "none", "messages": BEGUN}, PREFILL) == []
    signed = {**BEGUN[1], "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]}
    assert sent({**asked, "messages": [BEGUN[0], signed]}, PREFILL)["thinking"]["type"] == "enabled"
    assert notices({**asked, "messages": [BEGUN[0], signed]}, PREFILL) == []


NO_FORMAT = builtin().card("claude-opus-4-1")


def test_the_tool_of_the_answer_gives_way_to_a_tool_of_its_name() -> None:
    name = "n" * 128
    form = {"type": "json_schema", "json_schema": {"name": name, "schema": {"type": "object", "properties": {}}}}
    tools = [{"type": "function", "function": {"name": name}}]
    body = sent({"tools": tools, "response_format": form, "parallel_tool_calls": False}, NO_FORMAT)
    assert [tool["name"] for tool in body["tools"]] == [name, "n" * 120 + "_answer"]
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
