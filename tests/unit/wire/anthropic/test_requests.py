"""A large request is encoded as any other: only how many calls of the encoder it takes differs."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.wire.anthropic import (
    InputMessage,
    MessagesRequest,
    TextBlock,
    Tool,
    ToolUseBlock,
    encode_large_request,
    encode_request,
)
from modelmux.wire.sliced_json import TEXT_SLICE

LONG = '\n"é' * TEXT_SLICE
SHORT = InputMessage("user", [TextBlock("hi")])


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [SHORT]},
        {"messages": [InputMessage("user", [TextBlock(LONG), TextBlock("a")]), SHORT]},
        {"messages": [InputMessage("assistant", [ToolUseBlock("t", "f", {"a": [LONG, 1]})])]},
        {"messages": [SHORT], "system": [TextBlock(LONG)]},
        {"messages": [SHORT], "tools": [Tool("f", {"type": "object", "description": LONG})]},
    ],
    ids=["nothing", "text", "call", "system", "tool"],
)
def test_a_large_request_is_encoded_as_any_other(fields: dict[str, Any]) -> None:
    request = MessagesRequest("v", 9, **fields)
    assert encode_large_request(request) == encode_request(request)
