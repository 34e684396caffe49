"""The automaton of streamed responses and what this project sends: streams as the contract describes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.responses_contract import (
    BROKEN,
    CALL_DONE,
    CALL_EVENTS,
    CUT,
    CUT_CALL,
    REFUSAL_EVENTS,
    REFUSED,
    REPEATED,
    RIGHT,
    USAGE,
    response,
    stream,
)  # fmt: skip
from support.responses_frames import OURS, GrammarError, Json, Rules
from support.responses_grammar import check
from support.responses_mutations import MUTATIONS, Mutation, raw, renumbered, truncate


@pytest.mark.parametrize("name", RIGHT)
def test_it_accepts_streams_of_the_contract(name: str) -> None:
    check(raw(RIGHT[name]))
    assert check(b": ping\n\n" + raw(RIGHT[name])).comments == 1
    check(raw(RIGHT[name]) + b"data: [DONE]\n\n", Rules(ends_with_done=True))


def change(events: list[Json], at: int, **fields: Any) -> list[Json]:
    """Other fields in the response of one event."""
    changed = {**events[at], "response": {**events[at]["response"], **fields}}
    return [event if event is not events[at] else changed for event in events]


LACKING = {name: value for name, value in response().items() if name != "user"}
WRONG = {
    "another id at the end": change(stream(), -1, id="resp_2"),
    "another model at the end": change(stream(), -1, model="n"),
    "another temperature in the middle": change(stream(), 1, temperature=0.5),
    "null for a number": change(stream(), 0, top_p=None),
    "output too early": change(stream(), 1, output=[REFUSED]),
    "usage too early": change(stream(), 1, usage=USAGE),
    "no usage": change(stream(), -1, usage=None),
    "a wrong sum": change(stream(), -1, usage=USAGE | {"total_tokens": 8}),
    "an item lost at the end": stream(*REFUSAL_EVENTS),
    "an item invented at the end": stream(items=[REFUSED]),
    "a completed response with an incomplete item": stream(*CALL_EVENTS, CALL_DONE, items=[CUT_CALL]),
    "an incomplete response without a reason": stream(end="incomplete"),
    "an incomplete response with an open item": stream(*CALL_EVENTS, end="incomplete", **CUT),
    "a failed response with an unfinished item": stream(*CALL_EVENTS, end="failed", items=[CUT_CALL], **BROKEN),
    "an unknown error code": stream(end="failed", error=BROKEN["error"] | {"code": "overloaded"}),
    "an error in a completed response": stream(**BROKEN),
    "an empty delta": stream(*CALL_EVENTS[:2], CALL_EVENTS[2] | {"delta": ""}, *CALL_EVENTS[2:], CALL_DONE,
                             end="incomplete", items=[CUT_CALL], **CUT),
    "a key that is missing": [{**stream()[0], "response": LACKING}, *stream()[1:]],
    "a failure before the beginning": stream(end="failed", **BROKEN)[-1:],
    "a top-level error": [*stream()[:-1], {**stream()[-1], "error": {"message": "?"}}],
    "an error event": renumbered([*stream()[:2], {"type": "error", "message": "?"}, stream(end="failed", **BROKEN)[2]]),
    "an item of an unknown type": stream({"type": "response.output_item.added", "output_index": 0,
                                          "item": {"type": "program", "id": "p_1"}}),
    "one id for two items": stream(*REFUSAL_EVENTS, *(e | {"output_index": 1} for e in REFUSAL_EVENTS),
                                   items=[REFUSED, REFUSED]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_it_rejects_what_the_contract_forbids(name: str) -> None:
    with pytest.raises(GrammarError):
        check(raw(WRONG[name]))


FRAMES: dict[str, Callable[[bytes], bytes]] = {
    "no name": lambda raw: raw.replace(b"event: response.created\n", b""),
    "another name": lambda raw: raw.replace(b"event: response.created\n", b"event: response.creating\n"),
    "an id": lambda raw: raw.replace(b"\ndata", b"\nid: 1\ndata", 1),
    "two lines of data": lambda raw: raw.replace(b"\n\n", b"\ndata: {}\n\n", 1),
    "an open frame": lambda raw: raw[:-1],
    "[DONE]": lambda raw: raw + b"data: [DONE]\n\n",
    "a comment in a frame": lambda raw: b": ping\n" + raw,
}


@pytest.mark.parametrize("name", FRAMES)
def test_it_rejects_other_frames(name: str) -> None:
    with pytest.raises(GrammarError):
        check(FRAMES[name](raw(stream())))


@pytest.mark.parametrize("mutate", MUTATIONS)
@pytest.mark.parametrize("name", ["empty", "refusal", "cut"])
def test_it_rejects_a_stream_that_differs_by_one_event(name: str, mutate: Mutation) -> None:
    events = RIGHT[name]
    repeated = {at for at in range(2, len(events)) if events[at]["type"] == REPEATED["type"]}
    free = set() if mutate is truncate else repeated | {at - 1 for at in repeated}
    changes = {at: mutate(events, at) for at in range(len(events)) if at not in free}
    assert [at for at, result in changes.items() if result is not None and accepts(result)] == []


def accepts(events: list[Json]) -> bool:
    try:
        check(raw(events), OURS)
    except GrammarError:
        return False
    return True
