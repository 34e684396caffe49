"""Risk: what follows the end of a reply changes what was recorded of it."""

from __future__ import annotations

from modelmux.claude.reply_state import ReplyState, unknown_types
from modelmux.wire.anthropic import Block, Message
from support.translation import events


def test_events_after_the_end_are_ignored() -> None:
    state = ReplyState()
    *reply, late = events(
        {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 9}},
    )
    for event in reply:
        state.feed(event)
    before = state.stop_reason, state.usage
    state.feed(late)
    assert (state.stop_reason, state.usage) == before
    assert state.usage is not None
    assert state.usage.output_tokens == 2


def test_it_thinks_from_the_beginning_of_a_block_of_thinking_to_its_end() -> None:
    state = ReplyState()
    seen = []
    for event in events(
        {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    ):
        state.feed(event)
        seen.append(state.is_thinking)
    assert seen == [False, True, True, False, False]


def test_undocumented_types_of_a_message_are_named_and_bounded() -> None:
    blocks = [Block("text", text="a"), Block("tool_use"), Block("server_tool_use"), Block("hologram"), Block("x" * 500)]
    assert unknown_types(Message(content=blocks, stop_reason="tired")) == {
        "block:hologram", f"block:{'x' * 80}", "stop_reason:tired",
    }  # fmt: skip
    assert unknown_types(Message(content=blocks[:3], stop_reason="end_turn")) == set()
    assert unknown_types(Message()) == set()
