"""Risk: a budget in Anthropic's own form is changed into another, or into an effort that nobody asked for."""

from __future__ import annotations

import pytest

from support.asgi import request
from support.fakes import FakeUpstream, message_reply
from support.gateway import PATH, ask, gateway


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "claude-opus-4-6", "claude-opus-4-5", "claude-sonnet-4-5"])
@pytest.mark.parametrize("budget", [1024, 5000, 16_000, 31_999])
@pytest.mark.parametrize("strict", [False, True])
async def test_a_budget_that_the_model_takes_is_sent_as_it_is(model: str, budget: int, strict: bool) -> None:
    upstream = FakeUpstream([message_reply()])
    thinking = {"type": "enabled", "budget_tokens": budget}
    body = {**ask(), "model": model, "max_tokens": 32_000, "thinking": thinking}
    headers = {"x-modelmux-strict": "true"} if strict else {}
    app = gateway(upstream, vertex={"models": [{"name": model, "model": model}]}, server={"strict": strict})
    response = await request(app, "POST", PATH, body, headers)
    assert response.status == 200, response.body
    sent = upstream.body()
    assert sent["thinking"] == thinking
    assert "output_config" not in sent
    assert "reasoning" not in response.headers.get("x-modelmux-notices", "")
