"""Token counts are money: merged and not summed within a call, summed over calls, null is not zero (E16, E17)."""

from __future__ import annotations

import msgspec
import pytest

from modelmux.claude.usage import add, merge
from modelmux.dialects.openai_chat.usage import translate_usage
from modelmux.wire.anthropic import CacheCreation, OutputTokensDetails, ServerToolUse, Usage

THOUGHT = OutputTokensDetails(7)
UNSAID = OutputTokensDetails(None)
SPLIT = CacheCreation(5, 4)
ROUNDS = msgspec.Raw(b"[]")
MERGES: list[tuple[Usage | None, Usage | None, Usage]] = [
    (None, None, Usage()),
    (Usage(1, 2, 3, 4), None, Usage(1, 2, 3, 4)),
    (None, Usage(output_tokens=4), Usage(output_tokens=4)),
    (Usage(10, 2, 3, 1), Usage(output_tokens=9), Usage(10, 2, 3, 9)),
    (Usage(10, None, 3, 1), Usage(12, 0, None, 2), Usage(12, 0, 3, 2)),
    (Usage(10, 5, 5, 9), Usage(0, 0, 0, 0), Usage(0, 0, 0, 0)),
    (Usage(output_tokens_details=THOUGHT), Usage(), Usage(output_tokens_details=THOUGHT)),
    (Usage(output_tokens_details=THOUGHT), Usage(output_tokens_details=UNSAID), Usage(output_tokens_details=THOUGHT)),
    (Usage(output_tokens_details=UNSAID), Usage(output_tokens_details=THOUGHT), Usage(output_tokens_details=THOUGHT)),
    (Usage(cache_creation=SPLIT), Usage(cache_creation=CacheCreation()), Usage(cache_creation=SPLIT)),
    (Usage(cache_creation=SPLIT), Usage(cache_creation=CacheCreation(7)), Usage(cache_creation=CacheCreation(7, 4))),
    (
        Usage(server_tool_use=ServerToolUse(2)),
        Usage(server_tool_use=ServerToolUse()),
        Usage(server_tool_use=ServerToolUse(2)),
    ),
    (Usage(1, iterations=ROUNDS), Usage(output_tokens=2), Usage(1, output_tokens=2, iterations=ROUNDS)),
    (Usage(1), Usage(output_tokens=2, iterations=ROUNDS), Usage(1, output_tokens=2, iterations=ROUNDS)),
]


@pytest.mark.parametrize(("earlier", "later", "expected"), MERGES)
def test_a_later_count_replaces_and_an_unsaid_one_keeps(
    earlier: Usage | None, later: Usage | None, expected: Usage
) -> None:
    assert merge(earlier, later) == expected


def test_merging_changes_neither_of_the_two() -> None:
    earlier, later = Usage(1, 2, 3, 4, THOUGHT), Usage(output_tokens=9, output_tokens_details=UNSAID)
    merge(earlier, later)
    assert (earlier, later) == (Usage(1, 2, 3, 4, THOUGHT), Usage(output_tokens=9, output_tokens_details=UNSAID))


SUMS: list[tuple[Usage | None, Usage | None, Usage | None]] = [
    (None, None, None),
    (Usage(1), None, Usage(1)),
    (None, Usage(1), Usage(1)),
    (Usage(1, 2, 3, 4), Usage(10, 20, 30, 40), Usage(11, 22, 33, 44)),
    (Usage(1), Usage(output_tokens=4), Usage(1, 0, 0, 4)),
    (Usage(output_tokens_details=THOUGHT), Usage(), Usage(0, 0, 0, 0, OutputTokensDetails(7))),
    (Usage(output_tokens_details=UNSAID), Usage(output_tokens_details=THOUGHT), Usage(0, 0, 0, 0, THOUGHT)),
]


@pytest.mark.parametrize(("earlier", "later", "expected"), SUMS)
def test_two_calls_add_up(earlier: Usage | None, later: Usage | None, expected: Usage | None) -> None:
    assert add(earlier, later) == expected


def test_the_prompt_includes_what_came_from_the_cache_and_what_went_into_it() -> None:
    assert msgspec.to_builtins(translate_usage(Usage(10, 200, 3000, 40, OutputTokensDetails(30)))) == {
        "prompt_tokens": 3210,
        "completion_tokens": 40,
        "total_tokens": 3250,
        "prompt_tokens_details": {"cached_tokens": 3000, "cache_write_tokens": 200},
        "completion_tokens_details": {"reasoning_tokens": 30},
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 3000,
    }


@pytest.mark.parametrize("usage", [None, Usage(), Usage(output_tokens_details=UNSAID)])
def test_counts_nobody_said_are_zero_in_the_end(usage: Usage | None) -> None:
    plain = msgspec.to_builtins(translate_usage(usage))
    assert (plain["prompt_tokens"], plain["completion_tokens"], plain["total_tokens"]) == (0, 0, 0)
    assert plain["completion_tokens_details"] == {"reasoning_tokens": 0}


def test_details_that_only_come_later_are_taken() -> None:
    later = Usage(output_tokens=5, output_tokens_details=OutputTokensDetails(3))
    assert merge(Usage(input_tokens=7), later).output_tokens_details == OutputTokensDetails(3)
