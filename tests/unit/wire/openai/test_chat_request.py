"""Chat Completions: every form of request that clients send, and the exact bytes of responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from modelmux.errors import InvalidRequest
from modelmux.wire.openai import chat_request as chat
from modelmux.wire.openai import chat_response as reply
from modelmux.wire.openai.chat_request import decode_request, decode_request_with_unknown
from modelmux.wire.openai.chat_response import Chunk, ChunkDelta, ChunkEncoder, decode_chunk
from modelmux.wire.sliced_json import SLICE

USAGE = reply.Usage(5, 2, 7, reply.PromptTokensDetails(1, 2), reply.CompletionTokensDetails(1), 2, 1)
USAGE_JSON = (
    '{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,'
    '"prompt_tokens_details":{"cached_tokens":1,"cache_write_tokens":2},'
    '"completion_tokens_details":{"reasoning_tokens":1},"cache_creation_input_tokens":2,"cache_read_input_tokens":1}'
)


def message(**fields: Any) -> chat.ChatMessage:
    return decode_request(json.dumps({"model": "m", "messages": [fields]}).encode()).messages[0]


FORMS: list[tuple[dict[str, Any], chat.ChatMessage]] = [
    ({"role": "system", "content": "a"}, chat.SystemMessage("a")),
    ({"role": "developer", "content": [{"type": "text", "text": "a"}]}, chat.DeveloperMessage([chat.TextPart("a")])),
    ({"role": "user", "content": "a", "name": "n", "future": 1}, chat.UserMessage("a", "n")),
    ({"role": "user"}, chat.UserMessage(None)),
    ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u", "detail": "low"}}]},
     chat.UserMessage([chat.ImagePart(chat.ImageURL("u", "low"))])),
    ({"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}, chat.UserMessage([chat.ImagePart("u")])),
    ({"role": "assistant", "content": None, "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
     chat.AssistantMessage(tool_calls=[chat.FunctionToolCall(chat.FunctionCall("f", "{}"), "c")])),
    ({"role": "assistant", "content": "a", "refusal": None, "annotations": [], "audio": None, "function_call": None,
      "tool_calls": None}, chat.AssistantMessage("a", annotations=[])),
    ({"role": "tool", "tool_call_id": "c", "content": "r"}, chat.ToolMessage("c", "r")),
    ({"role": "function", "name": "f", "content": "r"}, chat.FunctionMessage("f", "r")),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "expected"), FORMS)
def test_every_form_of_a_message_is_decoded(raw: dict[str, Any], expected: chat.ChatMessage) -> None:
    assert message(**raw) == expected


def test_a_completion_has_the_keys_sdks_read_and_no_empty_extensions() -> None:
    answer = reply.ChatCompletion(
        id="i", created=1, model="m", usage=USAGE,
        choices=[reply.Choice(message=reply.ResponseMessage(content=None), finish_reason="stop")],
    )  # fmt: skip
    assert msgspec.json.encode(answer).decode() == (
        '{"id":"i","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
        '{"role":"assistant","content":null,"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":'
        + USAGE_JSON
        + "}"
    )


HEAD = 'data: {"id":"i","object":"chat.completion.chunk","created":1,"model":"m\\"é"'
GOING_ON = ',"logprobs":null,"finish_reason":null'
CHUNKS: list[tuple[Chunk, str]] = [
    (Chunk(ChunkDelta(role="assistant", content="")), '{"role":"assistant","content":""}' + GOING_ON),
    (Chunk(ChunkDelta(content="é\n")), '{"content":"é\\n"}' + GOING_ON),
    (Chunk(ChunkDelta(tool_calls=[reply.ToolCallDelta(0, "c", "function", reply.FunctionDelta("f", ""))])),
     '{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}' + GOING_ON),
    (Chunk(ChunkDelta(tool_calls=[reply.ToolCallDelta(1, function=reply.FunctionDelta(arguments="{"))])),
     '{"tool_calls":[{"index":1,"function":{"arguments":"{"}}]}' + GOING_ON),
    (Chunk(ChunkDelta(tool_calls=[reply.ToolCallDelta(0, "c", "custom", custom=reply.CustomDelta("f", "x"))])),
     '{"tool_calls":[{"index":0,"id":"c","type":"custom","custom":{"name":"f","input":"x"}}]}' + GOING_ON),
    (Chunk(finish_reason="tool_calls"), '{},"logprobs":null,"finish_reason":"tool_calls"'),
]  # fmt: skip


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize(("chunk", "choice"), CHUNKS)
def test_a_chunk_is_exact_and_has_usage_only_if_requested(chunk: Chunk, choice: str, include_usage: bool) -> None:
    encoder = ChunkEncoder(id="i", created=1, model='m"é', include_usage=include_usage)
    tail = ',"usage":null}' if include_usage else "}"
    assert encoder.encode(chunk).decode() == f'{HEAD},"choices":[{{"index":0,"delta":{choice}}}]{tail}\n\n'


def test_the_usage_chunk_has_no_choices() -> None:
    encoder = ChunkEncoder(id="i", created=1, model='m"é', include_usage=True)
    assert encoder.encode(Chunk(usage=USAGE)).decode() == f'{HEAD},"choices":[],"usage":{USAGE_JSON}}}\n\n'


def test_the_service_tier_is_in_every_chunk_if_set() -> None:
    encoder = ChunkEncoder(id="i", created=1, model='m"é', include_usage=True, tier="default")
    for chunk in (Chunk(finish_reason="stop"), Chunk(usage=USAGE)):
        text = encoder.encode(chunk).decode()
        assert text.startswith(f'{HEAD},"service_tier":"default","choices":')
        assert decode_chunk(text.encode()[len("data: ") :]).service_tier == "default"


def test_encoded_chunks_can_be_decoded() -> None:
    encoder = ChunkEncoder(id="i", created=1, model="m", include_usage=True)
    read = decode_chunk(encoder.encode(Chunk(ChunkDelta(content="a"), "length"))[len("data: ") :])
    assert (read.id, read.created, read.model, read.usage) == ("i", 1, "m", None)
    assert (read.choices[0].delta, read.choices[0].finish_reason) == (ChunkDelta(content="a"), "length")
    assert decode_chunk(encoder.encode(Chunk(usage=USAGE))[len("data: ") :]).usage == USAGE


BODY = b'"model":"m","messages":[{"role":"user","content":"hi","new":1}]'


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (b"", []),
        (b',"seed":1,"metadata":{"z":1}', []),
        (b',"zz":1,"seed":1,"aa":{"zz":[]}', ["zz", "aa"]),
        (b',"a\\u00e9":false,"zz":1,"zz":2', ["aé", "zz"]),
        (b',"a\\u00e9":null,"zz":1,"zz":null', []),
        (b',"a\\u00e9":null,"zz":1', ["zz"]),
    ],
)
def test_unknown_fields_are_reported_in_order(extra: bytes, expected: list[str]) -> None:
    request, unknown = decode_request_with_unknown(b"{" + BODY + extra + b"}")
    assert (request.model, unknown) == ("m", [*expected, "messages.0.new"])


@pytest.mark.parametrize(
    "extra", [b',"\xff":1}', rb',"\ud800":1}', b',"seed":"x","zz":1}', b',"zz":' + b"[" * 100_000, b',"zz":1']
)
def test_an_invalid_body_is_rejected_without_a_crash(extra: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_request_with_unknown(b"{" + BODY + extra)


def test_unknown_fields_of_tools_are_reported() -> None:
    tool = {"type": "function", "defer_loading": True, "function": {"name": "f", "x": 1, "eager_input_streaming": True}}
    plain = {"type": "custom", "custom": {"name": "c"}, "function": None}
    body = {"model": "m", "messages": [], "tools": [plain, tool, {"type": "custom"}], "zzz": 1}
    request, unknown = decode_request_with_unknown(json.dumps(body).encode())
    assert unknown == ["zzz", "tools.1.defer_loading", "tools.1.function.x"]
    assert request.tools is not None
    assert request.tools[1].function is not None
    assert request.tools[1].function.eager_input_streaming is True
    for tools in (None, []):
        assert decode_request_with_unknown(json.dumps(body | {"tools": tools}).encode())[1] == ["zzz"]


_TEXT = {"type": "text", "text": "a"}
_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_FUNCTION = {"name": "f", "parameters": {"type": "object", "zz": 1}}
#: A request that holds every kind of object once.
COMPLETE: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": [{**_TEXT, "cache_control": {"type": "ephemeral"}}]},
        {"role": "developer", "content": "a"},
        {
            "role": "user",
            "content": [
                _TEXT,
                {"type": "image_url", "image_url": {"url": "u"}},
                {"type": "file", "file": {"file_data": "d"}},
                {"type": "refusal", "refusal": "r"},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "t"}, {"type": "redacted_thinking", "data": "d"}],
            "tool_calls": [_CALL, {"id": "d", "type": "custom", "custom": {"name": "c", "input": "i"}}],
            "function_call": {"name": "f", "arguments": "{}"},
        },
        {"role": "tool", "tool_call_id": "c", "content": [_TEXT]},
        {"role": "function", "name": "f", "content": "r"},
    ],
    "tools": [
        {"type": "function", "function": _FUNCTION, "cache_control": {"type": "ephemeral"}},
        {"type": "custom", "custom": {"name": "c"}},
    ],
    "functions": [_FUNCTION],
    "stream_options": {"include_usage": True},
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"zz": 1}]}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"zz": 1}}},
    "cache_control": {"type": "ephemeral"},
    "metadata": {"zz": {"zz": 1}},
}


def objects(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a value but those that are free: schemas, metadata, the entries of allowed_tools."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from objects(item, f"{path}{index}.")
    elif isinstance(value, dict):
        yield path, value
        for name, member in value.items():
            if name not in ("parameters", "schema", "metadata") and path != "tool_choice.allowed_tools.":
                yield from objects(member, f"{path}{name}.")


@pytest.mark.parametrize("place", [path for path, _ in objects(COMPLETE)])
def test_an_unknown_field_of_any_object_is_reported_and_nothing_else_changes(place: str) -> None:
    complete, body = json.dumps(COMPLETE), json.loads(json.dumps(COMPLETE))
    assert decode_request_with_unknown(complete.encode())[1] == []
    dict(objects(body))[place]["n\u00e9w"] = {"zz": [1]}
    assert decode_request_with_unknown(json.dumps(body).encode()) == (
        decode_request(complete.encode()),
        [f"{place}néw"],
    )


@pytest.mark.parametrize("value", ["x", 1, None, ["x"], [None], {"content": 1}, {"role": 1}, {"role": "nobody"}])
def test_unknown_fields_do_not_hide_what_is_wrong(value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_request(json.dumps({"zz": 1, "model": "m", "messages": [value]}).encode())
    assert (caught.value.param or "").startswith("messages.0")


def test_a_large_request_is_decoded_as_a_small_one() -> None:
    turn = {"role": "user", "content": [{"type": "text", "text": "word " * 9}]}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    for count in (1, 3_000):
        value = {"tools": [tool] * count, "model": "m", "messages": [turn] * count}
        request = chat.decode_plain(json.dumps(value).encode())
        assert request == msgspec.convert(value, chat.ChatRequest)
        assert chat.decode_object(json.dumps(value).encode()) == value
        assert chat.decode_plain(json.dumps({**value, "unknown": 1}).encode()) is None
        assert chat.decode_plain(json.dumps({**value, "messages": [turn] * count + [5]}).encode()) is None


@pytest.mark.parametrize("body", [b'"' + b"x" * 200_000 + b'"', b"[" + b"1," * 100_000 + b"1]", b"[" + b"1," * 100_000])
def test_a_large_body_that_is_not_an_object_is_refused(body: bytes) -> None:
    assert chat.decode_plain(body) is None
    with pytest.raises(InvalidRequest):
        chat.decode_object(body)


def test_no_large_list_is_decoded_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def decode(data: bytes) -> list[Any]:
        sizes.append(len(data))
        return msgspec.json.decode(data, type=list[chat.ChatMessage])

    monkeypatch.setattr(chat._SLICED["messages"], "_decode", decode)
    value = {"model": "m", "messages": [{"role": "user", "content": "word " * 9}] * 10_000}
    assert chat.decode_plain(json.dumps(value).encode()) == msgspec.convert(value, chat.ChatRequest)
    assert sum(sizes) > 500_000
    assert max(sizes) <= SLICE + 2
