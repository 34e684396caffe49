"""The laws of OpenAI Responses: fold, split, grammar and ends, for every shape of reply.

The automaton of the grammar shares nothing with the encoder, and neither do the types of the openai SDK.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmux.claude.fold import to_events
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.sealed import open_thinking
from modelmux.errors import UpstreamBroken
from support.responses import (
    SEALER,
    TOOLS,
    decoded,
    decoded_message,
    folded,
    judged,
    plan,
    responses_encoder,
    sse_bytes,
    streamed,
    unary,
)  # fmt: skip
from support.responses_frames import Json
from support.responses_sdk import check_response
from support.strategies import RESPONSES_CALLS, cut, disorder, framed, replies, streams

PLANS = [
    plan(),
    plan(store=True, shows_encrypted=False),
    plan(sealer=None, refusal_as_text=True),
    plan(sends_done=True, strip_code_block=True),
    plan(answer_tool="answer"),
    plan(web_search_items=True),
    plan(tools={}),
]
#: Where calls and text are told apart; elsewhere disorder would mix them.
WITHOUT_ANSWER_TOOL = [shape for shape in PLANS if shape.answer_tool is None]
REPLIES = replies(RESPONSES_CALLS)
plans = st.sampled_from(PLANS)


def check_fold(events: list[Json], shape: ResponsesPlan) -> None:
    accepted = judged(streamed([sse_bytes(events)], shape), shape)
    body = unary(folded(events), shape)
    check_response(body)
    assert accepted.response == body


@given(st.data(), REPLIES, plans)
def test_a_stream_folds_to_the_response_in_one_piece(data: st.DataObject, reply: Json, shape: ResponsesPlan) -> None:
    """R1 and R5."""
    check_fold(data.draw(streams(reply)), shape)


@given(disorder(), st.sampled_from(WITHOUT_ANSWER_TOOL))
def test_events_that_stand_where_they_should_not(events: list[Json], shape: ResponsesPlan) -> None:
    for block in (event.get("content_block", {}) for event in events):
        if block.get("name", "") is None:  # the grammar has no call without a name
            block["name"] = "run"
    check_fold(events, shape)


@given(REPLIES, plans)
def test_a_message_as_a_stream_says_the_same(reply: Json, shape: ResponsesPlan) -> None:
    """Where the upstream sends one piece, or the mode is ``single``."""
    message = decoded_message(reply)
    encoder = responses_encoder(shape)
    raw = b"".join(map(encoder.feed, to_events(message))) + encoder.finish()
    assert judged(raw, shape).response == unary(message, shape)


@given(st.data(), REPLIES, plans)
def test_any_split_gives_the_same_bytes(data: st.DataObject, reply: Json, shape: ResponsesPlan) -> None:
    raw = data.draw(framed(data.draw(streams(reply))))
    expected = streamed([raw], shape)
    assert streamed(cut(data.draw, raw), shape) == expected
    assert streamed([raw[i : i + 1] for i in range(len(raw))], shape) == expected


@given(st.data(), REPLIES)
def test_any_split_of_a_compaction(data: st.DataObject, reply: Json) -> None:
    """It has no item before its end, and fails without a text or if the model declined."""
    shape = plan(compaction="item")
    raw = data.draw(framed(data.draw(streams(reply))))
    expected = streamed([raw], shape)
    assert streamed(cut(data.draw, raw), shape) == expected
    accepted = judged(expected, shape)
    text = "".join(block["text"] for block in reply["content"] if block["type"] == "text")
    if text.strip() and reply["stop_reason"] != "refusal":
        assert [item["type"] for item in accepted.items] == ["compaction"]
        assert accepted.response == unary(decoded_message(reply), shape)
    else:
        assert accepted.response["error"]["code"] == "server_error"


# -- R7: nothing vanishes


CUT = ("max_tokens", "model_context_window_exceeded", "pause_turn", "compaction")


@given(st.data(), REPLIES)
def test_all_of_a_reply_is_in_the_response(data: st.DataObject, reply: Json) -> None:
    """Compared with the reply itself, read without the translator."""
    shape = plan()
    accepted = judged(streamed([sse_bytes(data.draw(streams(reply)))], shape), shape)
    blocks, items = reply["content"], accepted.items
    parts = [part for item in items if item["type"] == "message" for part in item["content"]]
    written = "".join(part.get("text", "") for part in parts)
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    assert "".join(written.split()) == "".join("".join(texts).split()), "blank texts between calls vanish"
    summaries = [part["text"] for item in items if item["type"] == "reasoning" for part in item["summary"]]
    assert summaries == [b["thinking"] for b in blocks if b["type"] == "thinking" and b["thinking"]]
    runs = [open_thinking(SEALER, shape.owner, item.get("encrypted_content")) for item in items]
    sealed = [msgspec.to_builtins(block) for run in runs if run is not None for block in run.blocks]
    assert sealed == [b for b in blocks if "thinking" in b["type"] and b.get("signature", "redacted")]
    calls = [block for block in blocks if block["type"] == "tool_use"]
    assert [called(item) for item in items if "call_id" in item] == [(c["id"], c["name"]) for c in calls]
    last = blocks[-1] if blocks else {"type": "nothing"}
    if last["type"] == "tool_use" or (last["type"] == "text" and last["text"].strip()):
        is_cut = reply["stop_reason"] in CUT
        assert [item["status"] == "completed" for item in items] == [True] * (len(items) - 1) + [not is_cut]
    refusals = [part["refusal"] for part in parts if "refusal" in part]
    assert len(refusals) == (reply["stop_reason"] == "refusal")
    explanation = (reply["stop_details"] or {}).get("explanation")
    assert not explanation or refusals == [explanation]


#: Upstream names of the tools that have a namespace or a type of their own.
UPSTREAM = {(tool.name, tool.namespace): name for name, tool in TOOLS.items()}


def called(item: Json) -> tuple[str, str]:
    """Id and upstream name of a call."""
    key = (item.get("name", item["type"].removesuffix("_call")), item.get("namespace"))
    return item["call_id"], UPSTREAM.get(key, key[0])


# -- R6: ends


BROKEN = UpstreamBroken("The upstream broke off.", reply_started=True)


@settings(max_examples=50)  # of all prefixes each
@given(st.data(), REPLIES, plans)
def test_every_prefix_ends_once(data: st.DataObject, reply: Json, shape: ResponsesPlan) -> None:
    """A reply that breaks off at any place, with keep-alives at any place, ends with one failure."""
    events = data.draw(streams(reply))
    pauses = data.draw(st.dictionaries(st.integers(0, len(events)), st.sampled_from([15.0, 59.0, 61.0])))
    for end in range(len(events)):
        encoder = responses_encoder(shape)
        raw = b""
        for number, event in enumerate(events[:end]):
            raw += encoder.keep_alive(pauses[number]) if number in pauses else b""
            raw += encoder.feed(decoded(event))
        raw += encoder.keep_alive(pauses[end]) if end in pauses else b""
        raw += encoder.fail(BROKEN)
        accepted = judged(raw, shape)
        assert accepted.response["status"] == "failed"
        after = encoder.feed(decoded(events[end])), encoder.keep_alive(99.0), encoder.finish(), encoder.fail(BROKEN)
        assert after == (b"", b"", b"", b"")


@given(st.data(), REPLIES, plans)
def test_a_complete_reply_ends_once(data: st.DataObject, reply: Json, shape: ResponsesPlan) -> None:
    """With keep-alives at any place, the items are those of a stream without them."""
    events = data.draw(streams(reply))
    pauses = data.draw(st.lists(st.sampled_from([0.0, 0.0, 15.0, 61.0]), min_size=len(events), max_size=len(events)))
    encoder = responses_encoder(shape)
    raw = b""
    for event, pause in zip(events, pauses, strict=True):
        raw += encoder.keep_alive(pause) if pause else b""
        raw += encoder.feed(decoded(event))
    raw += encoder.finish()
    accepted = judged(raw, shape)
    assert accepted.response == unary(folded(events), shape)
    assert encoder.fail(BROKEN) + encoder.finish() + encoder.keep_alive(99.0) == b""


@given(st.data(), REPLIES, REPLIES, plans)
def test_another_attempt_takes_the_place_of_one_without_content(
    data: st.DataObject, failed: Json, reply: Json, shape: ResponsesPlan
) -> None:
    """What keep-alives have sent stays; the rest is that of the attempt that succeeded."""
    first = responses_encoder(shape)
    raw = first.keep_alive(15.0) if data.draw(st.booleans()) else b""
    for event in data.draw(streams(failed))[:-1]:
        held = first.feed(decoded(event))
        if first.content_started:
            break
        assert not held, "nothing is made before there is content"
        if data.draw(st.booleans()):
            raw += first.keep_alive(30.0)
    else:
        first.content_started = False
    if first.content_started:
        return
    second = first.restart(shape)
    second.ended_at = first.ended_at
    events = data.draw(streams(reply))
    for event in events:
        raw += second.feed(decoded(event))
    raw += second.finish()
    assert judged(raw, shape).response == unary(folded(events), shape)


@given(st.data(), REPLIES, REPLIES)
def test_a_paused_reply_is_continued_in_one_response(data: st.DataObject, paused: Json, reply: Json) -> None:
    shape = plan(max_continuations=1, web_search_items=True)
    paused["stop_reason"], paused["stop_details"] = "pause_turn", None
    for block in reply["content"]:
        if block["type"] == "tool_use":
            block["id"] += "_2"
    encoder = responses_encoder(shape)
    raw = b"".join(encoder.feed(decoded(event)) for event in data.draw(streams(paused)))
    assert encoder.state.paused
    second = encoder.restart(shape)
    second.ended_at = encoder.ended_at
    raw += b"".join(second.feed(decoded(event)) for event in data.draw(streams(reply)))
    if second.state.paused:  # the gateway continues no more
        return
    accepted = judged(raw + second.finish(), shape)
    both = paused["content"] + reply["content"]
    calls = [block["id"] for block in both if block["type"] == "tool_use"]
    assert [item["call_id"] for item in accepted.items if "call_id" in item] == calls


@pytest.mark.parametrize("store", [True, False])
def test_what_could_not_be_stored_is_told_at_the_end(store: bool) -> None:
    shape = plan(store=store)
    encoder = responses_encoder(shape)
    message: dict[str, Any] = {"content": [], "stop_reason": "end_turn", "usage": {}}
    raw = b"".join(map(encoder.feed, to_events(decoded_message(message))))
    encoder.not_stored()
    accepted = judged(raw + encoder.finish(), shape)
    assert accepted.events[0]["response"]["store"] is store
    assert accepted.response["store"] is False
