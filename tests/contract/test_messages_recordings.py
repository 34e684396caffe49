"""Every recorded reply reaches a client of Messages as it came: streams byte for byte, however the network cuts them,
messages in the upstream's bytes, and errors by the rules of who has caused them."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from modelmux.wire.sse import SSEDecoder
from support.asgi import Response, request
from support.fakes import JSON_HEADERS, SSE_HEADERS, FakeReply, FakeUpstream
from support.gateway import MODEL, gateway
from support.recordings import recordings

SURFACES = {
    "messages": ("/v1/messages", False),
    "vertex": (f"/v1/projects/p/locations/global/publishers/anthropic/models/{MODEL}", True),
}


async def answer(reply: FakeReply, *, stream: bool, surface: str = "messages") -> Response:
    path, has_verb = SURFACES[surface]
    if has_verb:
        path += ":streamRawPredict" if stream else ":rawPredict"
    body = {"model": MODEL, "max_tokens": 10, "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
    app = gateway(FakeUpstream([reply, reply]), retries={"max": 0})  # a token is renewed nevertheless
    return await request(app, "POST", path, body, {"anthropic-version": "2023-06-01"})


def pieces(recording: dict[str, Any], raw: bytes) -> list[list[bytes]]:
    """The stream in the chunks of the recording where it has them, in one piece, in tiny ones, and cut at random."""
    sizes = recording.get("chunk_bytes") or [len(raw)]
    rng = random.Random(recording["id"])
    cuts = [sizes, [len(raw)], [1] * len(raw), [7] * len(raw)]
    cuts += [[rng.randint(1, 400) for _ in raw] for _ in range(3)]
    return [_cut(raw, cut) for cut in cuts]


def _cut(raw: bytes, sizes: list[int]) -> list[bytes]:
    result: list[bytes] = []
    for size in sizes:
        if not raw:
            break
        result.append(raw[:size])
        raw = raw[size:]
    return [*result, raw] if raw else result


def events(raw: bytes) -> list[tuple[bytes, Any]]:
    decoder = SSEDecoder()
    return [(event.name, json.loads(event.data)) for event in (*decoder.feed(raw), *decoder.flush())]


@pytest.mark.parametrize("recording", recordings("stream"))
async def test_a_stream_comes_back_byte_for_byte_however_it_is_cut(recording: dict[str, Any]) -> None:
    raw = recording["sse"].encode()
    for cut in pieces(recording, raw):
        response = await answer(FakeReply(200, SSE_HEADERS, cut), stream=True)
        assert response.status == 200
        assert response.complete
        closed = raw.rstrip(b"\n") + b"\n\n"  # some recordings lack the end of their last event
        assert closed.startswith(response.body.rstrip(b"\n") + b"\n\n"), "nothing is added or changed"
        assert events(response.body) == events(raw), "and nothing is missing"


@pytest.mark.parametrize("recording", recordings("message"))
@pytest.mark.parametrize("surface", SURFACES)
async def test_a_message_comes_back_in_its_bytes(recording: dict[str, Any], surface: str) -> None:
    body = json.dumps(recording["body"], indent=1, ensure_ascii=False).encode()
    response = await answer(FakeReply(200, JSON_HEADERS, [body]), stream=False, surface=surface)
    assert (response.status, response.body) == (200, body)
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("recording", recordings("message"))
async def test_a_message_in_place_of_a_stream_comes_back_with_all_of_its_fields(recording: dict[str, Any]) -> None:
    body = json.dumps(recording["body"]).encode()
    streamed = await answer(FakeReply(200, JSON_HEADERS, [body]), stream=True)
    assert [name for name, _ in events(streamed.body)][-1] == b"message_stop"
    back = await answer(FakeReply(200, SSE_HEADERS, [streamed.body]), stream=False)
    assert back.json() == recording["body"]


@pytest.mark.parametrize("recording", recordings("stream"))
async def test_a_stream_for_a_client_that_wants_a_message_is_folded(recording: dict[str, Any]) -> None:
    response = await answer(FakeReply(200, SSE_HEADERS, [recording["sse"].encode()]), stream=False)
    message = response.json()
    start = next(data["message"] for name, data in events(recording["sse"].encode()) if name == b"message_start")
    assert (message["id"], message["model"], message["type"]) == (start["id"], start["model"], "message")
    assert message["stop_reason"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("recording", [r for r in recordings("error") if r.values[0].get("status") != 200])
async def test_errors_pass_by_who_has_caused_them(recording: dict[str, Any], stream: bool) -> None:
    status, body = recording["status"], json.dumps(recording["body"]).encode()
    headers = [*JSON_HEADERS, *((n.encode(), v.encode()) for n, v in recording["headers"].items() if n == "request-id")]
    response = await answer(FakeReply(status, headers, [body]), stream=stream)
    error = response.json()
    is_passed = recording["body"].get("type") == "error" and status not in (401, 403)
    own_id = response.headers["x-request-id"]
    assert response.headers["request-id"] == (recording["headers"].get("request-id", own_id) if is_passed else own_id)
    if is_passed:
        assert (response.status, response.body) == (status, body)
        return
    expected = {
        400: (400, "invalid_request_error"), 401: (502, "api_error"), 404: (404, "not_found_error"),
        429: (429, "rate_limit_error"),
    }[status]  # fmt: skip
    assert (response.status, error["type"], error["error"]["type"]) == (expected[0], "error", expected[1])
    assert error["request_id"] == response.headers["x-request-id"]
    assert ("retry-after" in response.headers) == (status == 429)
    if status == 404:
        assert error["error"]["message"].startswith(f"model: {MODEL}")


@pytest.mark.parametrize("recording", [r for r in recordings("error") if r.values[0].get("status") in (None, 200)])
async def test_an_error_instead_of_a_stream_is_an_error(recording: dict[str, Any]) -> None:
    response = await answer(FakeReply(200, SSE_HEADERS, [recording["sse"].encode()]), stream=True)
    ((_, expected),) = events(recording["sse"].encode())
    assert (response.status, response.json()) == (529, expected)
