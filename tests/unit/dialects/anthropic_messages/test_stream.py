"""Risk: an error event that is two events or none, a model name that is changed elsewhere than in the reply's head.
Streams as a whole are played in ``tests/unit/gateway/test_prepare_native.py``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.dialects.registry import ANTHROPIC_MESSAGES
from modelmux.errors import UpstreamBroken
from modelmux.providers.vertex_claude.provider import VertexClaude
from modelmux.routing.model import Deployment
from modelmux.wire import anthropic, sse

MESSAGE = anthropic.decode_message(b'{"id":"m"}')
HERE = Deployment("a", "u", "acme-prod", "eu", builtin().cards[0])


def encoder(plan: ReplyPlan = ReplyPlan("asked")) -> Any:  # noqa: B008
    return ANTHROPIC_MESSAGES.encoder(plan, id="1", created=1, request_id="req_1")


@pytest.mark.parametrize("indent", ["\n", "\r\n", "\r"])
def test_an_error_is_one_event_however_its_json_is_written(indent: str) -> None:
    body = indent.join(['{"type":"error",', ' "error":{"type":"api_error","message":"a  b"}}']).encode()
    data = encoder().fail(VertexClaude().error(500, [], body, HERE))
    (event,) = sse.SSEDecoder().feed(data)
    assert (event.name, json.loads(event.data)) == (b"error", json.loads(body))
    (event,) = sse.SSEDecoder().feed(encoder().fail(UpstreamBroken("cut", reply_started=True)))
    assert json.loads(event.data)["request_id"] == "req_1"


def test_a_message_is_its_bytes_or_has_the_requested_model() -> None:
    body = b'{ "id":"m", "model" : "claude-x", "new":1.0 }'
    assert encoder().message(MESSAGE, body) == body
    assert encoder(ReplyPlan("asked", rename_model=True)).message(MESSAGE, body) == body.replace(b"claude-x", b"asked")


def test_a_restarted_encoder_has_seen_nothing() -> None:
    first = encoder()
    first.feed_chunk(b"x", [anthropic.StreamEvent("content_block_start")])
    again = first.restart(ReplyPlan("other"))
    assert (first.content_started, again.content_started, again.plan.model) == (True, False, "other")
    assert again.finish() == b""
