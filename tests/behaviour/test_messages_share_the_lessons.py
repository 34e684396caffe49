"""What went wrong on the paths that are translated, on that of Anthropic Messages, whose bytes pass.

Risk: a lesson of one path is forgotten on the other.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest

from support.asgi import Response, request
from support.blocks import block_events, block_start, block_stop, delta, message_end, message_start, text
from support.chat import token_count
from support.fakes import FakeUpstream, event, message_reply, stream_reply, text_events
from support.gateway import MODEL, ask, gateway
from support.pictures import image_block

PATH = "/v1/messages"
OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
pytestmark = pytest.mark.usefixtures("no_waiting")


async def messages(upstream: FakeUpstream, settings: dict[str, Any] | None = None, **fields: Any) -> Response:
    async with aclosing(gateway(upstream, **(settings or {}))) as app:
        return await request(app, "POST", PATH, ask(**fields))


async def test_e86_thinking_inside_an_open_text_block_stays_the_models_own() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "czE="}
    pieces = [message_start(), block_start(0, text("")), delta(0, "text_delta", text="One, ")]
    pieces += [*block_events(1, thought), delta(0, "text_delta", text="two"), block_stop(0), *message_end()]
    response = await messages(FakeUpstream([stream_reply(*pieces)]), stream=True)
    assert response.body == b"".join(pieces)


async def test_e90_a_message_starts_once_though_an_attempt_has_failed_after_its_start() -> None:
    upstream = FakeUpstream([stream_reply(message_start(), OVERLOADED), stream_reply(*text_events("Hello"))])
    response = await messages(upstream, stream=True)
    assert len(upstream.calls) == 2
    assert response.body == b"".join(text_events("Hello"))


@pytest.mark.parametrize(("reply_model", "named"), [("upstream", "claude-x"), ("requested", "fast")])
async def test_e91_a_reply_names_the_model_as_it_is_set(reply_model: str, named: str) -> None:
    settings = {"vertex": {"models": [{"name": "fast", "model": MODEL}]}, "messages": {"reply_model": reply_model}}
    response = await messages(FakeUpstream([message_reply(model="claude-x")]), settings, model="fast")
    assert response.json()["model"] == named
    assert response.headers["x-modelmux-model"] == MODEL


@pytest.mark.parametrize("of_tool", [False, True])
async def test_e94_images_of_users_and_tools_are_handled_alike(of_tool: bool) -> None:
    """By data they pass as they are; a URL is read in both places, here one that Anthropic's API refuses, too."""

    def turns(image: dict[str, Any]) -> list[dict[str, Any]]:
        if not of_tool:
            return [{"role": "user", "content": [image]}]
        call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [image]}
        return [*ask()["messages"], {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]

    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    upstream = FakeUpstream([message_reply()])
    assert (await messages(upstream, messages=turns(image_block()), tools=tools)).status == 200
    assert upstream.body()["messages"] == turns(image_block())
    image = {"type": "image", "source": {"type": "url", "url": "http://images.example.com/cat.png"}}
    refused = await messages(FakeUpstream([]), messages=turns(image), tools=tools)
    assert (refused.status, "Only HTTPS URLs are supported." in refused.json()["error"]["message"]) == (400, True)


async def test_e103_an_error_after_content_is_sent_in_band_and_counted() -> None:
    upstream = FakeUpstream([stream_reply(*text_events("Hel", "lo")[:-3], OVERLOADED)])
    async with aclosing(gateway(upstream)) as app:
        response = await request(app, "POST", PATH, ask(stream=True))
        assert response.body.count(b"event: error") == 1
        assert b"message_stop" not in response.body
        assert app.metrics.health()["failed_requests"] == 1
        assert 'outcome="ok"' not in app.metrics.expose().decode()
        assert token_count(app, "input") > 0


async def test_g44_every_path_of_messages_sends_the_clients_fields() -> None:
    bodies = []
    for path in (PATH, "/messages"):
        upstream = FakeUpstream([message_reply()])
        async with aclosing(gateway(upstream)) as app:
            fields = {"temperature": 0.3, "top_k": 5, "metadata": {"user_id": "u"}, "stop_sequences": ["x"]}
            assert (await request(app, "POST", path, ask(**fields))).status == 200
        bodies.append(upstream.body())
        assert fields.items() <= upstream.body().items()
    assert bodies[0] == bodies[1]
