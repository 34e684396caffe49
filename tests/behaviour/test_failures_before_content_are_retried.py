"""Risk: a client sees an error, before any content, that another attempt would have cured."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.errors import UpstreamBroken
from support.asgi import request
from support.blocks import SONNET, Json, message_start, reply_of, text
from support.chat import chat
from support.fakes import FakeUpstream, error_reply, event, message_reply, quota_exceeded, stream_reply, text_events
from support.gateway import PATH, ask, gateway

pytestmark = pytest.mark.usefixtures("no_waiting")

OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})


TWO_LOCATIONS_CONFIG = {"vertex": {"models": [{"name": "m", "model": SONNET, "locations": ["global", "eu"]}]}}


@pytest.mark.parametrize("settings", [{}, TWO_LOCATIONS_CONFIG], ids=["same place", "other place"])
async def test_e9_overload_before_content_is_retried(settings: Json) -> None:
    """A 200 stream that only says "Overloaded": retried, on another deployment if there is one; the client sees one
    stream."""
    model = "m" if settings else SONNET
    replies = [stream_reply(message_start(), OVERLOADED), stream_reply(*text_events("fine"))]
    got = await chat(*replies, settings=dict(settings), model=model, stream=True)
    assert got.message["content"] == "fine"
    assert [piece["role"] for piece in got.deltas if "role" in piece] == ["assistant"]
    assert b"error" not in got.response.body
    hosts = [call.origin.host for call in got.upstream.calls]
    second = "aiplatform.eu.rep.googleapis.com" if settings else "aiplatform.googleapis.com"
    assert hosts == ["aiplatform.googleapis.com", second]


UNAUTHENTICATED = {"error": {"code": 401, "message": "Invalid token", "status": "UNAUTHENTICATED"}}


@pytest.mark.parametrize("stream", [False, True])
async def test_e59_rejected_google_token_is_renewed_once(stream: bool) -> None:
    """Google rejects a token before it expires: one new token, one more attempt; if that fails too, a 502 and not a
    401, which clients take for their own key."""
    got = await chat(error_reply(401, UNAUTHENTICATED), reply_of(text("Fine."), stream=stream), stream=stream)
    assert got.message["content"] == "Fine."
    keys = [dict(call.headers)[b"authorization"] for call in got.upstream.calls]
    assert keys == [b"Bearer token-1", b"Bearer token-2"]
    got = await chat(*(error_reply(401, UNAUTHENTICATED) for _ in range(4)), stream=stream)
    assert (got.status, got.error["code"], len(got.upstream.calls)) == (502, "upstream_auth_error", 2)
    assert got.response.headers["x-should-retry"] == "false"


OVERLOADED_ERROR: Json = {"type": "overloaded_error", "message": "Overloaded"}


@pytest.mark.usefixtures("no_waiting")
async def test_e103_error_before_content_is_retried_or_has_a_status() -> None:
    """Nothing was promised to the client yet; each such call counts against its deployment."""
    early = [message_start(), event("error", error=OVERLOADED_ERROR)]
    got = await chat(stream_reply(*early), reply_of(text("Hello"), stream=True), stream=True)
    assert (got.message["content"], len(got.upstream.calls)) == ("Hello", 2)
    assert 'result="overloaded"} 1.0' in got.app.metrics.expose().decode()
    got = await chat(*[stream_reply(*early) for _ in range(9)], stream=True)
    assert (got.status, got.response.headers["content-type"]) == (503, "application/json")
    assert "Overloaded" in got.error["message"]


async def test_g3_client_does_not_see_a_rejected_google_token() -> None:
    refused = error_reply(401, {"error": {"code": 401, "message": "expired", "status": "UNAUTHENTICATED"}})
    upstream = FakeUpstream([refused, message_reply("fine")])
    response = await request(gateway(upstream), "POST", PATH, ask())
    assert response.status == 200
    used = [dict(call.headers)[b"authorization"] for call in upstream.calls]
    assert used == [b"Bearer token-1", b"Bearer token-2"]


TWO_LOCATIONS = {"models": [{"name": "m", "model": "claude-sonnet-4-6", "locations": ["global", "eu"]}]}


async def test_g5_exhausted_location_is_left_at_once_for_another(no_waiting: list[float]) -> None:
    upstream = FakeUpstream([quota_exceeded(), message_reply("from elsewhere")])
    app = gateway(upstream, vertex=TWO_LOCATIONS)
    response = await request(app, "POST", PATH, ask() | {"model": "m"})
    assert response.status == 200
    assert len({call.origin.host for call in upstream.calls}) == 2
    assert not no_waiting


@pytest.mark.parametrize("stream", [False, True])
async def test_g17_overload_inside_a_stream_is_retried_before_content(stream: bool, no_waiting: list[float]) -> None:
    first = stream_reply(message_start(), OVERLOADED)
    fields = {"stream": True} if stream else {"max_tokens": 60_000}
    got = await chat(first, reply_of(text("fine"), stream=True), **fields)
    assert got.status == 200
    assert got.message["content"] == "fine"
    assert got.response.headers["x-modelmux-attempts"] == "2"


@pytest.mark.parametrize(
    "pieces", [[], [message_start()], [UpstreamBroken("reset", reply_started=True)], [b"data: {\n\n"]]
)
async def test_g18_reading_the_first_event_is_part_of_the_attempt(pieces: list[Any], no_waiting: list[float]) -> None:
    got = await chat(stream_reply(*pieces), reply_of(text("fine"), stream=True), stream=True)
    assert got.message["content"] == "fine"
