"""Risk: an event without payload breaks a stream, a policy's refusal looks like a malformed request or is retried, or
an error inside a 200 becomes a broken reply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.asgi import Response, request
from support.fakes import (
    JSON_HEADERS,
    FakeReply,
    FakeUpstream,
    error_reply,
    event,
    message_reply,
    stream_reply,
    text_events,
)
from support.gateway import MODEL, PATH, gateway

REPORTS = Path(__file__).parents[3] / "shared/reports"
PATHS = {
    "chat": PATH,
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "vertex": f"/v1/projects/p/locations/global/publishers/anthropic/models/{MODEL}",
}
DIALECTS = pytest.mark.parametrize("dialect", PATHS)
BLOCKED = "Output blocked by content filtering policy"
FILTER = {"details": None, "type": "invalid_request_error", "message": BLOCKED}


def report(name: str) -> Any:
    path = REPORTS / f"{name}.json"
    if not path.exists():
        pytest.skip(f"there is no {name}.json")
    return json.loads(path.read_text("utf-8"))


async def ask(
    dialect: str, upstream: FakeUpstream, *, stream: bool, headers: dict[str, str] | None = None, **settings: Any
) -> Response:
    messages = [{"role": "user", "content": "hi"}]
    path = PATHS[dialect]
    body: dict[str, Any] = {"model": MODEL, "max_tokens": 100, "messages": messages, "stream": stream}
    if dialect == "responses":
        body = {"model": MODEL, "input": "hi", "stream": stream}
    elif dialect == "vertex":
        path += ":streamRawPredict" if stream else ":rawPredict"
        body = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 100, "messages": messages, "stream": stream}
    app = gateway(upstream, retries={"max": 0}, **settings)
    return await request(app, "POST", path, body, headers=headers or {})


def error_of(response: Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    return error


def without_ids(body: bytes) -> list[str]:
    return [line.split(b'"id"')[0].decode() for line in body.splitlines() if line.startswith(b"event:")]


EMPTY = [
    b"event: ping\ndata:\n\n", b"data\n\n", b"data: \n\n", b"event: message_stop\ndata:\n\n", b"data:\ndata:\n\n",
    b"event: content_block_delta\r\ndata:   \r\n\r\n", b"event: error\ndata:\n\n", b"data: null\n\n",
]  # fmt: skip


@DIALECTS
@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize("mode", ["standard", "buffered", "single"])
async def test_an_event_without_payload_changes_nothing(dialect: str, empty: bytes, mode: str) -> None:
    events = text_events("hel", "lo")
    expected = await ask(dialect, FakeUpstream([stream_reply(*events)]), stream=True, streaming={"mode": mode})
    for place in range(len(events) + 1):
        upstream = FakeUpstream([stream_reply(*events[:place], empty, *events[place:])])
        got = await ask(dialect, upstream, stream=True, streaming={"mode": mode})
        assert got.status == 200
        assert b'"error":{' not in got.body.replace(b" ", b"")
        assert without_ids(got.body) == without_ids(expected.body)
        assert b"hel" in got.body


@DIALECTS
@pytest.mark.parametrize("empty", EMPTY)
async def test_an_event_without_payload_changes_nothing_of_a_reply_in_one_piece(dialect: str, empty: bytes) -> None:
    events = text_events("hel", "lo")
    for place in range(len(events) + 1):
        upstream = FakeUpstream([stream_reply(*events[:place], empty, *events[place:])])
        got = await ask(dialect, upstream, stream=False)
        assert (got.status, b'"hello"' in got.body) == (200, True)


ALL_EMPTY = [
    *EMPTY, b"event: error\n\n", b"event: message_stop\n\n", b"event: content_block_delta\r\n\r\n",
    b"event: error\r\r", b"event: content_block_delta\nid: 3\nretry: 5\n\n", b"event: error\nretry\n\n",
    b": c\nevent: message_delta\n: d\n\n", b"event: ping\ndata: ping\n\n", b"data: ping\nevent: ping\n\n",
    b"event: ping\n\n",
]  # fmt: skip
#: What has no name either: no client reads it, so it passes.
PASSED = [b": comment\n\n", b"id: 7\n\n", b"retry: 100\n\n", b"\n\n\n"]
SPLITS = pytest.mark.parametrize("split", ["whole", "bytes"])


def split_up(events: list[bytes], split: str) -> list[bytes]:
    whole = b"".join(events)
    return [whole] if split == "whole" else [bytes([byte]) for byte in whole]


@DIALECTS
@SPLITS
@pytest.mark.parametrize("mode", ["standard", "buffered", None])
async def test_no_framing_of_an_empty_event_changes_anything(dialect: str, split: str, mode: str | None) -> None:
    events = text_events("hel", "lo")
    settings = {"streaming": {"mode": mode}} if mode else {}
    expected = await ask(dialect, FakeUpstream([stream_reply(*events)]), stream=mode is not None, **settings)
    for place in range(len(events) + 1):
        pieces = split_up([*events[:place], *ALL_EMPTY, *PASSED, *events[place:]], split)
        got = await ask(dialect, FakeUpstream([stream_reply(*pieces)]), stream=mode is not None, **settings)
        assert (got.status, without_ids(got.body)) == (200, without_ids(expected.body))
        assert b'"error":{' not in got.body.replace(b" ", b"")
        assert (b"hel" if mode else b'"hello"') in got.body


@pytest.mark.parametrize("dialect", ["messages", "vertex"])
@SPLITS
async def test_a_native_stream_loses_empty_events_only(dialect: str, split: str) -> None:
    events = [*PASSED, *text_events("hel", "lo")[:-1], event("ping"), text_events("")[-1]]
    for place in range(len(events)):
        pieces = split_up([*events[:place], *ALL_EMPTY, *events[place:]], split)
        got = await ask(dialect, FakeUpstream([stream_reply(*pieces)]), stream=True)
        assert got.body == b"".join(events)


async def test_the_report_of_an_event_with_empty_data() -> None:
    case = report("h-event-with-empty-data")
    upstream = FakeUpstream([stream_reply(case["upstream_sse"].encode())])
    got = await request(gateway(upstream), "POST", PATH, case["request"])
    *chunks, done = got.events()
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == "hello"
    assert done == "[DONE]"


def blocked_events(*texts: str) -> list[bytes]:
    return [*text_events(*texts)[: 3 + len(texts)], event("error", error=FILTER)]


async def test_the_report_of_an_answer_that_was_blocked_in_the_stream() -> None:
    case = report("i-output-blocked-in-the-stream")
    upstream = FakeUpstream([stream_reply(case["upstream_sse"].encode())])
    got = await request(gateway(upstream), "POST", PATH, case["request"])
    assert got.events()[-1]["error"]["code"] == "content_filter"
    assert BLOCKED in got.events()[-1]["error"]["message"]
    assert len(upstream.calls) == 1


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reply", [
    lambda: error_reply(400, {"type": "error", "error": FILTER}),
    lambda: error_reply(500, {"type": "error", "error": {**FILTER, "type": "api_error"}}),
    lambda: error_reply(400, [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "The response was "
                                         "blocked by a safety filter."}}]),
    lambda: stream_reply(*blocked_events()[:2], event("error", error=FILTER)),
    lambda: FakeReply(200, JSON_HEADERS, [b'{"promptFeedback": {"blockReason": "SAFETY"}}']),
])  # fmt: skip
async def test_a_refusal_before_content_is_a_400_that_says_content_filter(
    dialect: str, stream: bool, reply: Any
) -> None:
    upstream = FakeUpstream([reply() for _ in range(9)])
    app = gateway(upstream)
    body: dict[str, Any] = {"model": MODEL, "input": "hi", "stream": stream}
    if dialect == "chat":
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    got = await request(app, "POST", PATHS[dialect], body)
    assert (got.status, error_of(got)["code"], got.headers["x-should-retry"]) == (400, "content_filter", "false")
    assert len(upstream.calls) == 1


async def test_a_responses_client_learns_it_in_the_form_of_its_api() -> None:
    got = await ask("responses", FakeUpstream([stream_reply(*blocked_events("A man, "))]), stream=True)
    kinds = [line.removeprefix(b"event: ") for line in got.body.splitlines() if line.startswith(b"event: ")]
    last = json.loads(got.body.rstrip().splitlines()[-1].removeprefix(b"data: "))
    assert kinds[-1] == b"response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "content_filter"}
    assert last["response"]["output"][0]["content"][0]["text"] == "A man, "
    codex = {"originator": "codex_cli_rs"}
    got = await ask("responses", FakeUpstream([stream_reply(*blocked_events("A "))]), stream=True, headers=codex)
    last = json.loads(got.body.rstrip().splitlines()[-1].removeprefix(b"data: "))
    assert last["type"] == "response.failed", "Codex asks again after any other end"
    assert (last["response"]["error"]["code"], BLOCKED in last["response"]["error"]["message"]) == (
        "invalid_prompt", True,
    )  # fmt: skip


@pytest.mark.parametrize("dialect", ["messages", "vertex"])
async def test_clients_of_anthropics_api_get_the_models_own_words(dialect: str) -> None:
    got = await ask(dialect, FakeUpstream([stream_reply(*blocked_events("A man, "))]), stream=True)
    assert got.body.endswith(event("error", error=FILTER))
    unary = await ask(dialect, FakeUpstream([error_reply(400, {"type": "error", "error": FILTER})]), stream=False)
    assert (unary.status, error_of(unary)) == (400, FILTER)
    assert unary.headers["x-should-retry"] == "false"
    google = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "The prompt was blocked."}}
    told = await ask(dialect, FakeUpstream([error_reply(400, google)]), stream=False)
    assert (told.status, error_of(told)["type"]) == (400, "invalid_request_error")
    assert error_of(told)["details"] == {"error_code": "content_filter"}


@DIALECTS
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("framed", [False, True], ids=["body", "event"])
async def test_an_array_of_errors_inside_a_200_keeps_its_status(dialect: str, stream: bool, framed: bool) -> None:
    error = [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Busy, says secret-project-42."}}]
    data = json.dumps(error).encode()
    reply = stream_reply(b"data: " + data + b"\n\n") if framed else FakeReply(200, JSON_HEADERS, [data])
    got = await ask(dialect, FakeUpstream([reply]), stream=stream)
    assert got.status == 429
    assert b"secret-project-42" not in got.body
    assert b"Busy, says ***" in got.body
    assert int(got.headers["retry-after"]) >= 1


async def test_an_array_of_errors_inside_a_200_is_retried_like_any_other() -> None:
    busy = [{"error": {"code": 503, "status": "UNAVAILABLE", "message": "Try again."}}]
    upstream = FakeUpstream([FakeReply(200, JSON_HEADERS, [json.dumps(busy).encode()]), message_reply()])
    got = await request(gateway(upstream, retries={"max": 1}), "POST", PATH,
                        {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]})  # fmt: skip
    assert (got.status, len(upstream.calls)) == (200, 2)
