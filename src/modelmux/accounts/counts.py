"""What an upstream reports -> disjoint counts. A count that is absent is not one of 0, but costs as much."""

from __future__ import annotations

from typing import Final

from modelmux.accounts.cost import TokenCounts
from modelmux.wire.anthropic import Usage

#: A count above the largest context there is, and all that one reply may run in tools, is an error of the upstream.
MOST: Final = 10_000_000


def counts_of(usage: Usage) -> tuple[TokenCounts, bool]:
    """The counts of one call.

    :returns: the counts, and whether one of them was absurd, and is the nearest that is not.
    """
    written = usage.cache_creation_input_tokens
    split, details, tools = usage.cache_creation, usage.output_tokens_details, usage.server_tool_use
    for_an_hour = split.ephemeral_1h_input_tokens if split is not None else None
    for_minutes = split.ephemeral_5m_input_tokens if split is not None else None
    if written is None:
        written = (for_an_hour or 0) + (for_minutes or 0)
    reported = (
        usage.input_tokens,
        written,
        for_an_hour,
        usage.cache_read_input_tokens,
        usage.output_tokens,
        details.thinking_tokens if details is not None else None,
        tools.web_search_requests if tools is not None else None,
    )
    input, written, long, read, output, thinking, searches = counts = [_sane(count) for count in reported]
    long = min(long, written)
    return TokenCounts(
        input=input,
        cache_write=written - long,
        cache_write_1h=long,
        cache_read=read,
        output=output,
        thinking=min(thinking, output),
        web_searches=searches,
    ), any(count != (said or 0) for count, said in zip(counts, reported, strict=True))


def _sane(count: int | None) -> int:
    return min(max(count or 0, 0), MOST)
