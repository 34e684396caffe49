"""Beta features that a body needs, and the ``anthropic-beta`` values that turn them on."""

from __future__ import annotations

from msgspec.structs import replace

from modelmux.claude.draft import Draft
from modelmux.claude.thinking_blocks import has_thinking
from modelmux.wire.anthropic import BETA_BINDING, BlockBinding, Thinking


def apply(draft: Draft) -> None:
    """On models that bind thinking to its prefix: let them drop a block whose prefix differs, instead of failing."""
    card, body = draft.card, draft.body
    if not (card.preserved_thinking and card.known and has_thinking(body)):
        return
    thinking = body.thinking
    if thinking is None and card.thinking_default == "on":
        thinking = Thinking("adaptive")
    if thinking is not None and thinking.type == "adaptive":
        body.thinking = replace(thinking, block_binding=BlockBinding())
        draft.betas = (*draft.betas, BETA_BINDING)
