"""Risk: a beta header of a client breaks every request on Vertex AI, or a feature is sent without the beta it needs."""

from __future__ import annotations

import pytest

from modelmux.catalog import builtin
from support.blocks import BUDGET, NEW, SONNET, USER, assistant, thinking_block, tool
from support.chat import chat

pytestmark = pytest.mark.usefixtures("no_waiting")


async def test_e53_betas_of_a_client_are_not_forwarded() -> None:
    """A client sends betas that Vertex AI rejects: none is sent, and the request has all its features."""
    headers = {"anthropic-beta": "prompt-caching-scope-2026-01-05,files-api-2025-04-14", "anthropic-version": "x"}
    got = await chat(headers=headers, tools=[tool()], reasoning_effort="low")
    assert (got.status, got.betas) == (200, None)
    assert (got.sent["thinking"]["type"], got.sent["anthropic_version"]) == ("adaptive", "vertex-2023-10-16")
    assert [t["name"] for t in got.sent["tools"]] == ["get_weather"]


async def test_e54_a_field_is_sent_with_its_beta() -> None:
    """A field that needs a beta is never sent without it, and the beta never without the field."""
    messages = [USER, assistant("Hello", thinking_blocks=[thinking_block()]), USER]
    got = await chat(model=NEW, messages=messages)
    assert got.betas == b"thinking-binding-controls-2026-08-01"
    assert "block_binding" in got.sent["thinking"]
    got = await chat(model=NEW)
    assert got.betas is None
    assert b"block_binding" not in got.upstream.calls[0].body


@pytest.mark.parametrize("model", [BUDGET, SONNET, NEW])
async def test_e92_the_beta_for_long_contexts_is_not_sent(model: str) -> None:
    """Models with a million tokens need no beta, the others accept none: the client's goes neither into a header nor
    into the body, which Vertex AI might reject."""
    got = await chat(model=model, headers={"anthropic-beta": "context-1m-2025-08-07"})
    assert (got.status, got.betas, "anthropic_beta" in got.sent) == (200, None, False)
    got = await chat(model=model, anthropic_beta=["context-1m-2025-08-07"])
    assert (got.status, got.betas, "anthropic_beta" in got.sent) == (200, None, False)
    assert got.notices == ["ignored=anthropic_beta"]


async def test_g29_unknown_betas_are_not_forwarded() -> None:
    got = await chat(headers={"anthropic-beta": "brand-new-2027-01-01,another-2026-12-31"})
    assert got.status == 200
    assert got.betas is None


async def test_g30_only_betas_of_the_model_card_are_sent() -> None:
    plain = await chat()
    assert plain.betas is None
    card = builtin().card(BUDGET)
    got = await chat(model=BUDGET, tools=[tool()], reasoning_effort="low")
    for beta in (got.betas or b"").decode().split(","):
        assert not beta or beta in str(card), "it stands in the model's card"
