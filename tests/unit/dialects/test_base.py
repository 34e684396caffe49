"""The defaults of ``ReplyEncoder``: what an encoder gets that overrides only what it must."""

from __future__ import annotations

from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.reply_state import ReplyState
from modelmux.dialects.base import ReplyEncoder
from modelmux.wire.anthropic.text_delta_run import TextDeltaRun
from support.translation import events


def test_an_encoder_without_fast_paths_sends_nothing_of_its_own() -> None:
    encoder = ReplyEncoder(ReplyPlan("m"))
    assert encoder.feed_run(TextDeltaRun(0, (b"a",), 1)) is None, "the deltas are fed one by one"
    assert encoder.feed_chunk(b"data: x\n\n", ()) == b"data: x\n\n"
    assert encoder.keep_alive(5.0) == encoder.finish() == b""
    assert not encoder.content_started


def test_the_state_may_be_shared_or_is_that_of_the_plan() -> None:
    state = ReplyState()
    assert ReplyEncoder(ReplyPlan("m"), state).state is state
    encoder = ReplyEncoder(ReplyPlan("m", max_continuations=1))
    for event in events(
        {"type": "message_start", "message": {"role": "assistant", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "pause_turn"}, "usage": {}},
        {"type": "message_stop"},
    ):
        encoder.state.feed(event)
    assert encoder.state.paused
    assert encoder.continuation_turn.role == "assistant"
