"""Answers by a tool call: what was deformed comes back, what fits is left alone, however a stream is divided."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from modelmux.claude.answer_repair import AnswerText, repaired_answer
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.schema.conformance import SchemaChecker
from modelmux.claude.schema.work import Work
from modelmux.dialects.openai_chat.fold import fold_chunks
from modelmux.dialects.openai_chat.response import translate_response
from modelmux.dialects.openai_chat.stream import ChatEncoder
from modelmux.dialects.openai_chat.usage import translate_usage
from modelmux.wire import anthropic
from support.responses import folded, judged, plan, sse_bytes, streamed, unary
from support.strategies import JSON, OBJECTS, TEXT
from support.translation import CREATED, ID, chunks_of

Json = dict[str, Any]
#: A schema, and values that fit it.
Pair = tuple[Any, st.SearchStrategy[Any]]
KEYS = st.sampled_from(["a", "b", "facts", "é", "x y"])


def _objects(members: dict[str, Pair]) -> Pair:
    """All keys required and no others: then an envelope never fits."""
    schema = {
        "type": "object",
        "properties": {key: part for key, (part, _) in members.items()},
        "required": list(members),
        "additionalProperties": False,
    }
    return schema, st.fixed_dictionaries({key: values for key, (_, values) in members.items()})


def _or_null(pair: Pair) -> Pair:
    return {"anyOf": [pair[0], {"type": "null"}]}, st.one_of(pair[1], st.none())


def _referring(pair: Pair) -> Pair:
    return {"allOf": [pair[0], {"description": "again"}]}, pair[1]


LEAVES: st.SearchStrategy[Pair] = st.sampled_from(
    [
        ({"type": "string"}, TEXT),
        ({"type": "string", "maxLength": 60}, st.sampled_from(["[1]", '{"a":1}', '"[1]"', ""])),
        ({"type": "integer", "minimum": 0}, st.integers(0, 10**18)),
        ({"type": "number"}, st.floats(allow_nan=False, allow_infinity=False)),
        ({"enum": ["[1]", 1, None]}, st.sampled_from(["[1]", 1, None])),
        ({"type": ["boolean", "null"]}, st.sampled_from([True, False, None])),
        ({}, JSON),
        ({"type": ["string", "array"]}, TEXT),
    ]
)
MEMBERS: st.SearchStrategy[Pair] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda pair: ({"type": "array", "items": pair[0]}, st.lists(pair[1], max_size=3))),
        st.dictionaries(KEYS, inner, max_size=3).map(_objects),
        inner.map(_or_null),
        inner.map(_referring),
    ),
    max_leaves=6,
)
PAIRS = st.dictionaries(KEYS, MEMBERS, min_size=1, max_size=3).map(_objects)
ENVELOPES = st.sampled_from(["parameter", "input", "$PARAMETER_NAME", "the_schema", "", "é\n"])
WRITERS = st.sampled_from(
    [
        json.dumps,
        lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
        lambda v: json.dumps(v, indent=1),
    ]
)


def _wants_container(schema: Json) -> bool:
    if "allOf" in schema:
        return _wants_container(schema["allOf"][0])
    if "anyOf" in schema:
        return _wants_container(schema["anyOf"][0])
    return schema.get("type") in ("array", "object")


def _deformed(data: st.DataObject, value: Any, schema: Json, write: Any, layers: int = 2) -> Any:
    """The value with some of its objects and arrays written as strings, where the schema wants those."""
    while "allOf" in schema or "anyOf" in schema:
        schema = schema["allOf" if "allOf" in schema else "anyOf"][0]
    if not isinstance(value, dict | list) or not _wants_container(schema):
        return value
    as_string = layers > 0 and data.draw(st.booleans())
    layers -= as_string
    if isinstance(value, dict):
        inner: Any = {k: _deformed(data, part, schema["properties"][k], write, layers) for k, part in value.items()}
    else:
        inner = [_deformed(data, part, schema["items"], write, layers) for part in value]
    return write(inner) if as_string else inner


def _pieces(data: st.DataObject, text: str) -> list[str]:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(st.data(), PAIRS, WRITERS)
def test_what_was_deformed_comes_back(data: st.DataObject, pair: Pair, write: Any) -> None:
    schema, values = pair
    value = data.draw(values)
    answer = {k: _deformed(data, part, schema["properties"][k], write) for k, part in value.items()}
    for _ in range(data.draw(st.integers(0, 2))):
        answer = {data.draw(ENVELOPES): data.draw(st.sampled_from([answer, write(answer)]))}
    text = write(answer)
    want = text if answer == value else repaired_answer(text, schema)
    assert json.loads(want) == value
    assert repaired_answer(text, schema) == want


@given(st.data(), PAIRS, WRITERS)
def test_what_fits_is_left_alone(data: st.DataObject, pair: Pair, write: Any) -> None:
    text = write(data.draw(pair[1]))
    assert SchemaChecker(pair[0], Work()).check(json.loads(text)) is True
    assert repaired_answer(text, pair[0]) == text


#: Answers of all kinds, and what is none.
ANSWERS = st.one_of(
    OBJECTS.map(json.dumps), JSON.map(json.dumps), JSON.map(json.dumps).map(json.dumps),
    st.text(alphabet=list('{}[]",:\\ anu1\n/é'), max_size=30),
    st.sampled_from(['{"a":"[1]"}', '{"p":{"a":[]}}', '{"p":"{\\"a\\":[]}"}', '{"p":{"a":"[]"}', '{"a":"[],"b":5']),
)  # fmt: skip


@given(st.data(), PAIRS, ANSWERS, st.booleans())
def test_any_split_gives_the_same(data: st.DataObject, pair: Pair, text: str, deformed: bool) -> None:
    schema = pair[0]
    if deformed:
        value = data.draw(pair[1])
        text = json.dumps({"p": {k: _deformed(data, v, schema["properties"][k], json.dumps) for k, v in value.items()}})
        text = text[: data.draw(st.sampled_from([len(text), len(text) // 2]))]
    answer = AnswerText(schema)
    parts = [answer.feed(piece) for piece in _pieces(data, text)]
    rest = answer.finish()
    whole = repaired_answer(text, schema)
    assert "".join(parts) + rest == whole
    sent = "".join(parts)
    assert text.startswith(sent) or whole == sent + rest


@given(PAIRS, ANSWERS)
def test_what_is_changed_did_not_fit_and_may_fit_now(pair: Pair, text: str) -> None:
    repaired = repaired_answer(text, pair[0])
    if repaired != text:
        assert SchemaChecker(pair[0], Work()).check(json.loads(text)) is False
        assert SchemaChecker(pair[0], Work()).check(json.loads(repaired)) is not False


@given(st.data(), st.one_of(OBJECTS, st.booleans(), st.none()), ANSWERS)
def test_any_schema_is_taken(data: st.DataObject, part: Any, text: str) -> None:
    words = st.sampled_from(
        ["properties", "items", "anyOf", "type", "$ref", "required", "enum", "not", "additionalProperties"]
    )
    schema = data.draw(st.dictionaries(words, st.one_of(st.just(part), JSON), max_size=4))
    answer = AnswerText(schema)
    assert "".join(map(answer.feed, _pieces(data, text))) + answer.finish() == repaired_answer(text, schema)


@given(st.data(), PAIRS, ANSWERS, st.booleans())
def test_streams_fold_to_the_whole_reply(data: st.DataObject, pair: Pair, text: str, wrapped: bool) -> None:
    """The fold law of both dialects, with a schema."""
    schema, values = pair
    if wrapped:
        text = json.dumps({"parameter": data.draw(values)})
    events: list[Json] = [
        {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "So "}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1,
         "content_block": {"type": "tool_use", "id": "t", "name": "answer", "input": {}}},
        *({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": piece}}
          for piece in _pieces(data, text)),
        *([{"type": "content_block_stop", "index": 1}] if data.draw(st.booleans()) else []),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]  # fmt: skip
    message = folded(events)
    want = repaired_answer(text or "{}", schema)
    chat_plan = ReplyPlan("m", include_usage=True, answer_tool="answer", answer_schema=schema)
    encoder = ChatEncoder(chat_plan, id=ID, created=CREATED)
    chunks = chunks_of(b"".join(encoder.feed(anthropic.decode_event(json.dumps(event).encode())) for event in events))
    completion = fold_chunks(chunks, translate_usage(message.usage))
    assert completion == translate_response(message, chat_plan, id=ID, created=CREATED)
    assert completion.choices[0].message.content == f"So {want}"
    responses_plan = plan(answer_tool="answer", answer_schema=schema)
    body = unary(message, responses_plan)
    assert judged(streamed([sse_bytes(events)], responses_plan), responses_plan).response == body
    assert msgspec.to_builtins(body["output"][0]["content"][0]["text"]) == f"So {want}"
