"""Anthropic's disjoint token counts -> OpenAI's inclusive ones."""

from __future__ import annotations

from modelmux.wire import anthropic
from modelmux.wire.openai import chat_response


def translate_usage(usage: anthropic.Usage | None) -> chat_response.Usage:
    """``input_tokens`` excludes tokens read from the cache and written to it, so the three are added."""
    usage = usage or anthropic.Usage()
    read = usage.cache_read_input_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    prompt = (usage.input_tokens or 0) + read + written
    completion = usage.output_tokens or 0
    details = usage.output_tokens_details
    return chat_response.Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=chat_response.PromptTokensDetails(cached_tokens=read, cache_write_tokens=written),
        completion_tokens_details=chat_response.CompletionTokensDetails(
            reasoning_tokens=(details.thinking_tokens or 0) if details else 0
        ),
        cache_creation_input_tokens=written,
        cache_read_input_tokens=read,
    )
