"""Risk: a failure that another attempt can cure reaches the client, or another one does not, in OpenAI's terms."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from support.asgi import request
from support.fakes import (
    FakeReply,
    FakeUpstream,
    error_reply,
    event,
    message_reply,
    stream_reply,
    text_events,
)
from support.gateway import PATH, PROJECT, ask, gateway


def anthropic_error(status: int, kind: str, message: str = "said so") -> FakeReply:
    return error_reply(status, {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})


def google_error(status: int, name: str, message: str = "said so") -> FakeReply:
    return error_reply(status, [{"error": {"code": status, "message": message, "status": name}}])


pytestmark = pytest.mark.usefixtures("no_waiting")


CURABLE: list[Any] = [
    anthropic_error(529, "overloaded_error"),
    anthropic_error(500, "api_error"),
    google_error(503, "UNAVAILABLE"),
    google_error(429, "RESOURCE_EXHAUSTED"),
    google_error(401, "UNAUTHENTICATED"),
    FakeReply(502, [(b"content-type", b"text/html")], [b"<html>Bad Gateway</html>"]),
    UpstreamUnreachable("no route"),
    UpstreamBroken("closed", reply_started=False),
    UpstreamTimeout("slow", clock="connect"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failure", CURABLE, ids=repr)
async def test_cured_by_a_second_attempt(failure: Any, stream: bool) -> None:
    failure = FakeReply(failure.status, failure.headers, failure._pieces) if isinstance(failure, FakeReply) else failure
    good = stream_reply(*text_events("fine")) if stream else message_reply("fine")
    upstream = FakeUpstream([failure, good])
    response = await request(gateway(upstream), "POST", PATH, ask(stream=stream))
    assert response.status == 200
    assert b"fine" in response.body
    assert response.headers["x-modelmux-attempts"] == "2"
    assert all(reply.closed for reply in upstream.replies)


@pytest.mark.parametrize(
    "pieces",
    [
        [event("error", error={"type": "overloaded_error", "message": "Overloaded"})],
        [text_events("x")[0], event("error", error={"type": "overloaded_error", "message": "Overloaded"})],
        text_events("x")[:3],
        [],
        [UpstreamBroken("reset", reply_started=True)],
        [b"data: {broken\n\n"],
    ],
    ids=["error first", "error after start", "cut before content", "empty", "reset", "garbage"],
)
async def test_a_stream_that_fails_before_content_is_tried_again(pieces: list[Any]) -> None:
    upstream = FakeUpstream([stream_reply(*pieces), stream_reply(*text_events("fine"))])
    response = await request(gateway(upstream), "POST", PATH, ask(stream=True))
    events = response.events()
    assert events[-1] == "[DONE]"
    assert [c["choices"][0]["delta"] for c in events[:-1]] == [
        {"role": "assistant", "content": ""},
        {"content": "fine"},
        {},
    ]


async def test_a_refused_token_is_renewed_once() -> None:
    upstream = FakeUpstream([google_error(401, "UNAUTHENTICATED"), message_reply()])
    await request(gateway(upstream), "POST", PATH, ask())
    assert [dict(call.headers)[b"authorization"] for call in upstream.calls] == [b"Bearer token-1", b"Bearer token-2"]


async def test_a_second_refusal_is_the_operators_problem_not_the_clients() -> None:
    upstream = FakeUpstream([google_error(401, "UNAUTHENTICATED"), google_error(401, "UNAUTHENTICATED")])
    response = await request(gateway(upstream), "POST", PATH, ask())
    assert response.status == 502
    assert response.json()["error"]["code"] == "upstream_auth_error"
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (anthropic_error(400, "invalid_request_error"), 400, None),
        (anthropic_error(400, "invalid_request_error", "prompt is too long: 1 > 0"), 400, "context_length_exceeded"),
        (google_error(403, "PERMISSION_DENIED"), 502, "upstream_auth_error"),
        (google_error(404, "NOT_FOUND"), 404, "model_not_found"),
        (anthropic_error(413, "request_too_large"), 413, "request_too_large"),
        (UpstreamTimeout("slow", clock="first_byte"), 504, "upstream_timeout"),
    ],
    ids=repr,
)
async def test_what_cannot_be_cured_is_tried_once(failure: Any, status: int, code: str | None) -> None:
    upstream = FakeUpstream([failure])
    response = await request(gateway(upstream), "POST", PATH, ask())
    assert (response.status, response.json()["error"]["code"]) == (status, code)
    assert len(upstream.calls) == 1


async def test_attempts_are_bounded_and_the_last_error_is_shown(no_waiting: list[float]) -> None:
    upstream = FakeUpstream([anthropic_error(529, "overloaded_error") for _ in range(9)])
    response = await request(gateway(upstream, retries={"max": 2}), "POST", PATH, ask())
    assert response.status == 503
    assert response.json()["error"]["message"].startswith("said so")
    assert len(upstream.calls) == 3
    assert len(no_waiting) == 2
    assert all(0 <= wait <= 1 for wait in no_waiting)


async def test_retries_can_be_switched_off() -> None:
    upstream = FakeUpstream([anthropic_error(529, "overloaded_error")])
    response = await request(gateway(upstream, retries={"max": 0}), "POST", PATH, ask())
    assert response.status == 503


async def test_another_location_is_tried_at_once(no_waiting: list[float]) -> None:
    model = {"name": "m", "model": "claude-sonnet-4-6", "locations": ["global", "eu"]}
    upstream = FakeUpstream([google_error(429, "RESOURCE_EXHAUSTED"), message_reply("from eu")])
    app = gateway(upstream, vertex={"models": [model]})
    response = await request(app, "POST", PATH, ask() | {"model": "M"})
    assert response.headers["x-modelmux-deployment"] == "m@eu"
    assert upstream.calls[1].origin.host == "aiplatform.eu.rep.googleapis.com"
    assert no_waiting == []
    assert response.json()["model"] == "M"


async def test_no_project_id_reaches_a_client() -> None:
    message = f"Publisher Model `projects/{PROJECT}/locations/global/x` not found. Project {PROJECT}."
    upstream = FakeUpstream([google_error(404, "NOT_FOUND", message)])
    response = await request(gateway(upstream), "POST", PATH, ask())
    assert PROJECT not in response.body.decode()
    assert "Publisher Model `projects/***/locations/global/x` not found." in response.json()["error"]["message"]
