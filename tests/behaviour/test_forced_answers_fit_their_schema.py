"""Risk: an answer that a forced tool call carries breaks the client's schema, because Claude put it inside an envelope
or wrote an array as a string (BerriAI/litellm#35790)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.claude.property_keys import to_legal_key
from support.asgi import Response, request
from support.blocks import BARE, NEW, USER, Json, json_schema, reply_of, text, tool, tool_use
from support.chat import assert_legal, fold_deltas
from support.fakes import FakeReply, FakeUpstream, event, stream_reply
from support.gateway import PATH, gateway
from support.reports import report
from support.responses_frames import frames

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "facts": {
            "type": "array",
            "items": {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
        },
        "title": {"type": "string"},
    },
    "required": ["facts"],
}
FITS: Json = {"title": "[T]", "facts": [{"what": "x"}]}
INPUTS: dict[str, Any] = {
    "fits": FITS,
    "envelope": {"parameter": FITS},
    "other envelope": {"input": FITS},
    "the name of the schema": {"thing": FITS},
    "string in an envelope": {"parameter": json.dumps(FITS)},
    "array as a string": {**FITS, "facts": json.dumps(FITS["facts"])},
    "object as a string": {**FITS, "facts": [json.dumps(FITS["facts"][0])]},
    "both": {"parameter": {**FITS, "facts": json.dumps(FITS["facts"])}},
}
NOT_UNDONE: dict[str, Any] = {
    "no facts": {"title": "x"},
    "prose": {"facts": "none"},
    "an envelope that is not one": {"parameter": FITS, "more": 1},
    "what is inside does not fit": {"parameter": {"facts": [1]}},
}


async def posted(path: str, body: Json, reply: FakeReply) -> Response:
    upstream = FakeUpstream([reply])
    response = await request(gateway(upstream), "POST", path, body)
    assert response.status == 200, response.body
    assert_legal(upstream.calls[-1])
    return response


async def content(
    dialect: str, value: Any, *, stream: bool, pieces: int = 3, schema: Json = SCHEMA
) -> tuple[str, list[str]]:
    """The answer that a client gets for this input of the forced tool, and the pieces it came in."""
    if dialect == "chat":
        body = {"messages": [USER], "response_format": json_schema(schema)}
    else:
        body = {"input": "Hi", "text": {"format": {"type": "json_schema", "name": "thing", "schema": schema}}}
    path = PATH if dialect == "chat" else "/v1/responses"
    reply = streamed(value, pieces) if stream else reply_of(tool_use(name="thing", value=value), stop_reason="tool_use")
    response = await posted(path, {"model": BARE, "stream": stream, **body}, reply)
    return read(dialect, response, stream=stream)


def streamed(value: Any, size: int) -> FakeReply:
    """A stream of the upstream whose arguments arrive in pieces of so many characters."""
    written = json.dumps(value)
    block = {"type": "tool_use", "id": "toolu_1", "name": "thing", "input": {}}
    usage = {"input_tokens": 7, "output_tokens": 1}
    return stream_reply(
        event("message_start", message={"id": "msg_1", "type": "message", "content": [], "usage": usage}),
        event("content_block_start", index=0, content_block=block),
        *(
            event(
                "content_block_delta",
                index=0,
                delta={"type": "input_json_delta", "partial_json": written[at : at + size]},
            )
            for at in range(0, len(written), size)
        ),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 2}),
        event("message_stop"),
    )


def read(dialect: str, response: Response, *, stream: bool) -> tuple[str, list[str]]:
    if not stream:
        body = response.json()
        if dialect == "chat":
            assert body["choices"][0]["finish_reason"] == "stop"
            return body["choices"][0]["message"]["content"], []
        return body["output"][0]["content"][0]["text"], []
    if dialect == "chat":
        events = response.events()
        assert events.pop() == "[DONE]"
        deltas = [choice["delta"] for chunk in events for choice in chunk["choices"]]
        return fold_deltas(deltas)["content"], [delta["content"] for delta in deltas if delta.get("content")]
    events, _ = frames(response.body)
    pieces = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    (done,) = [e["text"] for e in events if e["type"] == "response.output_text.done"]
    assert "".join(pieces) == done == events[-1]["response"]["output"][0]["content"][0]["text"]
    return done, pieces


@pytest.mark.parametrize("stream", [False, True])
async def test_the_report(stream: bool) -> None:
    loaded = report("n-json-by-tool-in-an-envelope")
    body = {**loaded["request"], "stream": stream}
    response = await posted(PATH, body, stream_reply(loaded["upstream_sse"].encode()))
    got, _ = read("chat", response, stream=stream)
    assert json.loads(got) == {"facts": [{"what": "x"}]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("name", INPUTS)
async def test_known_deformations_are_undone(name: str, dialect: str, stream: bool) -> None:
    got, _ = await content(dialect, INPUTS[name], stream=stream)
    assert json.loads(got) == FITS


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("name", NOT_UNDONE)
async def test_everything_else_passes_as_it_came(name: str, dialect: str, stream: bool) -> None:
    got, _ = await content(dialect, NOT_UNDONE[name], stream=stream)
    assert json.loads(got) == NOT_UNDONE[name]


@pytest.mark.parametrize("dialect", ["chat", "responses"])
async def test_an_answer_that_fits_streams_as_it_comes(dialect: str) -> None:
    """Held back is only the first key."""
    _, pieces = await content(dialect, FITS, stream=True, pieces=2)
    written = json.dumps(FITS)
    assert pieces == [written[:8], *(written[at : at + 2] for at in range(8, len(written), 2))]


@pytest.mark.parametrize("dialect", ["chat", "responses"])
async def test_an_envelope_is_held_back_to_its_end(dialect: str) -> None:
    _, pieces = await content(dialect, {"parameter": FITS}, stream=True)
    assert pieces == [json.dumps(FITS)]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_clients_own_calls_are_not_touched(stream: bool) -> None:
    """Only the answer has a schema to be measured by."""
    body = {
        "model": BARE,
        "messages": [USER],
        "stream": stream,
        "response_format": json_schema(SCHEMA),
        "tools": [tool()],
    }
    reply = reply_of(tool_use(value={"parameter": {"city": "Paris"}}), stop_reason="tool_use", stream=stream)
    response = await posted(PATH, body, reply)
    message = (
        fold_deltas([c["delta"] for chunk in response.events()[:-1] for c in chunk["choices"]])
        if stream
        else response.json()["choices"][0]["message"]
    )
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"parameter": {"city": "Paris"}}


async def test_native_structured_output_is_not_touched() -> None:
    """There the model is held to the schema."""
    written = json.dumps({"parameter": FITS})
    body = {"model": NEW, "messages": [USER], "response_format": json_schema(SCHEMA)}
    response = await posted(PATH, body, reply_of(text(written)))
    assert response.json()["choices"][0]["message"]["content"] == written


ODD_KEYS: Json = {
    "type": "object",
    "properties": {"Fact List": {"type": "array"}, "数量": {"type": "number", "minimum": 0, "exclusiveMinimum": True}},
    "required": ["Fact List"],
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("deform", [lambda v: v, lambda v: {"parameter": v}, lambda v: {"input": json.dumps(v)}])
async def test_an_answer_has_the_clients_keys_wherever_it_is(deform: Any, dialect: str, *, stream: bool) -> None:
    value = {"Fact List": [{"Fact List": 1}], "数量": 0.5}
    upstream = {to_legal_key(key): part for key, part in value.items()}
    got, _ = await content(dialect, deform(upstream), stream=stream, schema=ODD_KEYS)
    assert json.loads(got) == value


async def test_an_answer_is_checked_against_the_schema_that_was_sent() -> None:
    """A list of required keys that is a string says nothing to a validator, and the one key to the gateway."""
    schema = {
        "type": "object", "additionalProperties": {"type": "any"}, "properties": {"n": {"type": "integer|null"}},
        "required": "n",
    }  # fmt: skip
    got, _ = await content("chat", {"parameter": {"n": None}}, stream=False, schema=schema)
    assert json.loads(got) == {"n": None}
