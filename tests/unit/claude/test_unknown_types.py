"""News of a reply: each kind nobody knows is named once, shortened, and what is known is none."""

from __future__ import annotations

import json

from modelmux.claude import unknown_types
from modelmux.wire.anthropic import decode_message


def test_what_is_known_is_no_news() -> None:
    kinds = ["text", "tool_use", "thinking", "redacted_thinking", "server_tool_use", "web_search_tool_result"]
    assert [unknown_types.unknown_block(kind) for kind in kinds] == [set()] * len(kinds)
    for reason in (None, "", "end_turn", "tool_use", "refusal"):
        assert unknown_types.unknown_stop_reason(reason) == set()


def test_what_is_not_known_is_named_and_bounded() -> None:
    assert unknown_types.unknown_block("hologram") == {"block:hologram"}
    assert unknown_types.unknown_stop_reason("bedtime") == {"stop_reason:bedtime"}
    assert unknown_types.unknown_block("x" * 500) == {"block:" + "x" * 80}
    assert unknown_types.unknown_stop_reason("x" * 500) == {"stop_reason:" + "x" * 80}


def test_a_whole_reply_tells_all_of_it() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "hologram"}, {"type": "hologram"}]
    raw = {"type": "message", "content": content, "stop_reason": "bedtime"}
    message = decode_message(json.dumps(raw).encode())
    unknown = unknown_types.unknown_in_reply(message.content, message.stop_reason)
    assert unknown == {"block:hologram", "stop_reason:bedtime"}
    assert unknown_types.unknown_in_reply(None, None) == set()
