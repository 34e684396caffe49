"""Token counts in the form of chat completions."""

from __future__ import annotations

from modelmux.dialects.openai_shared.token_counts import token_counts
from modelmux.wire import anthropic
from modelmux.wire.openai import chat_response


def translate_usage(usage: anthropic.Usage | None) -> chat_response.Usage:
    """OpenAI's counts, and Anthropic's of the prompt cache beside them."""
    counts = token_counts(usage)
    return chat_response.Usage(
        prompt_tokens=counts.input,
        completion_tokens=counts.output,
        total_tokens=counts.input + counts.output,
        prompt_tokens_details=chat_response.PromptTokensDetails(counts.cache_read, counts.cache_written),
        completion_tokens_details=chat_response.CompletionTokensDetails(counts.reasoning),
        cache_creation_input_tokens=counts.cache_written,
        cache_read_input_tokens=counts.cache_read,
    )
