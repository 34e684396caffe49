"""Risk: a proxy or client takes a long silence for a dead connection and closes it."""

from __future__ import annotations

import pytest

from modelmux.config import Config
from modelmux.errors import UpstreamBroken
from support.asgi import request
from support.fakes import FakeUpstream, message_reply, stream_reply, text_events
from support.gateway import PATH, ask, gateway
from support.slow import SlowReply, SlowUpstream

TWO_LOCATIONS = {"models": [{"name": "m", "model": "claude-sonnet-4-6", "locations": ["global", "eu"]}]}

pytestmark = pytest.mark.virtual_time


async def test_g22_a_slow_upstream_is_bridged_and_still_retried() -> None:
    """The head and a comment are sent after the configured time, and still nothing was promised: a failure before
    content is retried."""
    late, good = SlowReply(0.2, UpstreamBroken("reset", reply_started=True)), stream_reply(*text_events("fine"))
    app = gateway(FakeUpstream([late, good]), streaming={"keep_alive_interval": "50ms"}, vertex=TWO_LOCATIONS)
    response = await request(app, "POST", PATH, ask(stream=True) | {"model": "m"})
    assert response.body.startswith(b": ping\n\n")
    assert response.events()[-1] == "[DONE]"


async def test_g24_comments_are_sent_while_the_model_thinks() -> None:
    pieces = [*text_events("a", "b")[:4], 0.2, *text_events("a", "b")[4:]]
    app = gateway(FakeUpstream([SlowReply(*pieces)]), streaming={"keep_alive_interval": "50ms"})
    response = await request(app, "POST", PATH, ask(stream=True))
    assert response.body.count(b": ping\n\n") >= 2
    assert response.events()[-1] == "[DONE]"
    assert Config().streaming.keep_alive_interval == 10, "by default, below the 60 s of common proxies"


@pytest.mark.parametrize("mode", ["standard", "buffered", "single"])
async def test_g52_comments_begin_with_the_request(mode: str) -> None:
    reply = message_reply() if mode == "single" else stream_reply(*text_events("fine"))
    app = gateway(SlowUpstream([reply], wait=0.2), streaming={"keep_alive_interval": "50ms", "mode": mode})
    response = await request(app, "POST", PATH, ask(stream=True))
    assert response.body.startswith(b": ping\n\n" * 3)
    assert response.events()[-1] == "[DONE]"
