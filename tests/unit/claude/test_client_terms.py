"""Risk: a place of the upstream's request is told as if it were the client's, or as another one of the client's."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.claude.client_terms import in_client_terms, with_client_keys
from modelmux.claude.conversation import as_user_text, without_wrapper
from modelmux.claude.property_keys import to_legal_key
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


def test_the_clients_paths_are_found_when_they_are_asked_for() -> None:
    asked: list[str] = []

    def path(own: str) -> str:
        asked.append(own)
        return f"their.{own}"

    origins = Origins([("system", "messages.0")]).in_client_terms(path)
    assert not asked
    assert list(origins) == [("system", "their.messages.0")]


def told(message: str, blocks: list[Any], origins: list[tuple[Any, str]], **fields: Any) -> str:
    body = MessagesRequest(
        anthropic_version="vertex-2023-10-16", max_tokens=9, messages=[InputMessage("user", blocks)], **fields
    )
    request = ClaudeRequest(body, origins=Origins(origins))
    return in_client_terms(message, request, body, ReplyPlan("m"))[0]


def test_blocks_that_are_alike_keep_their_order() -> None:
    one, two, three = TextBlock("go on"), TextBlock("go on"), TextBlock("go on")
    origins = [(one, "messages.0"), (two, "messages.2")]
    assert told("messages.0.content.1: x", [one, two], origins) == "messages.2: x"
    assert told("messages.0.content.1: x", [one, two, three], origins) == "the content of a message (messages): x"
    assert told("messages.0.content.2: x", [one, two, three], [(one, "messages.0")]) == "messages.0: x"
    assert told("messages.0.content.0: x", [EMBEDDED, REMOTE], [(REMOTE, "messages.0")]).startswith("the image of a")


def test_a_system_message_in_the_users_turn_is_found() -> None:
    system = TextBlock("now")
    assert told("messages.0.content.0: x", [as_user_text(system)], [(system, "messages.4")]) == "messages.4: x"
    assert without_wrapper("now") == "now"


def test_blocks_of_the_system_prompt() -> None:
    origins = [(("system", 0), "messages.0.content.1")]
    system = [TextBlock("a"), TextBlock("added by the gateway")]
    message = "system.0.text, system.1 and system.2: x"
    assert told(message, [], origins, system=system) == (
        "messages.0.content.1, the system prompt (messages) and system.2: x"
    )
    assert told("system: x", [], origins, system=system) == "messages.0.content.1: x"
    assert told("system.0: x", [], origins) == "system.0: x"
    assert told("ecosystem.0: x", [], origins, system=system) == "ecosystem.0: x"


PARTS = ToolResultBlock("c", [TextBlock("a"), EMBEDDED])
FROM = [(PARTS, "messages.4"), (("part", "c", 0), "messages.4.content.1"), (("part", "c", 1), "messages.4.content.2"),
        (("part", "c", 2), "messages.4.content.3")]  # fmt: skip


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (".tool_result.content.0.text", "messages.4.content.1"),
        (".content.1.image.source", "the image in messages.4.content.2"),
        (".tool_result.content.2", "the result of tool call 'c' (messages.4)"),
        (".tool_result.content.9", "the result of tool call 'c' (messages.4)"),
        (".tool_result.content.x", "the result of tool call 'c' (messages.4)"),
        (".tool_result.is_error.0", "the result of tool call 'c' (messages.4)"),
        ("", "the result of tool call 'c' (messages.4)"),
    ],
)
def test_blocks_inside_of_a_result(rest: str, expected: str) -> None:
    assert told(f"messages.0.content.0{rest}: x", [PARTS], FROM) == f"{expected}: x"


def test_renamed_keys_are_the_clients_own() -> None:
    first, second = to_legal_key("a b"), to_legal_key(to_legal_key("a b"))
    names = {"f": {first: "a b", second: first}, "g": {}}
    assert with_client_keys(f"'{first}', x.{second}.type, {first}x", names) == f"'a b', x.{first}.type, {first}x"
    assert with_client_keys("a b", {}) == "a b"


NAMED = FieldNames(
    max_tokens=("max_completion_tokens",), stop="stop", stop_paths=("stop.0", "stop.3"), user="user",
    reasoning="reasoning_effort",
    tool_names={"ns__f": "f"},
)  # fmt: skip
TOKENS = [
    ("tool_choice: Tool 'my_tool__96caa15f' not found in provided tools",
     "tool_choice: Tool 'my tool!' not found in provided tools", None),
    ("`tool_use` ids without `tool_result`: call_1_x_ccd6176e, call_2.",
     "`tool_use` ids without `tool_result`: call:1|x, call_2.", None),
    ("Tool ns__f: x", "Tool f: x", None),
    ("my_tool__96caa15f_2, a-call_1_x_ccd6176e", "my_tool__96caa15f_2, a-call_1_x_ccd6176e", None),
    ("stop_sequences: each stop sequence must contain non-whitespace",
     "stop: each stop sequence must contain non-whitespace", "stop"),
    ("stop_sequences.1: bad", "stop.3: bad", "stop.3"),
    ("stop_sequences.7: bad", "stop: bad", "stop"),
    ("metadata.user_id: bad", "user: bad", "user"),
    ("tool_choice.name: bad", "tool_choice: bad", "tool_choice"),
    ("thinking.enabled.budget_tokens: bad", "reasoning_effort: bad", "reasoning_effort"),
    ("output_config.effort: bad", "reasoning_effort: bad", "reasoning_effort"),
    ("`max_tokens` must be greater than `thinking.budget_tokens`.",
     "`max_completion_tokens` must be greater than `reasoning_effort`.", "max_completion_tokens"),
    ("max_tokens_to_sample, x.max_tokens, thinking", "max_tokens_to_sample, x.max_tokens, thinking", None),
    ("system: bad", "system: bad", None),
]  # fmt: skip


@pytest.mark.parametrize(("message", "expected", "param"), TOKENS)
def test_names_that_the_client_never_sent_are_replaced(message: str, expected: str, param: str | None) -> None:
    request = ClaudeRequest(BODY, fields=NAMED, client_ids={"call_1_x_ccd6176e": "call:1|x"})
    plan = ReplyPlan("m", tool_names={"my_tool__96caa15f": "my tool!"})
    assert in_client_terms(message, request, BODY, plan) == (expected, param)


def test_a_field_that_the_client_did_not_send_keeps_its_name() -> None:
    request = ClaudeRequest(BODY, fields=FieldNames(max_tokens=()))
    message = "`max_tokens` must be greater than `thinking.budget_tokens`; output_config.effort"
    assert in_client_terms(message, request, BODY, ReplyPlan("m")) == (message, None)


def test_a_member_of_a_tool_has_the_clients_own_name() -> None:
    members = {"tools.4.parameters": "tools.4.input_schema", "tools.4.name": "tools.4.function.name"}
    fields = FieldNames(tools={"t_1": "tools.4"}, tool_schema="parameters", tool_members=members)
    request, plan = ClaudeRequest(BODY, fields=fields), ReplyPlan("m")
    for place, param in (
        ("tools.0.custom.input_schema.properties.a", "tools.4.input_schema.properties.a"),
        ("tools.0.custom.name", "tools.4.function.name"),
        ("tools.0.custom.strict", "tools.4.strict"),
        ("tools.0", "tools.4"),
    ):
        assert in_client_terms(f"{place}: x", request, BODY, plan) == (f"tool 't_1' ({param}): x", param)
