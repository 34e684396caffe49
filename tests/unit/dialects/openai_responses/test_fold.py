"""The fold law over replies of every form: a stream tells what the message in one piece tells, whatever its events."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from modelmux.claude.fold import MessageFold, to_events
from modelmux.dialects.openai_responses.plan import ClientTool, ResponsesPlan
from modelmux.wire import anthropic
from support.responses_encoding import PLAN, checked, encoder, unary
from support.strategies import disorder, replies, streams
from support.translation import events as decode_all

TOOLS = {
    "get_weather": ClientTool("function", "weather", "tools"),
    "shell": ClientTool("custom", "shell"),
    "search": ClientTool("shell", "shell"),
}
PLANS = [
    msgspec.structs.replace(PLAN, tools=TOOLS, web_search_items=web, answer_tool=answer, strip_code_block=strip,
                            refusal_as_text=as_text, shows_encrypted=True)
    for web, answer, strip, as_text in [
        (False, None, False, False), (True, None, False, True), (True, "answer", True, False)
    ]
]  # fmt: skip
plans = st.sampled_from(PLANS)


def _is_told(events: list[anthropic.StreamEvent], plan: ResponsesPlan) -> None:
    fold, stream = MessageFold(), encoder(plan)
    raw = b""
    for event in events:
        fold.feed(event)
        raw += stream.feed(event)
    stream.ended_at = 9
    found = checked(raw + stream.finish())
    message = fold.result()
    assert found[-1]["response"] == unary(message, plan)
    again = encoder(plan)
    again.ended_at = 9
    whole = checked(b"".join(map(again.feed, to_events(message))) + again.finish())
    assert whole[-1]["response"] == found[-1]["response"]


@settings(max_examples=150, deadline=None)
@given(st.data(), replies(), plans)
def test_a_stream_tells_what_the_message_tells(data: st.DataObject, reply: dict[str, Any], plan: ResponsesPlan) -> None:
    _is_told(decode_all(*data.draw(streams(reply))), plan)


@settings(max_examples=150, deadline=None)
@given(disorder(), plans)
def test_events_out_of_order_tell_it_too(events: list[dict[str, Any]], plan: ResponsesPlan) -> None:
    _is_told([anthropic.decode_event(json.dumps(event).encode()) for event in events], plan)
