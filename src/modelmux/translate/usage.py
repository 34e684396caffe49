"""Token counts: Anthropic's disjoint counters -> OpenAI's inclusive ones, and how the counts of a stream merge."""

from __future__ import annotations

import msgspec

from modelmux.wire import anthropic, openai_reply


def merge(earlier: anthropic.Usage | None, later: anthropic.Usage | None) -> anthropic.Usage:
    """Counts of a stream are cumulative and may leave fields out: a said value replaces, an unsaid one keeps."""
    if later is None or earlier is None:
        return later or earlier or anthropic.Usage()
    said = {name: value for name, value in msgspec.structs.asdict(later).items() if value is not None}
    details = later.output_tokens_details
    if details is not None and details.thinking_tokens is None:
        del said["output_tokens_details"]  # present, and yet says nothing
    return msgspec.structs.replace(earlier, **said)


def add(earlier: anthropic.Usage | None, later: anthropic.Usage | None) -> anthropic.Usage | None:
    """What two calls used together."""
    if earlier is None or later is None:
        return earlier or later
    thinking = [u.output_tokens_details.thinking_tokens or 0 for u in (earlier, later) if u.output_tokens_details]
    return anthropic.Usage(
        (earlier.input_tokens or 0) + (later.input_tokens or 0),
        (earlier.cache_creation_input_tokens or 0) + (later.cache_creation_input_tokens or 0),
        (earlier.cache_read_input_tokens or 0) + (later.cache_read_input_tokens or 0),
        (earlier.output_tokens or 0) + (later.output_tokens or 0),
        anthropic.OutputTokensDetails(sum(thinking)) if thinking else None,
    )


def translate_usage(usage: anthropic.Usage | None) -> openai_reply.Usage:
    """``input_tokens`` counts only what neither came from the cache nor went into it: the three add up."""
    usage = usage or anthropic.Usage()
    read = usage.cache_read_input_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    prompt = (usage.input_tokens or 0) + read + written
    completion = usage.output_tokens or 0
    details = usage.output_tokens_details
    return openai_reply.Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=openai_reply.PromptTokensDetails(cached_tokens=read, cache_write_tokens=written),
        completion_tokens_details=openai_reply.CompletionTokensDetails(
            reasoning_tokens=(details.thinking_tokens or 0) if details else 0
        ),
        cache_creation_input_tokens=written,
        cache_read_input_tokens=read,
    )
