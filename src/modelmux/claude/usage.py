"""Token counts of a reply: merging those of a stream, adding those of several calls."""

from __future__ import annotations

import msgspec

from modelmux.wire import anthropic


def merge(earlier: anthropic.Usage | None, later: anthropic.Usage | None) -> anthropic.Usage:
    """Counts of a stream are cumulative and may omit fields: a present value replaces the earlier one."""
    if later is None or earlier is None:
        return later or earlier or anthropic.Usage()
    present = {name: value for name, value in msgspec.structs.asdict(later).items() if value is not None}
    details = later.output_tokens_details
    if details is not None and details.thinking_tokens is None:
        del present["output_tokens_details"]  # present but empty
    return msgspec.structs.replace(earlier, **present)


def add(earlier: anthropic.Usage | None, later: anthropic.Usage | None) -> anthropic.Usage | None:
    """The sum of the counts of two calls."""
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
