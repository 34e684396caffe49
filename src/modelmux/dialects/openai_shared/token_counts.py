"""Anthropic's disjoint token counts -> OpenAI's inclusive ones."""

from __future__ import annotations

from typing import NamedTuple

from modelmux.wire import anthropic


class TokenCounts(NamedTuple):
    """:param input: includes those read from the prompt cache and those written to it."""

    input: int
    cache_read: int
    cache_written: int
    output: int
    reasoning: int


def token_counts(usage: anthropic.Usage | None) -> TokenCounts:
    """``input_tokens`` excludes tokens read from the cache and written to it, so the three are added."""
    usage = usage or anthropic.Usage()
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    details = usage.output_tokens_details
    return TokenCounts(
        (usage.input_tokens or 0) + read + written,
        read,
        written,
        usage.output_tokens or 0,
        (details.thinking_tokens or 0) if details else 0,
    )
