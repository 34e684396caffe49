"""Lengths: ``max_tokens`` against the model's cap, the prompt against its context window (anthropic-vertex.md 2)."""

from __future__ import annotations

from modelmux.emulator.call import EmulatedCall
from modelmux.emulator.errors import invalid_request
from modelmux.emulator.model_facts import is_4_5_or_newer


def check_lengths(call: EmulatedCall, prompt_tokens: int) -> None:
    """Check ``max_tokens`` and the length of the prompt.

    :raises ApiError: one of them is too large.
    """
    card, max_tokens = call.card, int(call.body["max_tokens"])
    if max_tokens > card.max_output:
        raise invalid_request(
            f"max_tokens: {max_tokens} > {card.max_output}, which is the maximum allowed number of output tokens for "
            f"{call.first_party_id}"
        )
    window = call.context_window
    if prompt_tokens > window:
        raise invalid_request(f"prompt is too long: {prompt_tokens} tokens > {window} maximum")
    if not is_4_5_or_newer(card) and prompt_tokens + max_tokens > window:
        raise invalid_request(
            f"input length and `max_tokens` exceed context limit: {prompt_tokens} + {max_tokens} > "
            f"{window}, decrease input length or `max_tokens` and try again"
        )
