"""What an upstream reports -> disjoint counts. A count that is absent is not one of 0, but costs as much."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.cost import TokenCounts
from modelmux.wire.anthropic import Iteration, Usage, decode_iterations

#: A count above the largest context there is, and all that one reply may run in tools, is an error of the upstream.
MOST: Final = 10_000_000
#: Rounds that the totals of a reply leave out.
_EXTRA: Final = frozenset({"compaction", "advisor_message"})
#: Rounds of another model than the one that was asked.
_OF_OTHERS: Final = frozenset({"advisor_message", "fallback_message"})


class Round(Struct, frozen=True):
    """What is priced as one call.

    :param model: None for the one that was asked.
    """

    counts: TokenCounts
    model: str | None = None


def rounds_of(usage: Usage) -> tuple[list[Round], bool]:
    """What a call consists of: the rounds of its ``iterations``, else its totals. The totals leave compaction out, so
    they are only used where no round says what they consist of.

    :returns: at least one round, and whether something was not readable or absurd.
    """
    total, is_absurd = counts_of(usage)
    try:
        iterations = decode_iterations(usage)
    except msgspec.DecodeError:
        return [Round(total)], True
    if not iterations:
        return [Round(total)], is_absurd
    read = [counts_of(iteration) for iteration in iterations]
    rounds = [Round(counts, _model_of(one)) for one, (counts, _) in zip(iterations, read, strict=True)]
    if all(one.type in _EXTRA for one in iterations):
        rounds.append(Round(total))
    else:  # only the totals have these
        last = rounds[-1]
        thinking = min(total.thinking, sum(one.counts.output for one in rounds))
        counts = replace(last.counts, thinking=thinking, web_searches=total.web_searches)
        rounds[-1] = Round(counts, last.model)
    return rounds, is_absurd or any(absurd for _, absurd in read)


def _model_of(iteration: Iteration) -> str | None:
    return iteration.model if iteration.type in _OF_OTHERS else None


def counts_of(usage: Usage) -> tuple[TokenCounts, bool]:
    """The counts of one call.

    :returns: the counts, and whether one of them was absurd, and is the nearest that is not.
    """
    written, split = usage.cache_creation_input_tokens, usage.cache_creation
    long = (split.ephemeral_1h_input_tokens or 0) if split is not None else 0
    if written is None:
        written = long + ((split.ephemeral_5m_input_tokens or 0) if split is not None else 0)
    details, tools = usage.output_tokens_details, usage.server_tool_use
    counts = (
        usage.input_tokens or 0,
        written,
        long,
        usage.cache_read_input_tokens or 0,
        usage.output_tokens or 0,
        (details.thinking_tokens or 0) if details is not None else 0,
        (tools.web_search_requests or 0) if tools is not None else 0,
    )
    is_absurd = min(counts) < 0 or max(counts) > MOST
    if is_absurd:
        counts = tuple(min(max(count, 0), MOST) for count in counts)  # type: ignore[assignment]
    input, written, long, read, output, thinking, searches = counts
    if long > written:
        long = written
    return TokenCounts(
        input=input,
        cache_write=written - long,
        cache_write_1h=long,
        cache_read=read,
        output=output,
        thinking=min(thinking, output),
        web_searches=searches,
    ), is_absurd
