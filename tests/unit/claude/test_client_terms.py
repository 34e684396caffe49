"""Risk: a place of the upstream's request is told as if it were the client's, or as another one of the client's."""

from __future__ import annotations

import pytest

from modelmux.claude.client_terms import in_client_terms
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.request import ClaudeRequest, FieldNames, Origins
from modelmux.wire.anthropic import (
    Base64Source,
    ImageBlock,
    InputMessage,
    MessagesRequest,
    TextBlock,
    ThinkingBlock,
    Tool,
    ToolResultBlock,
    ToolUseBlock,
    URLSource,
    WebSearch,
)

FIRST, SECOND = TextBlock("one"), TextBlock("two")
REMOTE = ImageBlock(URLSource("https://example.com/a.png"))
EMBEDDED = ImageBlock(Base64Source("image/png", "AAAA"))
CALL, RESULT = ToolUseBlock("c_1", "t_1", {}), ToolResultBlock("c_1", "done")
ADDED = TextBlock("added by the gateway")
BODY = MessagesRequest(
    anthropic_version="vertex-2023-10-16",
    max_tokens=9,
    messages=[
        InputMessage("user", [FIRST, SECOND, EMBEDDED]),
        InputMessage("assistant", [ThinkingBlock("t", "s"), CALL]),
        InputMessage("user", [RESULT, ADDED]),
        InputMessage("assistant", [ADDED]),
        InputMessage("user", [ToolResultBlock("c_2", "added")]),
    ],
    tools=[Tool("t_1", {}), WebSearch("web_search"), Tool("answer", {})],
)
FIELDS = FieldNames(
    max_tokens=("max_completion_tokens",), tools={"t_1": "tools.4.function"}, tool_schema="parameters",
    answer_format="response_format", answer_schema="response_format.json_schema.schema",
    web_search="web_search_options",
)  # fmt: skip
ORIGINS = Origins((
    (FIRST, "messages.1"), (SECOND, "messages.2"), (REMOTE, "messages.2"), (CALL, "messages.3.tool_calls.0"),
    (RESULT, "messages.4"),
))  # fmt: skip
PLACES = [
    ("tools.0.custom.input_schema: x", "tool 'Ünicode' (tools.4.function.parameters): x",
     "tools.4.function.parameters"),
    ("tools.0: x", "tool 'Ünicode' (tools.4.function): x", "tools.4.function"),
    ("tools.1.name: x", "the web search (web_search_options): x", "web_search_options"),
    ("tools.2.custom.input_schema: x", "the format of the answer (response_format.json_schema.schema): x",
     "response_format.json_schema.schema"),
    ("tools.3: x", "tools.3: x", None),
    ("messages.0.content.1.text: x", "messages.2: x", "messages.2"),
    ("messages.0.content.2.image.source: x", "the image in messages.2: x", "messages.2"),
    ("messages.1.content.0.thinking: x", "the content of a message (messages): x", "messages"),
    ("messages.1.content.1.tool_use: x", "tool call 'own' (messages.3.tool_calls.0): x", "messages.3.tool_calls.0"),
    ("messages.2.content.0.tool_result: x", "the result of tool call 'own' (messages.4): x", "messages.4"),
    ("messages.4.content.0: x", "the result of tool call 'c_2': x", None),
    ("messages.0: x", "messages.1: x", "messages.1"),
    ("messages.0.role: x", "messages.1: x", "messages.1"),
    ("messages.3: x", "messages: x", "messages"),
    ("messages.9: x", "messages.9: x", None),
    ("messages.0.content.9: x", "messages.0.content.9: x", None),
    ("max_tokens: 9 > 8", "max_completion_tokens: 9 > 8", "max_completion_tokens"),
    ("output_config.format: x", "response_format: x", "response_format"),
    ("output_config.format.schema: x", "response_format.json_schema.schema: x", "response_format.json_schema.schema"),
    ("no place", "no place", None),
]  # fmt: skip


@pytest.mark.parametrize(("message", "expected", "param"), PLACES)
def test_places_are_the_clients(message: str, expected: str, param: str | None) -> None:
    request = ClaudeRequest(BODY, fields=FIELDS, client_ids={"c_1": "own"}, origins=ORIGINS)
    plan = ReplyPlan("m", tool_names={"t_1": "Ünicode"})
    assert in_client_terms(message, request, BODY, plan) == (expected, param)


def test_what_is_not_known_is_not_guessed() -> None:
    request = ClaudeRequest(BODY, fields=FieldNames(max_tokens=()))
    told = in_client_terms("messages.0.content.2.image: x", request, BODY, ReplyPlan("m"))
    assert told == ("the image of a message (messages): x", "messages")
    assert in_client_terms("max_tokens: x", request, BODY, ReplyPlan("m")) == ("max_tokens: x", None)
    no_tools = MessagesRequest(anthropic_version="vertex-2023-10-16", max_tokens=9, messages=[])
    assert in_client_terms("tools.0: x", request, no_tools, ReplyPlan("m")) == ("tools.0: x", None)


def test_requests_are_equal_wherever_their_messages_came_from() -> None:
    assert ClaudeRequest(BODY, origins=ORIGINS) == ClaudeRequest(BODY)
    assert hash(ORIGINS) == hash(Origins())
    assert ORIGINS != ()
