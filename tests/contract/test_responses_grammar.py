"""The automaton of streamed responses: it accepts what OpenAI sends, and nothing that differs from it by one event."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from support.recordings import responses_exchanges
from support.responses_frames import OPENAI, GrammarError, Json, frames
from support.responses_grammar import check
from support.responses_mutations import MUTATIONS, Mutation, raw

#: Recorded streams that are not OpenAI's, or not in today's form, with the reason.
NOT_COVERED = {
    "rsp-openai-shell-container-1-9fae29": "texts were shortened by hand",
    "rsp-programmatic-tool-calling-1-139ebb": "a call of a program stays in progress for ever",
    "rsp-providers-bedrock-mantle-responses-chat-streams-through-the-resp-8e10c9": "another server: unnamed frames",
    "rsp-test-background-mode-streaming-starting-after-vcr-44363a": "a replay from its second event on",
    "rsp-test-deepseek-responses-function-tool-stream-43615b": "another server: ids, reasoning text",
    "rsp-test-deepseek-responses-function-tool-stream-65f804": "another server: ids",
    "rsp-test-image-generation-streaming-7f7c29": "of June 2025: no logprobs",
    "rsp-test-openai-responses-raw-cot-stream-openrouter-dc954b": "another server: unnamed frames",
    "rsp-v1-response-tools-stream-a881a5": "of May 2025: no sequence numbers",
}
#: At most so many places of a recording are changed in each way: some have hundreds of deltas.
PLACES = 40


def covered() -> list[Any]:
    return [param for param in responses_exchanges("sse") if param.id not in NOT_COVERED]


@pytest.mark.parametrize("exchange", covered())
def test_it_accepts_the_streams_of_openai(exchange: dict[str, Any]) -> None:
    accepted = check(exchange["response"]["sse"].encode(), OPENAI)
    assert accepted.events[0]["type"] == "response.created"
    assert accepted.response["id"] == accepted.events[0]["response"]["id"]


@pytest.mark.parametrize("exchange", [param for param in responses_exchanges("sse") if param.id in NOT_COVERED])
def test_it_rejects_what_is_not_covered(exchange: dict[str, Any]) -> None:
    with pytest.raises(GrammarError):
        check(exchange["response"]["sse"].encode(), OPENAI)


def mutated(events: list[Json], mutate: Mutation) -> Iterator[tuple[int, list[Json]]]:
    places = list(range(len(events)))
    if len(places) > PLACES:
        places = sorted(random.Random(1).sample(places[3:-3], PLACES - 6)) + places[:3] + places[-3:]
    for at in places:
        result = mutate(events, at)
        if result is not None:
            yield at, result


@pytest.mark.parametrize("mutate", MUTATIONS)
@pytest.mark.parametrize("exchange", covered())
def test_it_rejects_a_stream_that_differs_by_one_event(exchange: dict[str, Any], mutate: Mutation) -> None:
    events, _ = frames(exchange["response"]["sse"].encode())
    check(raw(events), OPENAI)
    accepted = [at for at, result in mutated(events, mutate) if not _rejected(result)]
    assert accepted == []


def _rejected(events: list[Json]) -> bool:
    try:
        check(raw(events), OPENAI)
    except GrammarError:
        return True
    return False
