"""Large requests: one of them holds the event loop, so that every other client waits."""

from __future__ import annotations

import gc
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from modelmux.errors import InvalidRequest
from modelmux.gateway.large_requests import (
    COLLECTED_AT,
    FEW_OBJECTS,
    FEW_VALUES,
    LARGE,
    LONG,
    is_costly,
    with_few_collections,
)
from modelmux.wire import sliced_json
from modelmux.wire.openai import chat_request
from modelmux.wire.sliced_json import MAX_MEMBERS, MAX_OBJECTS, MAX_VALUES, SLICE, TEXT_SLICE
from support.asgi import request
from support.fakes import FakeReply, FakeUpstream, error_reply, message_reply
from support.gateway import MODEL, gateway

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
COUNT, INPUT_TOKENS = "/v1/messages/count_tokens", "/v1/responses/input_tokens"
RAW = f"/v1/projects/p/locations/global/publishers/anthropic/models/{MODEL}:rawPredict"
MANY = 5_000


@contextmanager
def calls_by_thread() -> Iterator[dict[str, int]]:
    """How many functions are called in the thread of the event loop, and in others."""
    calls = {"loop": 0, "other": 0}
    loop = threading.get_ident()

    def count(frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            calls["loop" if threading.get_ident() == loop else "other"] += 1

    before = sys.getprofile()
    threading.setprofile(count)
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


def body(path: str, messages: list[Any]) -> dict[str, Any]:
    if path in (RESPONSES, INPUT_TOKENS):
        return {"model": MODEL, "input": messages, "store": False}
    return {"model": MODEL, "max_tokens": 10, "messages": messages}


def turns(count: int) -> list[Any]:
    return [{"role": "user" if (count - i) % 2 else "assistant", "content": "word " * 5} for i in range(count)]


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES, RAW, COUNT, INPUT_TOKENS])
async def test_a_large_request_is_translated_apart_from_the_event_loop(path: str) -> None:
    counted = FakeReply(200, [(b"content-type", b"application/json")], [b'{"input_tokens": 5}'])
    app = gateway(FakeUpstream([counted if path in (COUNT, INPUT_TOKENS) else message_reply()]))
    with calls_by_thread() as calls:
        response = await request(app, "POST", path, body(path, turns(MANY)))
    assert response.status == 200
    assert calls["other"] > MANY
    assert calls["loop"] < MANY, calls


@pytest.mark.parametrize("path", [MESSAGES, RAW, COUNT])
async def test_files_of_a_large_request_are_searched_and_its_tokens_estimated_there_too(path: str) -> None:
    refused = FakeReply(429, [(b"content-type", b"application/json")], [b"{}"])
    app = gateway(FakeUpstream([refused if path == COUNT else message_reply()]))
    parts = [{"role": "user", "content": [{"type": "text", "text": "word"}] * 40}] * (MANY // 10)
    with calls_by_thread() as calls:
        response = await request(app, "POST", path, body(path, parts))
    assert response.status == 200
    assert calls["loop"] < MANY, calls


async def test_a_small_request_needs_no_thread() -> None:
    app = gateway(FakeUpstream([message_reply()]))
    with calls_by_thread() as calls:
        assert (await request(app, "POST", CHAT, body(CHAT, turns(20)))).status == 200
    assert calls["other"] == 0


async def test_a_large_request_gives_the_same_call_as_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    for path in (CHAT, MESSAGES):
        for large in (LARGE, 10**9):
            monkeypatch.setattr("modelmux.gateway.large_requests.LARGE", large)
            app = gateway(upstream := FakeUpstream([message_reply()]))
            await request(app, "POST", path, body(path, turns(MANY)))
            sent.append(upstream.calls[0].body)
    assert sent[0] == sent[1]
    assert sent[2] == sent[3]


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
async def test_an_error_of_a_large_request_names_its_place(path: str) -> None:
    app = gateway(FakeUpstream([]))
    response = await request(app, "POST", path, body(path, [*turns(MANY), 5]))
    if path != MESSAGES:  # whose messages only the upstream checks
        assert response.status == 400
        assert str(MANY) in response.json()["error"]["param"]


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES, RAW, COUNT])
@pytest.mark.parametrize("part", ["{}", "[]", "1"])
async def test_a_request_of_more_parts_than_any_model_reads_is_refused_unread(path: str, part: str) -> None:
    app = gateway(FakeUpstream([]))
    parts = ",".join([part] * (MAX_VALUES + 2))
    raw = json.dumps(body(path, [])).replace("[]", f"[{parts}]").encode()
    with calls_by_thread() as calls:
        response = await request(app, "POST", path, raw)
    assert response.status == 400
    assert "more than 250,000 objects" in response.json()["error"]["message"]
    assert calls["loop"] < 1_000


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES, RAW, COUNT, INPUT_TOKENS])
async def test_an_object_of_more_members_than_any_client_sends_is_refused_undecoded(path: str) -> None:
    """A single call of the decoder takes 0.5 s for 950,000 members."""
    app = gateway(FakeUpstream([]))
    metadata = {f"k{i}": 0 for i in range(MAX_MEMBERS + 1)}
    with calls_by_thread() as calls:
        response = await request(app, "POST", path, body(path, turns(1)) | {"metadata": metadata})
    assert response.status == 400
    assert "has more than 100,000 members" in response.json()["error"]["message"]
    assert calls["loop"] < MANY


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes of what the decoders and the encoder of slices get, and the most they may get."""
    sizes: list[tuple[int, int]] = []

    def watched(function: Callable[[Any], Any], most: int = SLICE) -> Callable[[Any], Any]:
        def call(value: Any) -> Any:
            sizes.append((len(value), most))
            return function(value)

        return call

    for name, most in (("_any", SLICE), ("_any_list", SLICE), ("_text", TEXT_SLICE)):
        decode = watched(getattr(sliced_json, name).decode, most)
        monkeypatch.setattr(sliced_json, name, SimpleNamespace(decode=decode))
    monkeypatch.setattr(sliced_json, "_encode", watched(sliced_json._encode, TEXT_SLICE))
    messages = chat_request._SLICED["messages"]
    monkeypatch.setattr(messages, "_decode", watched(messages._decode))
    return sizes


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES, RAW, COUNT, INPUT_TOKENS])
async def test_no_call_decodes_or_encodes_more_than_a_slice(path: str, slices: list[tuple[int, int]]) -> None:
    counted = FakeReply(200, [(b"content-type", b"application/json")], [b'{"input_tokens": 5}'])
    app = gateway(upstream := FakeUpstream([counted if path in (COUNT, INPUT_TOKENS) else message_reply()]))
    text = '\n"' * LONG
    response = await request(app, "POST", path, body(path, [{"role": "user", "content": text}, *turns(MANY)]))
    assert response.status == 200
    assert sum(size for size, _ in slices) > len(text)
    assert [size for size, most in slices if size > most + 2] == []
    assert json.dumps(text).encode() in upstream.calls[0].body


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES, RAW, INPUT_TOKENS])
async def test_an_error_of_the_upstream_is_explained_apart_from_the_event_loop(path: str) -> None:
    message = f"messages.{MANY - 1}.content.0.text: Too long."
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    app = gateway(FakeUpstream([error_reply(400, error)]))
    with calls_by_thread() as calls:
        response = await request(app, "POST", path, body(path, turns(MANY)))
    assert response.status == 400
    if path in (MESSAGES, RAW):  # passed on as it came
        place = f"messages.{MANY - 1}"
    else:  # a turn of the user was added in front
        place = f"{'messages' if path == CHAT else 'input'}.{MANY - 2}"
    assert place in response.json()["error"]["message"]
    assert calls["loop"] < MANY, calls


def large_turns_with_thinking() -> list[Any]:
    thinking = [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, {"type": "text", "text": "Hello."}]
    history = turns(MANY)
    return [{**turn, "content": thinking} if turn["role"] == "assistant" else turn for turn in history]


async def test_a_large_request_is_repaired_apart_from_the_event_loop() -> None:
    message = "messages.1.content.0: Invalid `signature` in `thinking` block"
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    app = gateway(upstream := FakeUpstream([error_reply(400, error), message_reply()]))
    with calls_by_thread() as calls:
        response = await request(app, "POST", CHAT, body(CHAT, large_turns_with_thinking()))
    assert response.status == 200
    first, second = (call.body for call in upstream.calls)
    assert b"c2ln" in first
    assert b"c2ln" not in second
    assert calls["loop"] < MANY, calls


def test_what_is_costly() -> None:
    text = b"x" * LARGE
    assert not is_costly(b"{" * (LARGE - 1))
    assert not is_costly(text + b"{" * FEW_OBJECTS)
    assert is_costly(text + b"{" * (FEW_OBJECTS + 1))
    assert is_costly(text + b"{" * MAX_OBJECTS)
    assert is_costly(b"x" * (LONG + 1))
    assert not is_costly(text + b"," * FEW_VALUES)
    assert is_costly(text + b"," * (FEW_VALUES + 1))
    with pytest.raises(InvalidRequest):
        is_costly(text + b"[" * (MAX_OBJECTS + 1))
    assert is_costly(b"," * (MAX_VALUES + LONG))  # it is counted in the thread
    assert is_costly(text + b"," * MAX_VALUES)
    with pytest.raises(InvalidRequest):
        is_costly(text + b"," * (MAX_VALUES + 1))


@pytest.mark.parametrize(("usual", "meanwhile"), [(700, COLLECTED_AT), (2 * COLLECTED_AT, 2 * COLLECTED_AT), (0, 0)])
def test_a_large_request_is_collected_seldom_and_the_setting_comes_back(usual: int, meanwhile: int) -> None:
    before = gc.get_threshold()

    def fails() -> None:
        assert gc.get_threshold() == (meanwhile, *before[1:])
        raise InvalidRequest("no")

    try:
        gc.set_threshold(usual, *before[1:])
        with pytest.raises(InvalidRequest):
            with_few_collections(fails)
        assert gc.get_threshold() == (usual, *before[1:])
    finally:
        gc.set_threshold(*before)


def test_two_gateways_in_one_process_give_the_setting_back() -> None:
    before = gc.get_threshold()
    first_runs, second_runs = threading.Event(), threading.Event()

    def first() -> None:
        first_runs.set()
        second_runs.wait(10)

    try:
        gc.set_threshold(700, *before[1:])
        thread = threading.Thread(target=with_few_collections, args=(first,))
        thread.start()
        first_runs.wait(10)

        def second() -> tuple[int, ...]:
            second_runs.set()
            thread.join()
            return gc.get_threshold()

        assert with_few_collections(second) == (COLLECTED_AT, *before[1:]), "the second one still runs"
        assert gc.get_threshold() == (700, *before[1:])
    finally:
        gc.set_threshold(*before)
